"""A Hugging Face model in this process, on a CPU or a GPU: causal, or an encoder-decoder."""

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
from retrieval.generation.generators.local_model import model_folder
from retrieval.generation.generators.packaged import DEFAULT
from retrieval.generation.generators.pieces import Pieces
from retrieval.generation.generators.sentence_draft import SentenceDraft
from retrieval.generation.generators.stop_texts import StopFilter
from retrieval.generation.generators.written import Draft, Marginal, MarginalRequest, Token
from retrieval.generation.prompt import Prompt
from retrieval.models import LOADED, TRANSFORMERS, Trust, look_between_layers, resolve_model
from retrieval.models.encoders import choose_device, choose_dtype
from retrieval.settings import ModelSettings

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
        self._two_sided = bool(self._model.config.is_encoder_decoder)
        self._ends = _end_tokens(self._model, self._tokenizer)
        self.dtype = str(self._model.dtype).removeprefix("torch.")
        self._pool = ThreadPoolExecutor(concurrent, "generator")

    @classmethod
    def open(
        cls, name: str | None = None, *, concurrent: int = 1, threads: int | None = None
    ) -> "LocalGenerator":
        """Load a model by folder, Hugging Face name or as packaged (the default is one of those).

        bfloat16 where the device computes it fast, else float32. Raises ModelError.
        """
        if threads is not None:
            torch.set_num_threads(threads)
        model = resolve_model(str(model_folder(name)), trust=Trust(of="generator"))
        settings = ModelSettings(name=name or DEFAULT)
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
            ids = [self._encode(prompt, request.max_tokens) for prompt in prompts]
            model = after_prompts(self._model, ids, self._all_ends(), request.max_tokens)
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
        self, ids: list[int], max_tokens: int, temperature: float, stops: Sequence[str], emit: Emit
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
        ids = self._encode(prompt, max_tokens, "" if self._two_sided else written)
        before: list[int] = []
        if self._two_sided and written:
            with self._tokenizing:
                before = self._tokenizer(written, add_special_tokens=False)["input_ids"]
        sentence = SentenceDraft(stops, max_tokens)
        for piece, probability in self._pieces(ids, max_tokens, temperature, before):
            if sentence.feed(Token(piece, probability)):
                break
        return sentence.finish()

    @torch.inference_mode()
    def _pieces(
        self, ids: list[int], max_tokens: int, temperature: float, before: Sequence[int] = ()
    ) -> Iterator[tuple[str, float]]:
        """Token by token what it adds to the text, and how likely it was.

        before: what a decoder has written already, which is not said again.
        """
        model = after_prompts(self._model, [ids], sorted(self._ends), max_tokens)
        following, row = model.start(), torch.zeros(1, dtype=torch.int64, device=self._model.device)
        for token in before:
            following = model.step(row, torch.full_like(row, token))
        pieces = Pieces(self._tokenizer)
        while len(pieces.tokens) < max_tokens:
            look()
            token = _choose(following[0], temperature)
            if token in self._ends:
                return
            yield pieces.feed(token), float(following[0, token].exp())
            if len(pieces.tokens) < max_tokens:
                following = model.step(row, torch.full_like(row, token))

    def _tokens(self, prompt: Prompt, written: str) -> Any:
        if self.chats:
            text = self._tokenizer.apply_chat_template(
                list(prompt.messages), tokenize=False, add_generation_prompt=True
            )
            return self._tokenizer(text + written, add_special_tokens=False)
        # Whatever the text holds, it is no control token.
        text = f"{prompt.text} {written}" if written else prompt.text
        return self._tokenizer(text, split_special_tokens=True)

    def _encode(self, prompt: Prompt, max_tokens: int, written: str = "") -> list[int]:
        """written: what is there of the answer, which goes on after it."""
        with self._tokenizing:
            ids: list[int] = self._tokens(prompt, written)["input_ids"]
        # Encoder-decoders with relative positions, as T5, have no end.
        most = getattr(self._model.config.get_text_config(), "max_position_embeddings", None)
        needed = max(len(ids), max_tokens) if self._two_sided else len(ids) + max_tokens
        if most is not None and needed > int(most):
            raise ConfigError(
                f"the prompt's {len(ids):,} tokens and an answer of {max_tokens:,} do not fit into the "
                f"{int(most):,} of {self.name}",
                hint="Lower context_tokens or max_tokens.",
            )
        return ids


def _load(name: str, folder: Path, device: str, dtype: torch.dtype) -> Weights:
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    try:
        with TRANSFORMERS:
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            kind = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
            model = kind.from_pretrained(
                folder, dtype=dtype, local_files_only=True, use_safetensors=True, trust_remote_code=False
            )
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        reason = str(error).strip() or type(error).__name__
        raise ModelError(
            f"the generator {name!r} in {folder} cannot be loaded: {reason}",
            hint="Name a causal language model or encoder-decoder of transformers with safetensors.",
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
