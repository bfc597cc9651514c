"""Token ids of texts, ragged and Arrow-friendly, and the tokenizer that makes them without torch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from retrieval.deadline import hurried, look
from retrieval.errors import ConfigError, InputError, ModelError
from retrieval.models.checks import read_model_json
from retrieval.models.encoders.model_folder import ModelLayout, Side, read_layout
from retrieval.models.errors import reading_model
from retrieval.models.resolved_model import resolve_model_side
from retrieval.models.trust import Trust
from retrieval.settings import ModelSettings

# Texts, and characters of them, handed to the tokenizer at a time: bounds its intermediate objects, not the
# result.
_CHUNK = 1024
_CHUNK_CHARACTERS = 1 << 19
_HURRIED = 32  # of them where there is a deadline, at which it looks between chunks
# Characters of a text that are tokenized at first, for each token of the window: ordinary ones have 4 to 8.
_TOKEN_CHARACTERS = 24
_LEAST_CHARACTERS = 4096
_MOST_CHARACTERS = 1 << 18  # and no more of any text: what comes after so much white space does not count
_WORD_TOKENS = 128  # of a word: WordPiece knows none that is longer
# Of `BertNormalizer`: its own names, and those in tokenizer_config.json.
_BERT_SETTINGS = {
    "lowercase": "do_lower_case",
    "strip_accents": "strip_accents",
    "handle_chinese_chars": "tokenize_chinese_chars",
}


@dataclass(frozen=True)
class Tokens:
    """Token ids of n texts, special tokens included, as the encoder takes them.

    `ids`: (total,) int32. `offsets`: (n + 1,) int64, row i is ids[offsets[i]:offsets[i + 1]].
    `truncated`: (n,) bool, the text was longer than the window.
    """

    ids: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]
    truncated: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.truncated)

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Tokens of each row: (n,) int64."""
        return np.diff(self.offsets)

    def to_table(self) -> pa.Table:
        """Columns `tokens` (large_list<int32>) and `truncated` (bool); the ids are not copied."""
        lists = pa.LargeListArray.from_arrays(pa.array(self.offsets), pa.array(self.ids))
        return pa.table({"tokens": lists, "truncated": pa.array(self.truncated)})

    @classmethod
    def from_table(cls, table: pa.Table) -> "Tokens":
        """Inverse of `to_table`; other columns are ignored."""
        lists = table["tokens"].combine_chunks()
        if isinstance(lists, pa.ChunkedArray):
            lists = lists.chunk(0) if lists.num_chunks else pa.array([], pa.large_list(pa.int32()))
        offsets = lists.offsets.to_numpy().astype(np.int64, copy=False)
        ids = lists.values.to_numpy()[offsets[0] : offsets[-1]] if len(offsets) else np.empty(0, np.int32)
        offsets = offsets - offsets[0] if len(offsets) else np.zeros(1, np.int64)
        truncated = table["truncated"].to_numpy(zero_copy_only=False)
        return cls(ids.astype(np.int32, copy=False), offsets, np.asarray(truncated, dtype=np.bool_))


