"""Semantic breaks: where the embeddings of neighbouring sentences differ most within a document."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from pipelines.chunking.method import Batch, ChunkMethod, EmbedSentences, Spans
from retrieval.settings import Settings
from retrieval.text import each_sentence

if TYPE_CHECKING:  # settings are read by commands that compute nothing
    pass

MOST_UNITS = 16_384  # of a document that are embedded, an even number: bounds time and memory
_BATCH_SENTENCES = 512  # embedded in one call: bounds memory
_SENTENCE_CHARACTERS = 2000  # of a sentence, read by the encoder: more would only be truncated


class SemanticSettings(Settings):
    """Stand in a configuration as chunk.semantic_percentile and so on."""

    percentile: float = Field(
        90.0, gt=0, lt=100,
        description="semantic: break where the distance of neighbouring sentences is above this percentile "
        "of the document's.",
    )  # fmt: skip


class Semantic(ChunkMethod):
    name = "semantic"
    code = 2
    summary = "where the similarity of neighbouring sentences drops"
    options = SemanticSettings
    always_counts = True  # as it did before methods declared their settings
    compares_sentences = True

    def groups(self, batch: Batch) -> list[Spans]:
        assert batch.embed_sentences is not None
        return semantic_groups(batch.texts, batch.embed_sentences, batch.options.percentile)


def semantic_groups(texts: Sequence[str], embed: EmbedSentences, percentile: float) -> list[Spans]:
    """Spans of the groups of sentences of each text, between its breaks.

    A break is where the cosine distance of two neighbouring sentences is above the given percentile of
    the document's distances. A text of fewer than three sentences is one group; of one of very many, some
    neighbours count as one sentence.
    """
    import numpy as np

    spans = [_units(text) for text in texts]
    counted = [one if len(one) >= 3 else [] for one in spans]
    similarities = _neighbour_similarities(texts, counted, embed)
    groups: list[Spans] = []
    for text, one in zip(texts, counted, strict=True):
        if not one:
            groups.append([(0, len(text))])
            continue
        distances = 1.0 - np.fromiter((next(similarities) for _ in one[1:]), np.float32, len(one) - 1)
        breaks = np.flatnonzero(distances > np.percentile(distances, percentile)) + 1
        starts = [one[0][0], *(one[index][0] for index in breaks.tolist())]
        groups.append(list(zip(starts, [*starts[1:], len(text)], strict=True)))
    return groups


def _units(text: str) -> Spans:
    """The sentences of a text, or equal runs of them where there are more than MOST_UNITS."""
    units: Spans = []
    run = held = 1  # sentences of a unit, and of the last one
    for start, end in each_sentence(text):
        if held < run:
            units[-1] = (units[-1][0], end)
            held += 1
            continue
        if len(units) == MOST_UNITS:
            pairs = zip(units[::2], units[1::2], strict=True)
            units = [(first[0], second[1]) for first, second in pairs]
            run *= 2
        units.append((start, end))
        held = 1
    return units


def _neighbour_similarities(
    texts: Sequence[str], spans: Sequence[Spans], embed: EmbedSentences
) -> Iterator[float]:
    """Cosine of each sentence and the one before it in its document, batched across documents."""
    import numpy as np

    previous: np.ndarray | None = None
    for batch in _batches(texts, spans):
        vectors = np.asarray(embed([sentence for sentence, _ in batch]), dtype=np.float32)
        if previous is None:
            previous = np.zeros_like(vectors[0])
        cosines = np.einsum("ij,ij->i", np.vstack([previous[None], vectors[:-1]]), vectors)
        previous = vectors[-1]
        for cosine, (_, first) in zip(cosines.tolist(), batch, strict=True):
            if not first:
                yield cosine


def _batches(texts: Sequence[str], spans: Sequence[Spans]) -> Iterator[list[tuple[str, bool]]]:
    """Sentences of all documents, each with whether it is its document's first."""
    batch: list[tuple[str, bool]] = []
    for text, one in zip(texts, spans, strict=True):
        for number, (start, end) in enumerate(one):
            batch.append((text[start : min(end, start + _SENTENCE_CHARACTERS)], number == 0))
            if len(batch) == _BATCH_SENTENCES:
                yield batch
                batch = []
    if batch:
        yield batch


METHOD = Semantic()
