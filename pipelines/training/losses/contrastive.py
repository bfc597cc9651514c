"""InfoNCE over positives, in-batch passages and hard negatives (van den Oord et al. 2018; DPR, 2020)."""

import torch
import torch.nn.functional as F
from torch import Tensor


def info_nce(scores: Tensor, targets: Tensor, allowed: Tensor | None = None) -> Tensor:
    """Mean of -log softmax of each row's positive, a scalar.

    scores: (q, n), divided by the temperature already. targets: (q,) int64, the column of each row's
    positive. allowed: (q, n) bool; columns that are not, such as further positives, do not count as
    negatives.
    """
    if allowed is not None:
        own = F.one_hot(targets, scores.shape[1]).bool()
        scores = scores.masked_fill(~(allowed | own), float("-inf"))
    return F.cross_entropy(scores.float(), targets)


def align(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared distance of vectors (n, d), summed over d, to those of a teacher (LEAF), a scalar."""
    return (student.float() - teacher.float()).square().sum(1).mean()


def dot_scores(queries: Tensor, passages: Tensor, temperature: float) -> Tensor:
    """Inner products (q, p) of float32 vectors (q, d) and (p, d), divided by the temperature."""
    return torch.matmul(queries.float(), passages.float().T) / temperature
