"""Which differences between stages are real: a paired randomisation test, corrected for their number."""

from collections.abc import Sequence

import numpy as np

ROUNDS = 10_000
BLOCK = 500  # rounds at a time: memory is BLOCK * queries * 8 bytes
ALPHA = 0.05


def randomisation_test(differences: np.ndarray, *, rounds: int = ROUNDS, seed: int = 0) -> float:
    """Two-sided p-value of the hypothesis that the paired differences (q,) are as likely + as -.

    Fisher's randomisation test: every round flips the sign of each difference at random; p is the share
    of rounds, the observed one counted, whose absolute sum is at least the observed one. Smucker, Allan
    and Carterette 2007 compare it with the alternatives. Needs no assumption about the distribution.
    """
    values = differences[differences != 0]
    if not len(values):
        return 1.0
    observed = (
        abs(values.sum()) - 1e-9 * np.abs(values).sum()
    )  # sums in another order differ in the last bits
    random = np.random.default_rng(seed)
    as_extreme = 1
    for start in range(0, rounds, BLOCK):
        signs = random.integers(0, 2, (min(BLOCK, rounds - start), len(values)), np.int8) * 2 - 1
        as_extreme += int((np.abs(signs @ values) >= observed).sum())
    return as_extreme / (rounds + 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction: adjusted p-values that bound the chance of any false claim."""
    order = np.argsort(p_values, kind="stable")
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for place, number in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - place) * p_values[number]))
        adjusted[number] = highest
    return adjusted
