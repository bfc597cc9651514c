"""Why passages were found: the terms and tokens that matched, exact beside quantized scores."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from retrieval.format import Manifest, Passage
from retrieval.results import Explanation, TermShare, TokenShare
from retrieval.search.protocols import QueryModels, Shards, TokenShareRequest
from retrieval.search.shards import Cell, ExplainRequest, Matches, ScoreRequest
from retrieval.search.stages import Trace


def explain(
    queries: Sequence[str], trace: Trace, passages: Mapping[int, dict[str, Any]], group: Shards,
    models: QueryModels, manifest: Manifest,
) -> dict[Cell, Explanation]:  # fmt: skip
    """Explanations of the passages of `trace.final` that are among `passages`, by their place there.

    The shards are asked once for all of them, and so are the models.
    """
    ids = trace.final.ids
    wanted: dict[Cell, Passage] = {
        (row, place): Passage(**passages[int(ids[row, place])])
        for row, place in np.argwhere(ids >= 0).tolist()
        if int(ids[row, place]) in passages
    }
    if not wanted:
        return {}
    scores: list[ScoreRequest] = []
    if trace.vectors is not None and "dense" in trace.lists:
        depth = trace.lists["dense"].width
        scores = [
            ScoreRequest("exact", trace.vectors, ids),
            ScoreRequest("quantized", trace.vectors, ids, depth),
        ]
    matches = group.explain(ExplainRequest(ids, scores, trace.terms, trace.tokens))
    tokens = _token_shares(queries, trace, wanted, matches, models)
    return {
        place: Explanation(
            shard=manifest.shard_name(int(ids[place])),
            version=manifest.version,
            dense_exact=_finite(matches, "exact", place),
            dense_quantized=_finite(matches, "quantized", place),
            terms=[
                TermShare(match.term, match.idf, match.count_in_passage, match.score)
                for match in matches.terms.get(place, [])
            ],
            tokens=tokens.get(place, []),
            signals=trace.fused.explained(place[0], int(ids[place])) if trace.fused else {},
        )
        for place in wanted
    }


def _token_shares(
    queries: Sequence[str], trace: Trace, wanted: Mapping[Cell, Passage], matches: Matches,
    models: QueryModels,
) -> dict[Cell, list[TokenShare]]:  # fmt: skip
    if not trace.tokens:
        return {}
    asked = [
        TokenShareRequest(queries[place[0]], trace.tokens[place[0]], passage, matches.pairs.get(place))
        for place, passage in wanted.items()
    ]
    return dict(zip(wanted, models.token_shares(asked), strict=True))


def _finite(matches: Matches, kind: str, place: Cell) -> float | None:
    value = float(matches.scores[kind][place]) if kind in matches.scores else None
    return value if value is not None and np.isfinite(value) else None
