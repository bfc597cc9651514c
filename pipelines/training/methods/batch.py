"""A batch as the losses see it: which passages are in it, and which are no negatives of which query."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pipelines.judged import sequences_of, token_sequence
from pipelines.training.examples import Example, TrainingPassage


@dataclass(frozen=True)
class InBatch:
    """`passages`: for each example its positive, then its hard negatives of this step, example by example.

    `owners`: the example of each passage. `targets` (q,): each query's positive; `negatives` (q, n): its hard
    negatives, -1 for none. `allowed` (q, p): False for passages of documents that are relevant, that hold the
    query's answer, or are its positive again.
    """

    passages: list[TrainingPassage]
    owners: list[int]
    targets: Tensor
    negatives: Tensor
    allowed: Tensor


def chosen_negatives(example: Example, epoch: int, per_step: int) -> list[TrainingPassage]:
    """The hard negatives of an example that an epoch takes: they take turns."""
    found = example.negatives
    start = epoch * per_step
    return [found[(start + place) % len(found)] for place in range(min(per_step, len(found)))]


def in_batch(batch: Sequence[Example], epoch: int, per_step: int) -> InBatch:
    """The passages of a batch and what they are to each query."""
    passages: list[TrainingPassage] = []
    owners: list[int] = []
    targets = torch.zeros(len(batch), dtype=torch.int64)
    negatives = torch.full((len(batch), max(1, per_step)), -1, dtype=torch.int64)
    for row, example in enumerate(batch):
        targets[row] = len(passages)
        own = chosen_negatives(example, epoch, per_step)
        for place in range(len(own)):
            negatives[row, place] = len(passages) + 1 + place
        passages += [example.positive, *own]
        owners += [row] * (1 + len(own))
    return InBatch(passages, owners, targets, negatives, allowed_of(batch, passages))


def allowed_of(batch: Sequence[Example], passages: Sequence[TrainingPassage]) -> Tensor:
    """Which passages may be negatives of which query: (q, p) bool."""
    answers = [sequences_of(example.answers) for example in batch]
    texts = [token_sequence(passage.text) for passage in passages] if any(answers) else []
    allowed = torch.ones((len(batch), len(passages)), dtype=torch.bool)
    for row, example in enumerate(batch):
        relevant = {*example.relevant, example.positive.doc_id}
        for column, passage in enumerate(passages):
            if passage.doc_id in relevant or any(answer in texts[column] for answer in answers[row]):
                allowed[row, column] = False
    return allowed
