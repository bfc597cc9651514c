"""How the lists of several stages become one: what each stage says of every candidate, and the sums."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from retrieval.format import best_rows
from retrieval.fusions import Fusion, Signal
from retrieval.results import SignalShare
from retrieval.search.ranking import Ranking


@dataclass(frozen=True)
class Fused:
    """Candidates `ids` (q, c) int64, ascending, -1 for none; what each stage says of them, by its name, and
    what that adds to them: float64 (q, c), weights included."""

    ids: np.ndarray
    signals: dict[str, Signal]
    shares: dict[str, np.ndarray]

    @classmethod
    def of(
        cls, fusion: Fusion, ids: np.ndarray, signals: dict[str, Signal], settings: Mapping[str, Any]
    ) -> "Fused":
        """Fuse the signals; settings: the fusion's own."""
        shares = {name: fusion.shares(signal, settings) for name, signal in signals.items()}
        return cls(ids, signals, shares)

    def ranking(self, n: int) -> Ranking:
        """The n candidates with the largest sums; equal sums by id. Scores are float64."""
        sums = np.sum([*self.shares.values()], axis=0)
        return Ranking(*best_rows(np.where(self.ids >= 0, sums, -np.inf), self.ids, n))

    def reweighted(
        self, fusion: Fusion, weights: Mapping[str, float], settings: Mapping[str, Any]
    ) -> "Fused":
        """The same signals with other weights, by name."""
        signals = {name: replace(signal, weight=weights[name]) for name, signal in self.signals.items()}
        return Fused.of(fusion, self.ids, signals, settings)

    def explained(self, query: int, passage: int) -> dict[str, SignalShare]:
        """What each stage says of a passage; nothing where it is no candidate."""
        places = np.flatnonzero(self.ids[query] == passage)
        found: dict[str, SignalShare] = {}
        for name, signal in self.signals.items() if len(places) else ():
            score, share = float(signal.scores[query, places[0]]), float(self.shares[name][query, places[0]])
            calibrated = share / signal.weight if signal.weight else 0.0
            found[name] = SignalShare(score if np.isfinite(score) else None, calibrated, signal.weight, share)
        return found


def candidates_of(lists: Sequence[Ranking]) -> np.ndarray:
    """All passages of some lists, once: int64 (q, c), ascending, -1 after the last."""
    rows = [np.unique(np.concatenate(own)) for own in zip(*(ranking.ids for ranking in lists), strict=True)]
    rows = [row[row >= 0] for row in rows]
    ids = np.full((len(rows), max(map(len, rows), default=0)), -1, np.int64)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = row
    return ids


def signal_of(
    ids: np.ndarray, ranking: Ranking, weight: float, background: np.ndarray | None = None
) -> Signal:
    """A list as what its stage says of candidates, all of which it is among."""
    scores = np.full(ids.shape, -np.inf, np.float32)
    ranks = np.zeros(ids.shape, np.int64)
    for row, (own, found) in enumerate(zip(ids, ranking.ids, strict=True)):
        listed = np.flatnonzero(found >= 0)
        places = np.searchsorted(own[: np.count_nonzero(own >= 0)], found[listed])
        scores[row, places] = ranking.scores[row, listed]
        ranks[row, places] = listed + 1
    low = np.zeros(len(ids), np.float32) if background is None else background
    return Signal(scores, ranks, low, weight)


def fuse(
    fusion: Fusion, lists: Mapping[str, Ranking], weights: Sequence[float], settings: Mapping[str, Any]
) -> Fused:
    """Lists as they are, by name. A passage that a list lacks gets nothing from it."""
    ids = candidates_of([*lists.values()])
    signals = {
        name: signal_of(ids, ranking, weight)
        for (name, ranking), weight in zip(lists.items(), weights, strict=True)
    }
    return Fused.of(fusion, ids, signals, settings)
