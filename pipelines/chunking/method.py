"""What a chunking method offers: where documents are cut, within what the settings measure for it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from pipelines.chunking.boundaries import last_boundary
from pipelines.chunking.budget import TextMeasure
from pipelines.chunking.pack import Budget, pack
from retrieval.settings import Settings

if TYPE_CHECKING:  # settings are read by commands that compute nothing
    import numpy as np

Spans = list[tuple[int, int]]
EmbedSentences = Callable[[list[str]], "np.ndarray"]


@dataclass(frozen=True)
class Batch:
    """Documents to cut.

    options: the method's own settings. measured: gives each document's text, its measure, and the budget
    of its passages, once, in order; only where the method `counts_units`. embed_sentences: texts to (n, d)
    float32 of length 1; only where it `compares_sentences`.
    """

    titles: Sequence[str]
    texts: Sequence[str]
    options: Any
    measured: Callable[[], Iterator[tuple[str, TextMeasure, Budget]]]
    embed_sentences: EmbedSentences | None


class ChunkMethod:
    """A chunking method; an object without state. docs/extending.md goes through it step by step.

    As it stands it fills each passage and cuts at the highest boundary near its end. A method says otherwise
    by `groups`, which no passage crosses, or does all of it by `split`.
    """

    name: ClassVar[str]  # `chunk.method` in a configuration, and its module's or entry point's name
    summary: ClassVar[str]  # a few words for the reference page
    code: ClassVar[int] = 1  # raised when it cuts the same text elsewhere: documents are read again
    # Those of this package stand beside `chunk.size` as `<name>_<setting>`, a plug-in's in `chunk.options`.
    options: ClassVar[type[Settings]] = Settings
    always_counts: ClassVar[bool] = False  # its settings count for fingerprints of other methods too

    counts_units: ClassVar[bool] = True  # `chunk.size` and `chunk.overlap` hold
    units: ClassVar[tuple[str, ...]] = ("tokens", "characters")  # that it can count
    compares_sentences: ClassVar[bool] = False  # by the embedding model, which is loaded to read then
    cuts_at_boundaries: ClassVar[bool] = True  # else at exactly so many units

    def boundary(self, text: str, lo: int, hi: int) -> int:
        """The best cut in [lo, hi], or -1 for one between two words or tokens."""
        return last_boundary(text, lo, hi)

    def groups(self, batch: Batch) -> list[Spans]:
        """Of each document, spans that no passage may cross."""
        return [[(0, len(text))] for text in batch.texts]

    def split(self, batch: Batch) -> list[Spans]:
        """Of each document, spans (start, end) of its passages in code points.

        Spans ascend, are trimmed of white space and not empty; every non-space character should be in one.
        """
        groups = self.groups(batch)
        return [
            [span for start, end in parts for span in pack(text, start, end, measure, budget)]
            for (text, measure, budget), parts in zip(batch.measured(), groups, strict=True)
        ]
