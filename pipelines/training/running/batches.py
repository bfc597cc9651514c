"""Which examples a step takes: told from the seed and the number of the step, whoever asks and when."""

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np


class Batches:
    """The batches of a training, in order. None holds two examples of one key, such as one positive.

    The memory is that of one epoch's order: 8 bytes an example.
    """

    def __init__(
        self, keys: Sequence[str], size: int, seed: int, *, epochs: float, steps: int | None = None
    ) -> None:
        self._keys = np.unique(np.asarray(keys, object).astype(str), return_inverse=True)[1]
        self._size, self._seed = size, seed
        self._epoch = lru_cache(maxsize=2)(self._order)
        self._starts = [0]  # of the epochs, in steps
        wanted = math.inf if steps is None else steps
        for number in range(math.ceil(epochs) if steps is None else 1 << 30):
            self._starts.append(self._starts[-1] + len(self._epoch(number)))
            if self._starts[-1] >= wanted:
                break
        whole = self._starts[-1]
        if steps is None and epochs < math.ceil(epochs):
            last = self._starts[-1] - self._starts[-2]
            whole = self._starts[-2] + math.ceil(last * (epochs % 1))
        self._steps = steps if steps is not None else whole

    def __len__(self) -> int:
        return self._steps

    def at(self, step: int) -> tuple[int, list[int]]:
        """(epoch, places of the examples) of a step, from 0."""
        epoch = int(np.searchsorted(self._starts, step, side="right")) - 1
        return epoch, self._epoch(epoch)[step - self._starts[epoch]]

    def _order(self, epoch: int) -> list[list[int]]:
        """All batches of an epoch; what would meet its like waits for the next batch."""
        order = np.random.default_rng([self._seed, epoch]).permutation(len(self._keys)).tolist()
        batches: list[list[int]] = []
        waiting: list[int] = []
        place = 0
        while place < len(order) or waiting:
            batch: list[int] = []
            taken: set[int] = set()
            left: list[int] = []
            for row in waiting:
                key = int(self._keys[row])
                if len(batch) < self._size and key not in taken:
                    batch.append(row)
                    taken.add(key)
                else:
                    left.append(row)
            while len(batch) < self._size and place < len(order):
                row, key = order[place], int(self._keys[order[place]])
                place += 1
                if key in taken:
                    left.append(row)
                else:
                    batch.append(row)
                    taken.add(key)
            batches.append(batch)
            waiting = left
        return batches
