"""Losses over MaxSim scores (Khattab & Zaharia 2020; distillation as ColBERTv2, Santhanam et al. 2022)."""

import torch
import torch.nn.functional as F
from torch import Tensor

_PAIRS = 1 << 25  # similarities held at once


def maxsim(queries: Tensor, query_mask: Tensor, passages: Tensor, passage_mask: Tensor) -> Tensor:
    """`sum_i max_j (q_i . p_j)` of each query with each passage: (q, p) float32.

    queries: (q, s, d); passages: (p, t, d); masks (q, s), (p, t) bool, False for padding and punctuation. A
    passage without any token scores 0.
    """
    step = max(1, _PAIRS // max(1, queries.shape[0] * queries.shape[1] * passages.shape[1]))
    columns = []
    for first in range(0, len(passages), step):
        some, mask = passages[first : first + step], passage_mask[first : first + step]
        similar = torch.einsum("qsd,ptd->qpst", queries.float(), some.float())
        best = similar.masked_fill(~mask[None, :, None, :], float("-inf")).amax(-1)
        best = best.masked_fill(~mask.any(1)[None, :, None], 0.0)
        columns.append((best * query_mask[:, None, :]).sum(-1))
    return torch.cat(columns, 1)


def pairwise(scores: Tensor, targets: Tensor, negatives: Tensor) -> Tensor:
    """Mean of `-log softmax([S(q, p+), S(q, p-)])[0]` over all pairs of a query and a hard negative of its.

    scores: (q, p); targets: (q,) the positives' columns; negatives: (q, n) int64 columns, -1 for none. Zero
    where there is no pair.
    """
    there = negatives >= 0
    positive = scores.gather(1, targets[:, None])
    negative = scores.gather(1, negatives.clamp(min=0))
    losses = F.softplus(negative - positive)  # -log softmax of the first of two
    return (losses * there).sum() / there.sum().clamp(min=1)


def distil(scores: Tensor, teacher: Tensor, there: Tensor) -> Tensor:
    """KL divergence of the student's softmax over n passages from the teacher's, mean over the queries.

    scores, teacher: (q, n); there: (q, n) bool, False where a query has fewer passages.
    """
    student = scores.masked_fill(~there, -1e4).log_softmax(1)
    target = teacher.masked_fill(~there, -1e4).log_softmax(1)
    return F.kl_div(student, target, reduction="batchmean", log_target=True)
