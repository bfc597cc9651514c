"""The likelihood of an answer, marginalised over passages (RAG, Lewis et al. 2020). Log space, float32.

z: one of k passages; `prior` (..., k) is log p(z | x); `tokens` (..., k, t) is log p(y_i | x, z, y_<i), 0 at
padding, so that answers of different lengths, and of none, may stand in one batch.
"""

import torch
from torch import Tensor


def log_prior(scores: Tensor, scale: float = 1.0) -> Tensor:
    """log softmax over the k passages of scaled scores (..., k)."""
    return (scores.float() * scale).log_softmax(-1)


def sequence_likelihood(prior: Tensor, tokens: Tensor) -> Tensor:
    """RAG-Sequence: `logsumexp_z ( d_z + sum_i t_{z,i} )`, shape (...).

    The prior stands outside the sum over tokens: no padding can drop it.
    """
    return torch.logsumexp(prior.float() + tokens.float().sum(-1), -1)


def token_likelihood(prior: Tensor, tokens: Tensor, real: Tensor) -> Tensor:
    """RAG-Token: `sum_i logsumexp_z ( d_z + t_{z,i} )`, shape (...).

    real: (..., t) bool, False at padding.
    """
    marginal = torch.logsumexp(prior.float()[..., None] + tokens.float(), -2)
    return (marginal * real).sum(-1)
