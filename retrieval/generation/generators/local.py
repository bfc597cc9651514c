"""A Hugging Face causal model in this process, on a CPU or a GPU."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

import torch

from retrieval.deadline import Deadline, look, within
from retrieval.errors import ConfigError, DeadlineExceeded, GenerationError, ModelError
from retrieval.generation.generators.local_model import GEMMA, model_folder
from retrieval.generation.generators.stop_texts import StopFilter
from retrieval.generation.prompt import Prompt
from retrieval.models import LOADED, TRANSFORMERS, Trust, look_between_layers, resolve_model
from retrieval.models.encoders import choose_device, choose_dtype
from retrieval.settings import ModelSettings

PREFILL_TOKENS = 128  # of the prompt at a time: between their layers a cancelled answer ends
Emit = Callable[[str | BaseException | None], None]


@dataclass(frozen=True, eq=False)
class Weights:
    """A model and its tokenizer in memory, which all generators of these files share."""

    model: Any
    tokenizer: Any
    tokenizing: Lock = field(default_factory=Lock)  # its truncation and padding are of one call at a time


class LocalGenerator:
    """Writes at most `concurrent` answers at once; others wait. Safe to use from several event loops."""

    def __init__(self, name: str, weights: Weights, *, concurrent: int = 1) -> None:
        self.name = name
        self._model, self._tokenizer = weights.model, weights.tokenizer
        self._tokenizing, self._weights = weights.tokenizing, weights
        self._chat = bool(getattr(self._tokenizer, "chat_template", None))
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
        loop = asyncio.get_running_loop()
        deltas: asyncio.Queue[str | BaseException | None] = asyncio.Queue()
        ended = Deadline()  # cancelled where the reader leaves: seen between the layers

        def emit(delta: str | BaseException | None) -> None:
            if not ended.over:  # the loop may be closed once nobody listens
                loop.call_soon_threadsafe(deltas.put_nowait, delta)

        # A line is a base model's whole answer: after it, it would invent a further question.
        stops = [*stop] if self._chat else [*stop, "\n"]
        work = self._pool.submit(self._write, prompt, max_tokens, temperature, stops, ended, emit)
        try:
            while (delta := await deltas.get()) is not None:
                if isinstance(delta, BaseException):
                    raise delta
                yield delta
        finally:
            ended.cancel()
            work.cancel()

    def _write(
        self, prompt: Prompt, max_tokens: int, temperature: float, stops: Sequence[str], ended: Deadline,
        emit: Emit,
    ) -> None:  # fmt: skip
        """In a thread: every delta of the answer to `emit`, then None or what went wrong."""
        try:
            with within(ended):
                self._decode(self._encode(prompt, max_tokens), max_tokens, temperature, stops, emit)
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

    @torch.inference_mode()
    def _decode(
        self, ids: torch.Tensor, max_tokens: int, temperature: float, stops: Sequence[str], emit: Emit
    ) -> None:  # fmt: skip
        from transformers import DynamicCache

        cache = DynamicCache(config=self._model.config)
        logits = ids.new_zeros(0)
        for block in ids.split(PREFILL_TOKENS, dim=1):
            look()
            logits = self._step(block, cache)
        held = StopFilter(stops)
        tokens: list[int] = []
        shown = ""
        while len(tokens) < max_tokens:
            look()
            token = _choose(logits, temperature)
            if token in self._ends:
                break
            tokens.append(token)
            text = self._tokenizer.decode(tokens, skip_special_tokens=True)
            if not text.endswith("\ufffd") and text.startswith(shown):  # a character may take several tokens
                certain, shown = held.feed(text[len(shown) :]), text
                if certain:
                    emit(certain)
                if held.stopped:
                    return
            logits = self._step(ids.new_tensor([[token]]), cache)
        if rest := held.finish():
            emit(rest)

    def _step(self, ids: torch.Tensor, cache: Any) -> torch.Tensor:
        """Logits (vocabulary,) float32 of what follows the ids (1, n)."""
        found = self._model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
        return found.logits[0, -1].float()

    def _tokens(self, prompt: Prompt) -> Any:
        if self._chat:
            text = self._tokenizer.apply_chat_template(
                list(prompt.messages), tokenize=False, add_generation_prompt=True
            )
            return self._tokenizer(text, add_special_tokens=False, return_tensors="pt")
        # Whatever the text holds, it is no control token.
        return self._tokenizer(prompt.text, split_special_tokens=True, return_tensors="pt")

    def _encode(self, prompt: Prompt, max_tokens: int) -> torch.Tensor:
        with self._tokenizing:
            found = self._tokens(prompt)
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
