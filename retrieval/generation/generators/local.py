"""A Hugging Face causal model in this process, on a CPU or a GPU."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from threading import Lock
from typing import Any

import torch

from retrieval.deadline import Deadline, look, within
from retrieval.errors import ConfigError, DeadlineExceeded, GenerationError, ModelError
from retrieval.generation.generators.local_marginal import after_prompts, line_tokens, write_marginal
from retrieval.generation.generators.local_model import GEMMA, model_folder
from retrieval.generation.generators.pieces import Pieces
from retrieval.generation.generators.sentence_draft import SentenceDraft
from retrieval.generation.generators.stop_texts import StopFilter
from retrieval.generation.generators.written import Draft, Marginal, MarginalRequest, Token
from retrieval.generation.prompt import Prompt
from retrieval.models import LOADED, TRANSFORMERS, Trust, look_between_layers, resolve_model
from retrieval.models.encoders import choose_device, choose_dtype
from retrieval.settings import ModelSettings

PREFILL_TOKENS = 128  # of the prompt at a time: between their layers a cancelled answer ends
Emit = Callable[[Any], None]  # pieces of text and wholes; None: it is over; an exception: what went wrong


@dataclass(frozen=True, eq=False)
class Weights:
    """A model and its tokenizer in memory, which all generators of these files share."""

    model: Any
    tokenizer: Any
    tokenizing: Lock = field(default_factory=Lock)  # its truncation and padding are of one call at a time

    @cached_property
    def lines(self) -> set[int]:
        """Tokens that begin a new line."""
        return line_tokens(self.tokenizer)


class LocalGenerator:
    """Writes at most `concurrent` answers at once; others wait. Safe to use from several event loops."""

    def __init__(self, name: str, weights: Weights, *, concurrent: int = 1) -> None:
        self.name = name
        self._model, self._tokenizer = weights.model, weights.tokenizer
        self._tokenizing, self._weights = weights.tokenizing, weights
        self.chats = bool(getattr(self._tokenizer, "chat_template", None))
        self._ends = _end_tokens(self._model, self._tokenizer)
        self.dtype = str(self._model.dtype).removeprefix("torch.")
        self._pool = ThreadPoolExecutor(concurrent, "generator")

    @classmethod
    def open(
        cls, name: str | None = None, *, concurrent: int = 1, threads: int | None = None
    ) -> "LocalGenerator":
        """Load a model by folder or Hugging Face name, or Gemma 3 270M of the extra `local-llm`.

        bfloat16 where the device computes it fast, else float32. Raises ModelError.
        """
        if threads is not None:
            torch.set_num_threads(threads)
        model = resolve_model(str(model_folder(name)), trust=Trust(of="generator"))
        settings = ModelSettings(name=name or GEMMA)
        device = choose_device(settings)
        dtype = choose_dtype(settings, device)
        load = partial(_load, settings.name, model.folder, device, dtype)
        weights = LOADED.get(("generator", model.fingerprint, device, dtype), load)
        return cls(settings.name, weights, concurrent=concurrent)

    def count_tokens(self, text: str) -> int:
        """Tokens of a text, without those that stand around a prompt."""
        with self._tokenizing:
            return len(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def close(self) -> None:
        """End the threads; answers that wait are dropped."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    async def stream(
        self, prompt: Prompt, *, max_tokens: int, temperature: float, stop: Sequence[str]
    ) -> AsyncGenerator[str, None]:
        """As `Generator.stream`: chat models get the messages, base models the text."""

        def write(emit: Emit) -> None:
            stops = self._stops(stop)
            self._decode(self._encode(prompt, max_tokens), max_tokens, temperature, stops, emit)

        async with aclosing(self._working(write)) as deltas:
            async for delta in deltas:
                yield delta

    async def marginal(
        self, prompts: Sequence[Prompt], request: MarginalRequest
    ) -> AsyncGenerator[str | Marginal, None]:
        """An answer over several passages: its text as by `stream`, then the whole.

        prompts: one for each passage. Closing the iterator ends the work. Raises as `stream`.
        """

        def write(emit: Emit) -> None:
            ids = [self._encode(prompt, request.max_tokens)[0].tolist() for prompt in prompts]
            model = after_prompts(self._model, ids, self._all_ends())
            emit(write_marginal(model, self._tokenizer, request, self._stops(request.stop), emit))

        async with aclosing(self._working(write)) as deltas:
            async for delta in deltas:
                yield delta

    async def draft(
        self, prompt: Prompt, written: str, *, max_tokens: int, temperature: float, stop: Sequence[str]
    ) -> Draft:
        """The next sentence after what is written of an answer. Raises as `stream`."""

        def write(emit: Emit) -> None:
            emit(self._draft(prompt, written, max_tokens, temperature, self._stops(stop)))

        async with aclosing(self._working(write)) as found:
            async for draft in found:
                return draft
        raise AssertionError("a draft is given or an error is raised")

    async def _working(self, write: Callable[[Emit], None]) -> AsyncGenerator[Any, None]:
        """What `write`, in a thread, gives to its argument."""
        loop = asyncio.get_running_loop()
        deltas: asyncio.Queue[Any] = asyncio.Queue()
        ended = Deadline()  # cancelled where the reader leaves: seen between the layers

        def emit(delta: Any) -> None:
            if not ended.over:  # the loop may be closed once nobody listens
                loop.call_soon_threadsafe(deltas.put_nowait, delta)

        work = self._pool.submit(self._write, write, ended, emit)
        try:
            while (delta := await deltas.get()) is not None:
                if isinstance(delta, BaseException):
                    raise delta
                yield delta
        finally:
            ended.cancel()
            work.cancel()

    def _stops(self, stop: Sequence[str]) -> list[str]:
        """A line is a base model's whole answer: after it, it would invent a further question."""
        return [*stop] if self.chats else [*stop, "\n"]

    def _all_ends(self) -> list[int]:
        """Tokens after which an answer is over, the usual one first."""
        lines = set() if self.chats else self._weights.lines
        return [*sorted(self._ends), *sorted(lines - self._ends)]

    def _write(self, write: Callable[[Emit], None], ended: Deadline, emit: Emit) -> None:
        """In a thread: every delta of the answer to `emit`, then None or what went wrong."""
        try:
            with within(ended):
                write(emit)
        except DeadlineExceeded:
            return  # nobody listens
        except ConfigError as error:
            emit(error)
        except Exception as error:  # whatever it is, who waits for the answer must be told
            wrong = GenerationError(
                f"{self.name} failed: {error}", hint="Ask again, or for a shorter answer."
            )
            wrong.__cause__ = error
            emit(wrong)
        else:
            emit(None)

    def _decode(
        self, ids: torch.Tensor, max_tokens: int, temperature: float, stops: Sequence[str], emit: Emit
    ) -> None:  # fmt: skip
        held = StopFilter(stops)
        for piece, _ in self._pieces(ids, max_tokens, temperature):
            if certain := held.feed(piece):
                emit(certain)
            if held.stopped:
                return
        if rest := held.finish():
            emit(rest)

    def _draft(
        self, prompt: Prompt, written: str, max_tokens: int, temperature: float, stops: Sequence[str]
    ) -> Draft:
        """In a thread: one more piece than the sentence is written, which shows where it ends."""
        ids = self._encode(prompt, max_tokens, written)
        sentence = SentenceDraft(stops, max_tokens)
        for piece, probability in self._pieces(ids, max_tokens, temperature):
            if sentence.feed(Token(piece, probability)):
                break
        return sentence.finish()

    @torch.inference_mode()
    def _pieces(
        self, ids: torch.Tensor, max_tokens: int, temperature: float
    ) -> Iterator[tuple[str, float]]:  # fmt: skip
        """Token by token what it adds to the text, and how likely it was."""
        from transformers import DynamicCache

        cache = DynamicCache(config=self._model.config)
        logits = ids.new_zeros(0)
        for block in ids.split(PREFILL_TOKENS, dim=1):
            look()
            logits = self._step(block, cache)
        pieces = Pieces(self._tokenizer)
        while len(pieces.tokens) < max_tokens:
            look()
            token = _choose(logits, temperature)
            if token in self._ends:
                return
            yield pieces.feed(token), float(logits.softmax(0)[token])
            if len(pieces.tokens) < max_tokens:
                logits = self._step(ids.new_tensor([[token]]), cache)

    def _step(self, ids: torch.Tensor, cache: Any) -> torch.Tensor:
        """Logits (vocabulary,) float32 of what follows the ids (1, n)."""
        found = self._model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
        return found.logits[0, -1].float()

    def _tokens(self, prompt: Prompt, written: str) -> Any:
        if self.chats:
            text = self._tokenizer.apply_chat_template(
                list(prompt.messages), tokenize=False, add_generation_prompt=True
            )
            return self._tokenizer(text + written, add_special_tokens=False, return_tensors="pt")
        # Whatever the text holds, it is no control token.
        text = f"{prompt.text} {written}" if written else prompt.text
        return self._tokenizer(text, split_special_tokens=True, return_tensors="pt")

    def _encode(self, prompt: Prompt, max_tokens: int, written: str = "") -> torch.Tensor:
        """written: what is there of the answer, which goes on after it."""
        with self._tokenizing:
            found = self._tokens(prompt, written)
        ids: torch.Tensor = found["input_ids"].to(self._model.device)
        most = int(self._model.config.get_text_config().max_position_embeddings)
        if ids.shape[1] + max_tokens > most:
            raise ConfigError(
                f"the prompt's {ids.shape[1]:,} tokens and an answer of {max_tokens:,} do not fit into the "
                f"{most:,} of {self.name}",
                hint="Lower context_tokens or max_tokens.",
            )
        return ids


def _load(name: str, folder: Path, device: str, dtype: torch.dtype) -> Weights:
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    try:
        with TRANSFORMERS:
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            model = AutoModelForCausalLM.from_pretrained(
                folder, dtype=dtype, local_files_only=True, use_safetensors=True, trust_remote_code=False
            )
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        reason = str(error).strip() or type(error).__name__
        raise ModelError(
            f"the generator {name!r} in {folder} cannot be loaded: {reason}",
            hint="Name a causal language model of transformers with safetensors.",
        ) from error
    look_between_layers(model)
    return Weights(model.to(device).eval(), tokenizer)


def _choose(logits: torch.Tensor, temperature: float) -> int:
    if temperature == 0:
        return int(logits.argmax())
    return int(torch.multinomial(torch.softmax(logits / temperature, dim=0), 1))


def _end_tokens(model: Any, tokenizer: Any) -> set[int]:
    configured = model.generation_config.eos_token_id
    listed = configured if isinstance(configured, list) else [configured]
    return {number for number in [*listed, tokenizer.eos_token_id] if number is not None}