class Tokenizer:
    """The tokenizer of one side of a model: prompt, title, truncation and special tokens.

    `max_tokens` is the window, special tokens included, of which there are `special_tokens`.
    """

    def __init__(self, layout: ModelLayout, settings: ModelSettings) -> None:
        self.layout = layout
        configured = settings.passage_prompt if layout.side == "passage" else settings.query_prompt
        self.prompt = layout.prompt if configured is None else configured
        self.tokenizer_file = layout.input_folder / "tokenizer.json"
        if not self.tokenizer_file.is_file():
            raise ModelError(
                f"model in {layout.input_folder} has no tokenizer.json",
                hint="Write one with transformers: "
                "AutoTokenizer.from_pretrained(folder).save_pretrained(folder).",
            )
        self.max_tokens = _window(layout, settings)
        self._tokenizer = _load_tokenizer(self.tokenizer_file, layout)
        self.special_tokens: int = self._tokenizer.num_special_tokens_to_add(False)
        config = read_model_json(layout.input_folder / "tokenizer_config.json") or {}
        side = config.get("truncation_side", "right")
        self._tokenizer.enable_truncation(self.max_tokens, direction=side)
        self._keeps_end = side == "left"
        self._most_characters = max(_LEAST_CHARACTERS, _TOKEN_CHARACTERS * self.max_tokens)
        self.prefix = lru_cache(maxsize=4096)(self._prefix)
        # The chunker budgets a title the same way: half of what special tokens and the prompt leave.
        prompt = len(self._encode([self.prompt], "title")[0].ids) if self.prompt else 0
        self._title_tokens = max(1, (self.max_tokens - self.special_tokens - prompt) // 2)

    @classmethod
    @reading_model()
    def open(cls, settings: ModelSettings, side: Side = "passage", trust: Trust = Trust()) -> "Tokenizer":
        """Tokenizer of a side, read without torch. Raises ModelError as `models.resolve`."""
        return cls(read_layout(resolve_model_side(settings, side, trust).folder, side), settings)

    def _prefix(self, title: str) -> str:
        """What stands in front of a passage's text: the prompt, then the title, capped to half the room."""
        if not title:
            return self.prompt
        most = self._title_tokens
        # A token covers at least one byte, so a short title needs no counting.
        if len(title.encode("utf-8", "surrogatepass")) > most:
            offsets = self._encode([title], "title")[0].offsets
            inside = [end for _, end in offsets if end > 0]
            title = title[: inside[most - 1]] if len(inside) > most else title
        return f"{self.prompt}{title} "

    def tokenize_passages(self, titles: Sequence[str | None], texts: Sequence[str]) -> Tokens:
        """Tokens of "{prompt}{title} {text}" for each passage; "title " is left out where it is empty.

        Raises InputError for text that is no Unicode (lone surrogates).
        """
        if len(titles) != len(texts):
            raise ValueError(f"{len(titles)} titles for {len(texts)} texts")
        pairs = zip(titles, texts, strict=True)
        return self._tokens([(self.prefix(title or ""), text) for title, text in pairs])

    def tokenize_queries(self, texts: Sequence[str]) -> Tokens:
        """Tokens of "{prompt}{query}". Raises InputError for lone surrogates."""
        return self._tokens([(self.prompt, text) for text in texts])

    def token_texts(self, text: str) -> tuple[list[str], list[tuple[int, int]]]:
        """The tokens of a text as the model sees them, special ones included, and their spans in it."""
        check_unicode([text], "text")
        encoding = self._tokenizer.encode(self._start("", text, _MOST_CHARACTERS))
        return list(encoding.tokens), list(encoding.offsets)

    def token_id(self, token: str) -> int | None:
        """Number of a token in the vocabulary, None where it is not one token."""
        number: int | None = self._tokenizer.token_to_id(token)
        return number

    def prompt_tokens(self) -> int:
        """Tokens of the prompt with leading special tokens, for models that leave it out of pooling."""
        if not self.prompt:
            return 0
        encoding = self._encode([self.prompt], "prompt")[0]
        return len(encoding.ids) - (1 if encoding.special_tokens_mask[-1] else 0)

    @reading_model()
    def _tokens(self, texts: list[tuple[str, str]]) -> Tokens:
        """Tokens of texts, each with what stands in front of it."""
        lengths = np.zeros(len(texts) + 1, np.int64)
        truncated = np.zeros(len(texts), np.bool_)
        blocks: list[npt.NDArray[np.int32]] = []
        for some in self._batches(texts):
            look()
            check_unicode([text for _, text in texts[some.start : some.stop]], "text", some.start)
            starts = [self._start(*texts[row], self._most_characters) for row in some]
            for row, encoding in zip(some, self._encode(starts, "text", some.start), strict=True):
                encoding, whole = self._decided(encoding, *texts[row])
                ids = np.array(encoding.ids, np.int32)
                blocks.append(ids)
                lengths[row + 1] = len(ids)
                truncated[row] = bool(encoding.overflowing) or not whole
        ids = np.concatenate(blocks) if blocks else np.empty(0, np.int32)
        return Tokens(ids, np.cumsum(lengths), truncated)

    def _batches(self, texts: list[tuple[str, str]]) -> Iterator[range]:
        """Rows that are tokenized at a time: bounds the tokenizer's objects, not the result."""
        most = _HURRIED if hurried() else _CHUNK
        start = held = 0
        for row, (prefix, text) in enumerate(texts):
            characters = min(len(prefix) + len(text), self._most_characters)
            if row > start and (row - start == most or held + characters > _CHUNK_CHARACTERS):
                yield range(start, row)
                start, held = row, 0
            held += characters
        if start < len(texts):
            yield range(start, len(texts))

    def _start(self, prefix: str, text: str, most: int) -> str:
        """The `most` characters of a text that is cut to the window: its first ones, or its last."""
        if self._keeps_end and len(text) > most:
            return text[-most:]
        return prefix + text[:most]

    def _decided(self, encoding: Any, prefix: str, text: str) -> tuple[Any, bool]:
        """The encoding of as much of a text as decides what the window holds, and whether that is all of it.

        A passage may have millions of characters, and the window takes some thousand. The start of one is
        enough where it gives so many tokens beyond the window that no word reaches from there to its end;
        white space and words of the vocabulary's unknown give few, so then more is read.
        """
        most = self._most_characters
        while (longer := len(text) > most) and not self._is_enough(encoding) and most < _MOST_CHARACTERS:
            most = min(4 * most, _MOST_CHARACTERS)
            (encoding,) = self._encode([self._start(prefix, text, most)], "text")
        return encoding, not longer

    def _is_enough(self, encoding: Any) -> bool:
        found = len(encoding.ids) + sum(len(more.ids) for more in encoding.overflowing)
        return found >= 2 * self.max_tokens + _WORD_TOKENS

    def _encode(self, texts: list[str], what: str, first: int = 0) -> list[Any]:
        check_unicode(texts, what, first)
        # Titles are cut at character offsets, which the fast variant does not compute.
        encode = self._tokenizer.encode_batch if what == "title" else self._tokenizer.encode_batch_fast
        return list(encode(texts, add_special_tokens=what != "title"))


def most_characters(window: int) -> int:
    """So many of a text fill a window of tokens, whatever it is written in; more need not be tokenized."""
    return max(4 * _LEAST_CHARACTERS, 32 * window)


def check_unicode(texts: Sequence[str], what: str, first: int = 0) -> None:
    """Raise InputError for a text with a lone surrogate; the texts are called `what` and their number."""
    for row, text in enumerate(texts, first):
        if not _is_unicode(text):
            raise InputError(
                f"{what} {row} holds a lone surrogate, which is no Unicode text: {text[:80]!r}",
                hint="Decode the bytes with errors='replace', or leave the character out.",
            )


def _is_unicode(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _window(layout: ModelLayout, settings: ModelSettings) -> int:
    if settings.max_tokens is None:
        if layout.window is None:
            raise ModelError(
                f"model in {layout.input_folder} does not say how long its input may be",
                hint="Set `model.max_tokens`.",
            )
        return layout.window
    if layout.positions is not None and settings.max_tokens > layout.positions:
        raise ConfigError(
            f"`model.max_tokens` is {settings.max_tokens}, and the model has {layout.positions} positions",
            hint=f"Set it to {layout.positions} or less; the model's own window is {layout.window}.",
        )
    return settings.max_tokens


def _load_tokenizer(path: Path, layout: ModelLayout) -> Any:
    """The `tokenizers.Tokenizer`, with the settings that transformers takes from elsewhere applied."""
    from tokenizers import Tokenizer as Backend
    from tokenizers import normalizers

    try:
        backend = Backend.from_file(str(path))
    except Exception as error:  # the library raises plain Exception
        raise ModelError(f"{path} cannot be read: {error}", hint="Copy the model again.") from error
    backend.no_padding()
    config = read_model_json(path.parent / "tokenizer_config.json") or {}
    normalizer = backend.normalizer
    if isinstance(normalizer, normalizers.BertNormalizer):
        for ours, theirs in _BERT_SETTINGS.items():
            setattr(normalizer, ours, config.get(theirs, getattr(normalizer, ours)))
        backend.normalizer = normalizer
    if layout.lowercase:
        steps = [normalizers.Lowercase(), *([normalizer] if normalizer is not None else [])]
        backend.normalizer = normalizers.Sequence(steps)
    return backend
