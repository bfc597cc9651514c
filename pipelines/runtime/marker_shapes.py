"""What the marker of each kind of work has to look like; which one it is, its key says."""

import re
from typing import Annotated, Any, Literal

from pydantic import Field

from retrieval.format import Amount
from retrieval.storage import Count, FileRecord, Shape

Files = Annotated[list[FileRecord], Field(min_length=1)]


class Usage(Shape):
    """What a piece of work used."""

    cpu_seconds: Amount
    gpu_seconds: Amount
    wall_seconds: Amount = 0.0
    peak_memory_bytes: Count


class WrittenPart(Shape):
    """A part of a slice."""

    name: str
    rows: Count
    documents: Count
    content: str
    file: FileRecord


class SliceMarker(Shape):
    """Of a slice that was read."""

    key: str
    name: str
    read: Count
    documents: Count
    rejected: Count
    duplicates: Count
    passages: Count
    characters: Count
    parts: list[WrittenPart]
    files: list[FileRecord]
    ids: FileRecord | None
    reasons: dict[str, Count]
    rejects: list[str]
    noted: dict[str, Count]
    notes: list[str]
    seen: dict[str, list[str]]
    usage: Usage


class VectorsMarker(Shape):
    """Of the vectors of a part."""

    file: FileRecord
    rows: Count
    dimension: Count
    metric: Literal["cosine", "dot"]
    dtype: str
    device: str
    truncated: Count
    tokens: Count
    usage: Usage


class WorkMarker(Shape):
    """Of files that need no more to be said."""

    files: Files
    usage: Usage


class RowsMarker(WorkMarker):
    """Of files that hold so many rows: passages, pieces of a shard, token codes."""

    rows: Count


class ShardMarker(RowsMarker):
    """Of the lists or the graph of a shard."""

    pieces_usage: list[Usage]
    quantizer: str


class TermsMarker(RowsMarker):
    """Of the lexical index of a shard, or of the statistics of all."""

    tokens: Count
    terms: Count


class _QuantizerTraining(Shape):
    id: str
    rows: Count


class QuantizerMarker(WorkMarker):
    """Of a trained quantizer."""

    training: _QuantizerTraining


class _CodecTraining(Shape):
    fingerprint: str
    id: str
    values: list[Any]
    rows: Count
    tokens: Count
    passages: Count


class CodecMarker(WorkMarker):
    """Of a trained token codec."""

    training: _CodecTraining


_SHAPES: tuple[tuple[re.Pattern[str], type[Shape]], ...] = (
    (re.compile("parts/"), SliceMarker),
    (re.compile("vectors/"), VectorsMarker),
    (re.compile("tokens/codecs/"), CodecMarker),
    (re.compile("dense/[^/]+/pieces-"), RowsMarker),
    (re.compile("dense/"), ShardMarker),
    (re.compile("lexical/"), TermsMarker),
    (re.compile("quantizer/"), QuantizerMarker),
    (re.compile(""), RowsMarker),
)


def shape_of(key: str) -> type[Shape]:
    """The shape of the marker with this key."""
    return next(shape for pattern, shape in _SHAPES if pattern.match(key))
