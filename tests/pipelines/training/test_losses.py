"""Losses against references written anew from their definitions, in NumPy."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipelines.training.losses import (
    align,
    distil,
    dot_scores,
    info_nce,
    marginal_loss,
    maxsim,
    pairwise,
    prior_entropy,
)
from retrieval.generation.marginal import log_prior, sequence_likelihood, token_likelihood


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cosine of each row of a with each row of b."""
    return np.array([[x @ y / (np.linalg.norm(x) * np.linalg.norm(y)) for y in b] for x in a])


def reference_info_nce(scores: np.ndarray, targets: list[int], allowed: np.ndarray) -> float:
    """Mean of -log(exp(s+) / sum exp(s)), over the positive and the allowed negatives."""
    losses = []
    for row, target in enumerate(targets):
        kept = [j for j in range(scores.shape[1]) if j == target or allowed[row, j]]
        losses.append(-math.log(math.exp(scores[row, target]) / sum(math.exp(scores[row, j]) for j in kept)))
    return float(np.mean(losses))


@given(seed=st.integers(0, 10_000), queries=st.integers(1, 5), more=st.integers(0, 6))
def test_info_nce_is_its_definition(seed: int, queries: int, more: int) -> None:
    rng = np.random.default_rng(seed)
    q, p = rng.normal(size=(queries, 8)), rng.normal(size=(queries + more, 8))
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (q, p)]
    targets = rng.permutation(queries + more)[:queries]
    allowed = rng.random((queries, queries + more)) < 0.7
    scores = dot_scores(torch.tensor(unit[0]), torch.tensor(unit[1]), 0.05)
    np.testing.assert_allclose(scores.numpy(), cosines(q, p) / 0.05, rtol=1e-4, atol=1e-4)
    found = info_nce(scores, torch.tensor(targets), torch.tensor(allowed))
    assert float(found) == pytest.approx(
        reference_info_nce(cosines(q, p) / 0.05, targets.tolist(), allowed), rel=1e-4, abs=1e-5
    )


@given(seed=st.integers(0, 10_000), tokens=st.integers(1, 6))
def test_maxsim_is_its_definition(seed: int, tokens: int) -> None:
    rng = np.random.default_rng(seed)
    q, p = rng.normal(size=(2, 3, 4)), rng.normal(size=(3, tokens, 4))
    q_mask, p_mask = rng.random((2, 3)) < 0.8, rng.random((3, tokens)) < 0.8
    expected = np.zeros((2, 3))
    for i, j in itertools.product(range(2), range(3)):
        for s in range(3):
            own = [q[i, s] @ p[j, t] for t in range(tokens) if p_mask[j, t]]
            expected[i, j] += max(own) if q_mask[i, s] and own else 0
    found = maxsim(*(torch.tensor(x) for x in (q, q_mask, p, p_mask)))
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4, atol=1e-5)


def test_maxsim_in_blocks_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = torch.Generator().manual_seed(0)
    q, p = torch.randn((2, 3, 4), generator=rng), torch.randn((7, 5, 4), generator=rng)
    masks = torch.ones((2, 3), dtype=torch.bool), torch.ones((7, 5), dtype=torch.bool)
    whole = maxsim(q, masks[0], p, masks[1])
    monkeypatch.setattr("pipelines.training.losses.late_interaction._PAIRS", 40)
    torch.testing.assert_close(maxsim(q, masks[0], p, masks[1]), whole)


def test_pairwise_is_its_definition() -> None:
    scores = torch.tensor([[3.0, 1.0, 2.0, 0.0], [0.5, 4.0, 4.5, 1.0]])
    negatives = torch.tensor([[1, 3], [2, -1]])
    pairs = [(3.0, 1.0), (3.0, 0.0), (4.0, 4.5)]
    expected = np.mean([-math.log(math.exp(a) / (math.exp(a) + math.exp(b))) for a, b in pairs])
    assert float(pairwise(scores, torch.tensor([0, 1]), negatives)) == pytest.approx(expected, rel=1e-5)
    assert float(pairwise(scores, torch.tensor([0, 1]), torch.full((2, 1), -1))) == 0


def test_distillation_is_nothing_where_the_student_agrees() -> None:
    scores, there = torch.tensor([[2.0, 1.0, 7.0]]), torch.tensor([[True, True, False]])
    assert float(distil(scores, scores + 5, there)) == pytest.approx(0, abs=1e-6)
    assert float(distil(scores, torch.tensor([[1.0, 2.0, 0.0]]), there)) > 0.1


def test_alignment_is_the_squared_distance() -> None:
    assert float(align(torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.zeros(2, 2))) == pytest.approx(2.5)


@given(seed=st.integers(0, 10_000), k=st.integers(1, 4), length=st.integers(0, 3))
def test_marginal_likelihoods_are_their_sums(seed: int, k: int, length: int) -> None:
    """Probabilities, multiplied and added as the paper writes them; of answers of no token too."""
    rng = np.random.default_rng(seed)
    scores, tokens = rng.normal(size=k), np.log(rng.uniform(0.05, 1, size=(k, length)))
    prior = np.exp(scores) / np.exp(scores).sum()
    by_sequence = sum(prior[z] * np.exp(tokens[z]).prod() for z in range(k))
    by_token = np.prod([sum(prior[z] * np.exp(tokens[z, i]) for z in range(k)) for i in range(length)])
    d, t = log_prior(torch.tensor(scores)), torch.tensor(tokens)
    assert float(sequence_likelihood(d, t).exp()) == pytest.approx(by_sequence, rel=1e-4)
    real = torch.ones(length, dtype=torch.bool)
    assert float(token_likelihood(d, t, real).exp()) == pytest.approx(by_token, rel=1e-4)
    loss = marginal_loss(torch.tensor(scores), t, "sequence")
    assert float(loss) == pytest.approx(-math.log(by_sequence), rel=1e-4, abs=1e-6)


def test_padding_changes_no_likelihood() -> None:
    prior, tokens = log_prior(torch.tensor([1.0, 2.0])), torch.tensor([[-1.0, -2.0], [-0.5, -3.0]])
    padded = torch.cat([tokens, torch.zeros(2, 3)], 1)
    real = torch.tensor([True, True, False, False, False])
    torch.testing.assert_close(sequence_likelihood(prior, padded), sequence_likelihood(prior, tokens))
    torch.testing.assert_close(
        token_likelihood(prior, padded, real), token_likelihood(prior, tokens, real[:2])
    )


def test_entropy_tells_collapse() -> None:
    assert float(prior_entropy(torch.zeros(4))) == pytest.approx(math.log(4))
    assert float(prior_entropy(torch.tensor([50.0, 0.0, 0.0, 0.0]))) < 1e-6
