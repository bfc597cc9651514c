"""Beam search in log space, without a length penalty: what sequence and token decoding share."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Hypothesis:
    """An answer: its tokens, with the end where it has one, and the sum of their log-probabilities."""

    tokens: tuple[int, ...]
    score: float


@dataclass(frozen=True)
class Chosen:
    """How unfinished hypotheses go on: (b,) places in the last ones, (b,) tokens, both int64."""

    rows: Tensor
    tokens: Tensor


class Beams:
    """The best hypotheses of one search. Every hypothesis that ends leaves room for no other.

    `running`: unfinished ones, best first. `done`: nothing that is unfinished can become one of the best.
    """

    def __init__(self, width: int, end: int) -> None:
        """width: hypotheses that are kept, finished and unfinished alike. end: the token that ends one."""
        self.done = False
        self.running: list[Hypothesis] = [Hypothesis((), 0.0)]
        self._width, self._end = width, end
        self._finished: list[Hypothesis] = []

    def advance(self, following: Tensor) -> Chosen:
        """Go on by one token. following: (running, v) log-probabilities, -inf for what cannot be."""
        scores = torch.tensor([one.score for one in self.running], device=following.device)
        ends = (scores + following[:, self._end]).tolist()
        for one, score in zip(self.running, ends, strict=True):
            if score > -torch.inf:
                self._finished.append(Hypothesis((*one.tokens, self._end), score))
        self._finished = _best(self._finished, self._width)
        open_ = (scores[:, None] + following).clone()
        open_[:, self._end] = -torch.inf
        flat = open_.flatten()
        values, places = flat.topk(min(self._width, len(flat)))
        real = values > -torch.inf
        values, places = values[real], places[real]
        rows, tokens = places // following.shape[1], places % following.shape[1]
        self.running = [
            Hypothesis((*self.running[row].tokens, token), score)
            for row, token, score in zip(rows.tolist(), tokens.tolist(), values.tolist(), strict=True)
        ]
        full = len(self._finished) == self._width
        self.done = not self.running or (full and self._finished[-1].score >= self.running[0].score)
        return Chosen(rows, tokens)

    def best(self) -> list[Hypothesis]:
        """At most `width` hypotheses, best first, with those that had no room to end where not done."""
        return _best(self._finished + ([] if self.done else self.running), self._width)


def _best(found: list[Hypothesis], most: int) -> list[Hypothesis]:
    return sorted(found, key=lambda one: (-one.score, one.tokens))[:most]
