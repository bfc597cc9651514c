"""ColBERT: pairwise log-likelihood over hard negatives, softmax in the batch, or distillation."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from pipelines.training.examples import Example, TrainingPassage
from pipelines.training.losses import distil, info_nce, maxsim, pairwise
from pipelines.training.methods.batch import InBatch, in_batch
from pipelines.training.methods.contrastive import backward_over_all
from pipelines.training.methods.dev import Pool, pool_measures
from pipelines.training.models import LateEncoder
from pipelines.training.running import World

CrossScores = Callable[[Sequence[tuple[str, str]]], np.ndarray]
_MEASURED_AT_ONCE = 32
_KEPT = 1_000_000  # scores of the teacher that are remembered


class LateInteraction:
    """One encoder of both sides. `measure_name`: MRR@10 of dev queries in their pool, by MaxSim."""

    measure_name = "MRR@10"

    def __init__(
        self, encoder: LateEncoder, dev: Sequence[Example], *, loss: Literal["pairwise", "in_batch", "both",
        "distil"], temperature: float, per_step: int, chunk: int | None, teacher: CrossScores | None = None,
    ) -> None:  # fmt: skip
        """teacher: scores (query, passage) pairs; for the loss "distil"."""
        self.encoder, self._dev, self._pool = encoder, dev, Pool.of(dev)
        self._loss, self._temperature = loss, temperature
        self._per_step, self._chunk = per_step, chunk
        self._teacher, self._known = teacher, dict[tuple[str, str], float]()

    def parameters(self) -> dict[str, nn.Parameter]:
        """As `Method.parameters`."""
        return self.encoder.trained()

    def step(self, batch: Sequence[Example], epoch: int, step: int, world: World) -> dict[str, float]:
        """As `Method.step`."""
        whole = in_batch(batch, epoch, self._per_step)
        share = world.share(batch)
        queries = [example.query for example in batch[share]]
        owned = zip(whole.passages, whole.owners, strict=True)
        passages = [_text(passage) for passage, owner in owned if share.start <= owner < share.stop]

        def encode_queries(first: int, last: int) -> tuple[Tensor, ...]:
            return self.encoder(queries[first:last], "query")

        def encode_passages(first: int, last: int) -> tuple[Tensor, ...]:
            return self.encoder(passages[first:last], "passage")

        loss = self._loss_of(batch, whole)
        parts = [(len(queries), encode_queries), (len(passages), encode_passages)]
        return {"loss": backward_over_all(parts, self._chunk, loss, world)}

    def _loss_of(self, batch: Sequence[Example], whole: InBatch) -> Callable[..., Tensor]:
        device = self.encoder.device
        targets, negatives = whole.targets.to(device), whole.negatives.to(device)
        allowed, kind = whole.allowed.to(device), self._loss
        wanted = self._teacher_scores(batch, whole).to(device) if kind == "distil" else None

        def loss(q: Tensor, q_mask: Tensor, p: Tensor, p_mask: Tensor) -> Tensor:
            scores = maxsim(q, q_mask, p, p_mask)
            found = torch.zeros((), device=scores.device)
            if wanted is not None:
                columns = torch.cat([targets[:, None], negatives], 1)
                own = scores.gather(1, columns.clamp(min=0))
                found = found + distil(own, wanted, columns >= 0)
            if kind in ("pairwise", "both"):
                found = found + pairwise(scores, targets, negatives)
            if kind in ("in_batch", "both"):
                found = found + info_nce(scores / self._temperature, targets, allowed)
            return found

        return loss

    def _teacher_scores(self, batch: Sequence[Example], whole: InBatch) -> Tensor:
        """The teacher's scores of positive and hard negatives: (q, 1 + n) float32, 0 where there is none."""
        assert self._teacher is not None  # of the loss "distil"
        columns = torch.cat([whole.targets[:, None], whole.negatives], 1)
        cells = [(row, place) for row, place in (columns >= 0).nonzero().tolist()]
        keys = {}
        for row, place in cells:
            passage = whole.passages[int(columns[row, place])]
            keys[row, place] = (batch[row].query, _text(passage))
        new = [pair for pair in dict.fromkeys(keys.values()) if pair not in self._known]
        if new:
            if len(self._known) + len(new) > _KEPT:
                self._known.clear()
            self._known.update(zip(new, self._teacher(new).tolist(), strict=True))
        scores = torch.zeros(columns.shape)
        for cell, pair in keys.items():
            scores[cell] = self._known[pair]
        return scores

    @torch.no_grad()
    def measure(self, world: World) -> dict[str, float]:
        """As `Method.measure`; token vectors of some passages are held at a time."""
        was, _ = self.encoder.training, self.encoder.eval()
        own = self._pool.passages[world.share(self._pool.passages)]
        texts = [example.query for example in self._dev]
        queries = self._in_blocks(texts, "query")
        columns = [torch.zeros((0, len(texts)), device=self.encoder.device)]
        for first in range(0, len(own), _MEASURED_AT_ONCE):
            some = self.encoder([_text(one) for one in own[first : first + _MEASURED_AT_ONCE]], "passage")
            columns.append(maxsim(*queries, *some).T)
        self.encoder.train(was)
        scores, _ = world.gather(torch.cat(columns))
        return pool_measures(scores.T, self._pool, self._temperature)

    def _in_blocks(self, texts: Sequence[str], side: Literal["query", "passage"]) -> tuple[Tensor, Tensor]:
        starts = range(0, len(texts), _MEASURED_AT_ONCE)
        found = [self.encoder(texts[first : first + _MEASURED_AT_ONCE], side) for first in starts]
        return torch.cat([one for one, _ in found]), torch.cat([mask for _, mask in found])

    def export(self, folder: Path) -> dict[str, str]:
        """Write the model; the key of `late_interaction.model`, and its folder."""
        self.encoder.save(folder / "model")
        return {"name": "model"}


def _text(passage: TrainingPassage) -> str:
    """A passage with its title in front, as an index has its token vectors made."""
    return f"{passage.title} {passage.text}" if passage.title else passage.text
