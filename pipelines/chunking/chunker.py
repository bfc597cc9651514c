"""The chunker: checks the settings against the model and cuts batches of documents into passages."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from tokenizers import Tokenizer
from tokenizers.pre_tokenizers import BertPreTokenizer

from pipelines.chunking.budget import (
    SEGMENT_CHARACTERS,
    CharacterMeasure,
    TextMeasure,
    TokenMeasure,
    first_segment,
    tokenizable,
)
from pipelines.chunking.method import Batch, ChunkMethod, EmbedSentences, Spans
from pipelines.chunking.pack import Budget
from pipelines.chunking.registry import METHODS
from pipelines.chunking.settings import ChunkSettings
from retrieval.errors import BuildFailed, ConfigError, ModelError
from retrieval.text import whole_clusters

CHARACTERS_PER_TOKEN = 4  # only for the default of `size` when it counts characters
_BATCH_CHARACTERS = 1 << 18  # tokenized in one call: bounds memory
_LEAST_UNITS = 4  # of a passage and its title; half of it stays for the text
# Outside BERT's pre-tokenizer a word at the start of a passage lacks the space that it had in the document,
# which may cost a few tokens.
_EDGE_TOKENS = 4


@dataclass(frozen=True)
class Chunker:
    """Cuts documents into passages. Use `Chunker.open`.

    size: units of a passage with prompt, title and special tokens. room: units for title and text.
    warnings: what the user should know of the settings, sentences to print.
    """

    settings: ChunkSettings
    method: ChunkMethod
    options: Any  # the method's own settings
    size: int
    room: int
    prompt: str
    prompt_units: int
    warnings: tuple[str, ...]
    tokenizer: Tokenizer | None = field(repr=False)
    embed_sentences: EmbedSentences | None = field(repr=False)

    @classmethod
    def open(
        cls,
        settings: ChunkSettings,
        *,
        tokenizer_file: str | None,
        max_tokens: int | None,
        special_tokens: int,
        prompt: str,
        embed_sentences: EmbedSentences | None,
    ) -> "Chunker":
        """Check the settings and load the tokenizer.

        tokenizer_file: a Hugging Face tokenizer.json; None will do for characters and for method none.
        max_tokens: the model's window, special tokens included. special_tokens: how many the model
        adds. prompt: text before the title. embed_sentences: texts to (n, d) float32 of length 1, for
        method semantic. Raises ConfigError, and ModelError for a tokenizer that cannot be read.
        """
        method = settings.chosen
        tokens = settings.unit == "tokens" and method.counts_units
        tokenizer = _load_tokenizer(tokenizer_file) if tokens else None
        size, warnings = _size(settings, method, max_tokens)
        _check(settings, method, size, embed_sentences)
        reserved = 0
        if tokenizer is not None:
            prompt_units = len(tokenizer.encode(prompt, add_special_tokens=False))
            additive = isinstance(tokenizer.pre_tokenizer, BertPreTokenizer)
            reserved = special_tokens + (0 if additive else _EDGE_TOKENS)
        else:
            prompt_units = len(prompt)
        room = size - reserved - prompt_units
        if room < _LEAST_UNITS and method.counts_units:
            raise ConfigError(
                f"chunk.size: {size} {settings.unit} leave {max(room, 0)} for title and text, once special "
                f"tokens ({special_tokens}) and the passage prompt ({prompt_units}) are taken off.",
                hint=f"Set chunk.size to {size - room + 32} or more, or take a shorter model.passage_prompt.",
            )
        own = settings.own()
        return cls(
            settings, method, own, size, room, prompt, prompt_units, warnings, tokenizer, embed_sentences
        )

    @property
    def title_units(self) -> int:
        """Most units that a title may take; the encoder truncates a longer one."""
        return self.room // 2

    def split(self, titles: Sequence[str], texts: Sequence[str]) -> list[Spans]:
        """Spans (start, end) of each document's passages, in code points: text[start:end] is the passage.

        Spans ascend, are trimmed of white space and not empty, and none begins or ends inside a grapheme
        cluster; every non-space character is in one, and they share at most the configured overlap. A
        document without text has none.
        """
        batch = Batch(
            titles, texts, self.options, partial(self._measured, titles, texts), self.embed_sentences
        )
        found = self.method.split(batch)
        for text, spans in zip(texts, found, strict=True):
            _check_spans(self.method.name, text, spans)
        if self.method.name in METHODS.built_in():
            return found
        return [_whole(text, spans) for text, spans in zip(texts, found, strict=True)]

    def _measured(
        self, titles: Sequence[str], texts: Sequence[str]
    ) -> Iterator[tuple[str, TextMeasure, Budget]]:
        yield from zip(texts, self._measures(texts), self._budgets(titles), strict=True)

    def _budgets(self, titles: Sequence[str]) -> list[Budget]:
        units = dict.fromkeys(titles, 0)
        if self.tokenizer is None:
            units = {title: len(title) + 1 if title else 0 for title in units}
        else:
            prefixes = [tokenizable(self.prompt + title) for title in units]
            encoded = self.tokenizer.encode_batch(prefixes, add_special_tokens=False)
            units = {title: len(one) - self.prompt_units for title, one in zip(units, encoded, strict=True)}
        return [
            Budget(
                (left := self.room - min(units[title], self.title_units)),
                self._overlap(left),
                self.method.boundary,
                snap_overlap=self.method.cuts_at_boundaries,
            )
            for title in titles
        ]

    def _overlap(self, units: int) -> int:
        """The overlap where `units` are left for text; beyond half of them, as its share of `size`.

        Otherwise a long title could leave a passage one new token, and a document a million passages.
        """
        overlap = self.settings.overlap
        return overlap if overlap <= units // 2 else overlap * units // self.size

    def _measures(self, texts: Sequence[str]) -> Iterator[TextMeasure]:
        if self.tokenizer is None:
            yield from map(CharacterMeasure, texts)
            return
        segment = max(SEGMENT_CHARACTERS, 16 * self.size)
        for batch in _batches(texts, segment):
            segments = [first_segment(text, segment) for text in batch]
            encodings = self.tokenizer.encode_batch(segments, add_special_tokens=False)
            encodings.reverse()
            for text in batch:  # an encoding is dropped once its document is done
                yield TokenMeasure(text, self.tokenizer, segment=segment, first=encodings.pop())


def _batches(texts: Sequence[str], segment: int) -> Iterator[list[str]]:
    """Runs of documents whose first segments have about _BATCH_CHARACTERS together."""
    batch: list[str] = []
    held = 0
    for text in texts:
        if batch and held + min(len(text), segment) > _BATCH_CHARACTERS:
            yield batch
            batch, held = [], 0
        batch.append(text)
        held += min(len(text), segment)
    if batch:
        yield batch


def _check_spans(method: str, text: str, spans: Spans) -> None:
    """Raise BuildFailed for spans that a method may not give: a plug-in is code of others."""
    before = -1
    for start, end in spans:
        if not before < start < end <= len(text):
            raise BuildFailed(
                f"chunk.method: {method} gave the passage ({start}, {end}) of a text of "
                f"{len(text)} characters, after one from {before}",
                hint="Spans ascend, are not empty, and lie in the text. Tell those who made the method.",
            )
        before = start


def _whole(text: str, spans: Spans) -> Spans:
    """The spans of a plug-in, widened where they split a grapheme cluster."""
    found: Spans = []
    for start, end in (whole_clusters(text, *span) for span in spans):
        if found and found[-1][0] == start:  # both began in one cluster
            end = max(found.pop()[1], end)
        found.append((start, end))
    return found


def _load_tokenizer(path: str | None) -> Tokenizer:
    if path is None:
        raise ConfigError(
            "chunk.unit: the model has no tokenizer file (tokenizer.json), so tokens cannot be counted.",
            hint="Set chunk.unit: characters and chunk.size, or take a model with a fast tokenizer.",
        )
    try:
        tokenizer = Tokenizer.from_file(path)
    except Exception as error:  # the library raises nothing narrower
        raise ModelError(
            f"{path}: not a tokenizer that can be read ({error}).",
            hint="Use a complete model folder: every fast Hugging Face tokenizer writes tokenizer.json.",
        ) from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _size(
    settings: ChunkSettings, method: ChunkMethod, max_tokens: int | None
) -> tuple[int, tuple[str, ...]]:
    if not method.counts_units:
        return settings.size or max_tokens or 1, ()
    if settings.size is None and max_tokens is None:
        raise ConfigError(
            "chunk.size is not set, and the model does not say how long its window is.",
            hint="Set chunk.size, for example to 256.",
        )
    if settings.unit == "characters":
        if settings.size is not None or max_tokens is None:
            return settings.size or 1, ()
        size = CHARACTERS_PER_TOKEN * max_tokens
        return size, (
            f"chunk.size is not set: passages have up to {size} characters, {CHARACTERS_PER_TOKEN} for each "
            f"of the {max_tokens} tokens of the model's window.",
        )
    size = settings.size or max_tokens or 1
    if max_tokens is not None and size > max_tokens:
        return size, (
            f"chunk.size is {size} tokens, but the model reads {max_tokens}: longer passages are truncated "
            "when they are embedded.",
        )
    return size, ()


def _check(settings: ChunkSettings, method: ChunkMethod, size: int, embed_sentences: object) -> None:
    if method.counts_units and settings.unit not in method.units:
        raise ConfigError(
            f"chunk.method: {method.name} counts {' or '.join(method.units)}, but chunk.unit is "
            f"{settings.unit}.",
            hint=f"Set chunk.unit: {method.units[0]}, or chunk.method: recursive.",
        )
    if method.counts_units and settings.overlap >= size:
        raise ConfigError(
            f"chunk.overlap: {settings.overlap} {settings.unit} are not less than chunk.size, {size}.",
            hint=f"Set chunk.overlap to {size // 4} or less, or make chunk.size larger.",
        )
    if method.compares_sentences and embed_sentences is None:
        raise ConfigError(
            f"chunk.method: {method.name} needs an embedding model for sentences, and none was given.",
            hint="Use chunk.method: recursive where no model is at hand.",
        )
