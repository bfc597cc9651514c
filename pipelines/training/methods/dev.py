"""Measures on dev while training: dev queries rank a pool of their own passages and each other's."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pipelines.training.examples import Example, TrainingPassage
from pipelines.training.methods.batch import allowed_of
from pipelines.training.running import TIES


@dataclass(frozen=True)
class Pool:
    """All positives and hard negatives of the dev examples, each once.

    `targets` (q,): the column of each query's positive. `allowed` (q, p): False for it and for other passages
    that are relevant too, or hold an answer.
    """

    passages: list[TrainingPassage]
    targets: Tensor
    allowed: Tensor

    @classmethod
    def of(cls, dev: Sequence[Example]) -> "Pool":
        """The pool of some examples."""
        columns: dict[str, int] = {}
        passages: list[TrainingPassage] = []
        for example in dev:
            for passage in (example.positive, *example.negatives):
                if passage.passage_id not in columns:
                    columns[passage.passage_id] = len(passages)
                    passages.append(passage)
        targets = torch.tensor([columns[example.positive.passage_id] for example in dev], dtype=torch.int64)
        return cls(passages, targets, allowed_of(dev, passages))


def ranks_in_pool(scores: Tensor, pool: Pool) -> Tensor:
    """Rank from 1 of the first passage that is relevant to each query, or holds its answer: (q,) int64."""
    allowed, targets = pool.allowed.to(scores.device), pool.targets.to(scores.device)
    own = scores.masked_fill(allowed, float("-inf")).amax(1, keepdim=True)
    own = torch.maximum(own, scores.gather(1, targets[:, None]))
    return 1 + ((scores >= own) & allowed).sum(1)


def pool_measures(scores: Tensor, pool: Pool, temperature: float) -> dict[str, float]:
    """`rank_measures`, and TIES: the mean log-probability of what is relevant, for when all is found anyway.

    scores: (q, p); they are divided by `temperature` before the softmax.
    """
    found = rank_measures(ranks_in_pool(scores, pool))
    scaled, relevant = scores.float() / temperature, ~pool.allowed.to(scores.device)
    relevant = relevant.scatter(1, pool.targets.to(scores.device)[:, None], True)
    own = scaled.masked_fill(~relevant, float("-inf")).logsumexp(1)
    return {**found, TIES: float((own - scaled.logsumexp(1)).mean())}


def rank_measures(ranks: Tensor) -> dict[str, float]:
    """MRR@10 and recall@1 and @5 of ranks (q,)."""
    value = ranks.double()
    return {
        "MRR@10": float(torch.where(value <= 10, 1 / value, 0.0).mean()),
        "recall@1": float((value <= 1).double().mean()),
        "recall@5": float((value <= 5).double().mean()),
    }
