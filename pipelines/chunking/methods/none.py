"""None: a document is a passage, whatever its length."""

from pipelines.chunking.boundaries import skip_space, trim_end
from pipelines.chunking.method import Batch, ChunkMethod, Spans


class WholeDocument(ChunkMethod):
    name = "none"
    code = 2
    summary = "a document is a passage"
    counts_units = False

    def split(self, batch: Batch) -> list[Spans]:
        return [_whole(text) for text in batch.texts]


def _whole(text: str) -> Spans:
    start = skip_space(text, 0, len(text))
    return [(start, trim_end(text, start, len(text)))] if start < len(text) else []


METHOD = WholeDocument()
