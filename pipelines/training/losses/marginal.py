"""The end-to-end loss of RAG: `-log sum_z p(z|q) p(Y|q,z)`, by sequence or by token (Lewis et al. 2020).

The likelihood is that of `retrieval.generation.marginal`, which decoding shares.
"""

from typing import Literal

import torch
from torch import Tensor

from retrieval.generation.marginal import log_prior, sequence_likelihood, token_likelihood


def marginal_loss(
    scores: Tensor, tokens: Tensor, kind: Literal["sequence", "token"], scale: float = 1.0
) -> Tensor:
    """Negative log-likelihood of one answer, a scalar. scores: (k,) of the passages; tokens: (k, t)."""
    prior = log_prior(scores, scale)
    if kind == "sequence":
        return -sequence_likelihood(prior, tokens)
    return -token_likelihood(
        prior, tokens, torch.ones(tokens.shape[-1], dtype=torch.bool, device=tokens.device)
    )


def prior_entropy(scores: Tensor, scale: float = 1.0) -> Tensor:
    """Entropy of the prior over k passages in nats; `log k` where all are alike, 0 where one has it all."""
    prior = log_prior(scores, scale)
    return -(prior.exp() * prior).sum(-1)
