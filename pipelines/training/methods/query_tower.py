"""The query side alone: trained against the vectors that an index holds, by labels or by a teacher."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from pipelines.training.examples import Example
from pipelines.training.losses import align, dot_scores, info_nce
from pipelines.training.methods.bank import Bank
from pipelines.training.methods.batch import in_batch
from pipelines.training.methods.contrastive import backward_over_all
from pipelines.training.methods.dev import Pool, pool_measures
from pipelines.training.models import Tower
from pipelines.training.running import World

Teacher = Callable[[Sequence[str]], np.ndarray]
_MEASURED_AT_ONCE = 64


class QueryTower:
    """InfoNCE of each query over its positive, hard negatives, those of the batch, and drawn passages.

    teacher: gives vectors (q, d) of queries; where it is there, the tower is aligned to it instead, and
    no label counts. `measure_name`: MRR@10 of dev queries among dev's passages and the drawn ones, or their
    mean cosine to the teacher's vectors.
    """

    def __init__(
        self, query: Tower, bank: Bank, dev: Sequence[Example], *, temperature: float, per_step: int,
        chunk: int | None, teacher: Teacher | None = None,
    ) -> None:  # fmt: skip
        self.query, self._bank, self._dev = query, bank, dev
        self._temperature, self._per_step, self._chunk = temperature, per_step, chunk
        self._teacher = teacher
        self.measure_name = "MRR@10" if teacher is None else "cosine"
        self._pool = Pool.of(dev)
        self._drawn = bank.drawn_vectors().to(query.device)

    def parameters(self) -> dict[str, nn.Parameter]:
        """As `Method.parameters`."""
        return self.query.trained()

    def step(self, batch: Sequence[Example], epoch: int, step: int, world: World) -> dict[str, float]:
        """As `Method.step`."""
        queries = [example.query for example in batch[world.share(batch)]]

        def encode(first: int, last: int) -> tuple[Tensor, ...]:
            return (self.query([""] * (last - first), queries[first:last], "query"),)

        loss = self._contrast(batch, epoch) if self._teacher is None else self._align(batch, self._teacher)
        return {"loss": backward_over_all([(len(queries), encode)], self._chunk, loss, world)}

    def _contrast(self, batch: Sequence[Example], epoch: int) -> Callable[[Tensor], Tensor]:
        whole = in_batch(batch, epoch, self._per_step)
        device = self.query.device
        passages = torch.cat([self._bank.of(whole.passages).to(device), self._drawn])
        allowed = torch.cat([whole.allowed, self._bank.allowed(batch)], 1).to(device)
        targets = whole.targets.to(device)
        return lambda q: info_nce(dot_scores(q, passages, self._temperature), targets, allowed)

    def _align(self, batch: Sequence[Example], teacher: Teacher) -> Callable[[Tensor], Tensor]:
        wanted = torch.from_numpy(teacher([example.query for example in batch])).to(self.query.device)
        return lambda q: align(q, wanted)

    @torch.no_grad()
    def measure(self, world: World) -> dict[str, float]:
        """As `Method.measure`."""
        passages = torch.cat([self._bank.of(self._pool.passages).to(self.query.device), self._drawn])
        own = self._dev[world.share(self._dev)]
        blocks = [torch.zeros((0, self.query.dimension), device=self.query.device)]
        was, _ = self.query.training, self.query.eval()
        for first in range(0, len(own), _MEASURED_AT_ONCE):
            some = [example.query for example in own[first : first + _MEASURED_AT_ONCE]]
            blocks.append(self.query([""] * len(some), some, "query"))
        self.query.train(was)
        queries, _ = world.gather(torch.cat(blocks))
        allowed = torch.cat([self._pool.allowed, self._bank.allowed(self._dev)], 1)
        pool = Pool(self._pool.passages, self._pool.targets, allowed)
        found = pool_measures(queries @ passages.T, pool, self._temperature)
        if self._teacher is None:
            return found
        wanted = torch.from_numpy(self._teacher([example.query for example in self._dev])).to(queries.device)
        return {"cosine": float(cosine_similarity(queries, wanted).mean()), **found}

    def export(self, folder: Path) -> dict[str, str]:
        """Write the model; the key of `model` in a build's configuration, and its folder."""
        self.query.save(folder / "query")
        return {"query_name": "query"}
