"""Risk and coverage: what is wrong among the answers that are most trusted (Geifman & El-Yaniv 2017)."""

from collections.abc import Callable

import numpy as np

ROUNDS = 2_000
COVERAGE = 0.7


def risks(confidence: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """Share of wrong answers among the i most trusted, for i from 1: float64 (n,).

    confidence: (n,). wrong: (n,), 1 where an answer is wrong. Answers of one confidence count as their mean,
    in whichever order they come.
    """
    order = np.argsort(-confidence, kind="stable")
    ranked, errors = confidence[order], wrong[order].astype(np.float64)
    _, group = np.unique(-ranked, return_inverse=True)
    means = np.bincount(group, weights=errors) / np.bincount(group)
    return np.asarray(means[group].cumsum() / np.arange(1, len(errors) + 1))


def area(confidence: np.ndarray, wrong: np.ndarray) -> float:
    """The area under the curve of risk by coverage (AURC): the mean of `risks`."""
    return float(risks(confidence, wrong).mean())


def risk_at(confidence: np.ndarray, wrong: np.ndarray, coverage: float = COVERAGE) -> float:
    """Risk where this share of the questions is answered."""
    found = risks(confidence, wrong)
    return float(found[max(1, int(np.ceil(coverage * len(found)))) - 1])


def bootstrap(
    measure: Callable[[np.ndarray, np.ndarray], float], first: tuple[np.ndarray, np.ndarray],
    second: tuple[np.ndarray, np.ndarray], *, rounds: int = ROUNDS, seed: int = 0,
) -> tuple[float, float]:  # fmt: skip
    """The difference of a measure, second - first, and its two-sided p by a paired bootstrap over questions.

    first, second: confidence (n,) and wrong (n,) of two runs on the same questions.
    """
    difference = measure(*second) - measure(*first)
    random, count = np.random.default_rng(seed), len(first[0])
    below = above = 1
    for _ in range(rounds):
        rows = random.integers(0, count, count)
        drawn = measure(*(one[rows] for one in second)) - measure(*(one[rows] for one in first))
        below, above = below + (drawn <= 0), above + (drawn >= 0)
    return difference, min(1.0, 2 * min(below, above) / (rounds + 1))
