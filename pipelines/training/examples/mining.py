"""Positives and hard negatives of queries, from the index itself, a batch of queries at a time."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from pipelines.judged import holds_any, sequences_of
from pipelines.training.examples.example import Example, TrainingPassage
from pipelines.training.examples.hits import Hits
from pipelines.training.examples.lookup import passages_of
from pipelines.training.examples.sources import Asked
from pipelines.training.settings import NegativeSettings
from retrieval.errors import ConfigError, CorpusmillError, InputError
from retrieval.search import Searcher, check_queries
from retrieval.storage import Store

_BATCH = 128  # queries searched in one call
Progress = Callable[[int, int], None]  # queries done, queries


@dataclass
class Mined:
    """`dropped`: queries that gave no example, by reason."""

    examples: list[Example] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    queries: int = 0


class Miner:
    """Finds examples in an index. group: "title" or "document"; positives: most of a query."""

    def __init__(
        self, searcher: Searcher, store: Store, settings: NegativeSettings, group: str, positives: int
    ) -> None:
        """Raises ConfigError where the index cannot be searched so."""
        self._searcher, self._store = searcher, store
        self._settings, self._group, self._most = settings, group, positives
        lexical = bool(searcher.manifest.lexical)
        if settings.source in ("lexical", "hybrid") and not lexical:
            raise ConfigError(
                f"negatives.source is {settings.source}, and the index has no lexical part",
                hint="Set it to dense, or build with lexical.enabled: true.",
            )
        self._mode = settings.source if settings.source != "none" else "lexical" if lexical else "dense"

    def mine(self, asked: Sequence[Asked], progress: Progress) -> Mined:
        """An example for each query and positive. Raises InputError where no positive is in the index."""
        documents = {doc_id for one in asked for doc_id in one.documents}
        keys = {key for one in asked for key in one.passages}
        owned, numbers = passages_of(self._store, self._searcher.manifest, documents, keys)
        if (documents or keys) and not owned:
            example = min(documents or keys)
            raise InputError(
                f"the index holds none of the {len(documents | keys):,} positives, such as {example!r}",
                hint="Train on the index of the collection that the judgements belong to.",
            )
        found = Mined(queries=len(asked))
        for first in range(0, len(asked), _BATCH):
            batch = asked[first : first + _BATCH]
            ranked = self._ranked(batch)
            for row, one in enumerate(batch):
                hits = Hits(self._searcher, ranked.ids[row], ranked.scores[row])
                positives = sorted(self._positives(one, hits, owned, numbers), key=hits.order)
                if not positives:
                    found.dropped[_why_none(one)] += 1
                found.examples += self._examples(one, positives, hits)
            progress(min(first + _BATCH, len(asked)), len(asked))
        return found

    def _ranked(self, batch: Sequence[Asked]) -> Any:
        for one in batch:
            try:
                check_queries([one.query])
            except CorpusmillError as error:
                raise InputError(f"query {one.query_id!r}: {error.message}", hint=error.hint) from error
        return self._searcher.rank(
            [one.query for one in batch], self._settings.depth, mode=self._mode, rerank="none"
        )

    def _positives(
        self, one: Asked, hits: Hits, owned: dict[str, list[int]], numbers: dict[str, int]
    ) -> Iterator[TrainingPassage]:
        """The clicked passages; of each relevant document its best passage; else the first with an answer."""
        answers = sequences_of(one.answers)
        yield from hits.at([numbers[key] for key in one.passages if key in numbers])
        for doc_id in one.documents:
            own = hits.at(owned.get(doc_id, []))
            fitting = [passage for passage in own if not answers or holds_any(passage.text, answers)]
            yield from sorted(fitting, key=hits.order)[:1]
        if not one.documents and not one.passages:
            yield from islice((hit for hit in hits.since(1) if holds_any(hit.text, answers)), 1)

    def _examples(self, one: Asked, positives: list[TrainingPassage], hits: Hits) -> Iterator[Example]:
        relevant = tuple(dict.fromkeys([*one.documents, *(passage.doc_id for passage in positives)]))
        answers = sequences_of(one.answers)
        known: dict[int, bool] = {}

        def negative(hit: TrainingPassage) -> bool:
            if hit.id not in known:
                known[hit.id] = hit.doc_id not in relevant and not holds_any(hit.text, answers)
            return known[hit.id]

        # Dev is measured with them even where none is trained with.
        for positive in [*dict.fromkeys(positives)][: self._most]:
            fitting = (
                hit
                for hit in hits.since(self._settings.first_rank)
                if self._below(hit, positive) and negative(hit)
            )
            chosen = list(islice(fitting, self._settings.count))
            title = positive.title.strip()
            group = title if self._group == "title" and title else positive.doc_id
            bare = [_untitled(p) if one.untitled else p for p in (positive, *chosen)]
            yield Example(
                one.query_id, one.query, bare[0], tuple(bare[1:]), relevant, tuple(one.answers), group
            )

    def _below(self, hit: TrainingPassage, positive: TrainingPassage) -> bool:
        if self._settings.margin is None or positive.score is None or hit.score is None:
            return True
        return hit.score <= self._settings.margin * positive.score


def _untitled(passage: TrainingPassage) -> TrainingPassage:
    return TrainingPassage(**{**vars(passage), "title": ""})


def _why_none(one: Asked) -> str:
    if one.passages or one.documents:
        return (
            "no positive is in the index" if not one.answers else "no positive in the index holds an answer"
        )
    return "no passage that was found holds an answer"
