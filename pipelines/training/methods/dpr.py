"""Dense passage retrieval with both sides trained: one shared encoder, or two (Karpukhin et al. 2020)."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from pipelines.training.examples import Example
from pipelines.training.losses import dot_scores, info_nce
from pipelines.training.methods.batch import in_batch
from pipelines.training.methods.contrastive import backward_over_all
from pipelines.training.methods.dev import Pool, pool_measures
from pipelines.training.models import Tower
from pipelines.training.running import World

_MEASURED_AT_ONCE = 64


class DenseRetriever:
    """Query and passage towers, which may be one. `measure_name`: MRR@10 of dev queries in their pool."""

    measure_name = "MRR@10"

    def __init__(
        self, query: Tower, passage: Tower, dev: Sequence[Example], *, temperature: float, per_step: int,
        chunk: int | None,
    ) -> None:  # fmt: skip
        self.query, self.passage = query, passage
        self._dev, self._pool = dev, Pool.of(dev)
        self._temperature, self._per_step, self._chunk = temperature, per_step, chunk

    def parameters(self) -> dict[str, nn.Parameter]:
        """As `Method.parameters`."""
        if self.query is self.passage:
            return self.query.trained()
        both = {"query": self.query, "passage": self.passage}
        return {
            f"{side}.{name}": one for side, tower in both.items() for name, one in tower.trained().items()
        }

    def step(self, batch: Sequence[Example], epoch: int, step: int, world: World) -> dict[str, float]:
        """As `Method.step`."""
        whole = in_batch(batch, epoch, self._per_step)
        share = world.share(batch)
        own = batch[share]
        queries = [example.query for example in own]
        rows = [place for place, owner in enumerate(whole.owners) if share.start <= owner < share.stop]
        passages = [whole.passages[row] for row in rows]

        def encode_queries(first: int, last: int) -> tuple[Tensor, ...]:
            return (self.query([""] * (last - first), queries[first:last], "query"),)

        def encode_passages(first: int, last: int) -> tuple[Tensor, ...]:
            some = passages[first:last]
            return (self.passage([one.title for one in some], [one.text for one in some], "passage"),)

        device = self.query.device
        targets, allowed = whole.targets.to(device), whole.allowed.to(device)

        def loss(q: Tensor, p: Tensor) -> Tensor:
            return info_nce(dot_scores(q, p, self._temperature), targets, allowed)

        parts = [(len(queries), encode_queries), (len(passages), encode_passages)]
        return {"loss": backward_over_all(parts, self._chunk, loss, world)}

    @torch.no_grad()
    def measure(self, world: World) -> dict[str, float]:
        """As `Method.measure`."""
        pool = self._pool.passages[world.share(self._pool.passages)]
        own = [self._encode(self.passage, [p.title for p in pool], [p.text for p in pool], "passage")]
        passages, _ = world.gather(torch.cat(own))
        texts = [example.query for example in self._dev]
        queries = self._encode(self.query, [""] * len(texts), texts, "query")
        return pool_measures(queries @ passages.T, self._pool, self._temperature)

    def _encode(self, tower: Tower, titles: list[str], texts: list[str], side: str) -> Tensor:
        blocks = [torch.zeros((0, tower.dimension), device=tower.device)]
        was, _ = tower.training, tower.eval()
        for first in range(0, len(texts), _MEASURED_AT_ONCE):
            some = slice(first, first + _MEASURED_AT_ONCE)
            blocks.append(tower(titles[some], texts[some], side))
        tower.train(was)
        return torch.cat(blocks)

    def export(self, folder: Path) -> dict[str, str]:
        """Write the models; the keys of `model` in a build's configuration, and their folders."""
        if self.query is self.passage:
            self.query.save(folder / "model")
            return {"name": "model"}
        self.query.save(folder / "query")
        self.passage.save(folder / "passage")
        return {"name": "passage", "query_name": "query"}
