"""Decoding with several passages: by sequence, thorough and fast, and by token (RAG, Lewis et al. 2020).

`prior`: (k,) log p(z | x) of the passages, see `log_prior`. Raw summed log-probabilities, no length penalty.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from retrieval.deadline import look
from retrieval.generation.marginal.beams import Beams, Hypothesis
from retrieval.generation.marginal.conditionals import Conditionals
from retrieval.generation.marginal.likelihood import sequence_likelihood


@dataclass(frozen=True)
class Decoded:
    """An answer of several passages. `tokens`: with the end where it has one.

    `likelihood`: log p(y | x). `weights`: (k,) p(z | x, y), what each passage has to do with the answer;
    by token it is the mean over the tokens. `token_weights`: (t, k) p(z | x, y_<=i), by token alone.
    """

    tokens: tuple[int, ...]
    likelihood: float
    weights: tuple[float, ...]
    token_weights: tuple[tuple[float, ...], ...] = ()


@torch.inference_mode()
def decode_sequence(
    model: Conditionals, prior: Tensor, *, beams: int, most: int, thorough: bool
) -> list[Decoded]:
    """RAG-Sequence: beam search for each passage; the union of their hypotheses, best first.

    thorough: every hypothesis is scored under every passage; else one has no probability under a passage
    whose beam does not hold it. most: tokens of an answer; one that finds no end by then has none.
    """
    found = _search_each(model, len(prior), beams, most)
    answers = sorted({one.tokens for own in found for one in own})
    if thorough:
        tokens = model.score(answers)  # (k, n, t)
    else:
        scores = {(z, one.tokens): one.score for z, own in enumerate(found) for one in own}
        tokens = torch.tensor(
            [[[scores.get((z, answer), -torch.inf)] for answer in answers] for z in range(len(prior))],
            device=prior.device,
        )
    likelihood = sequence_likelihood(prior, tokens.transpose(0, 1))
    weights = (prior + tokens.sum(-1).T).softmax(-1)
    order = likelihood.argsort(descending=True, stable=True).tolist()
    return [
        Decoded(answers[place], float(likelihood[place]), tuple(weights[place].tolist())) for place in order
    ]


def _search_each(model: Conditionals, passages: int, width: int, most: int) -> list[list[Hypothesis]]:
    """The hypotheses of each passage alone, all passages in one batch."""
    searches = [Beams(width, model.end) for _ in range(passages)]
    following = model.start()
    owners = torch.arange(passages, device=following.device)
    for length in range(1, most + 1):
        look()
        rows, tokens, kept = [], [], []
        for z, search in enumerate(searches):
            own = (owners == z).nonzero().flatten()
            if not len(own):
                continue
            chosen = search.advance(following[own])
            if not search.done:
                rows.append(own[chosen.rows])
                tokens.append(chosen.tokens)
                kept.append(torch.full_like(chosen.rows, z))
        if not rows or length == most:
            break
        owners = torch.cat(kept)
        following = model.step(torch.cat(rows), torch.cat(tokens))
    return [search.best() for search in searches]


@torch.inference_mode()
def decode_token(model: Conditionals, prior: Tensor, *, beams: int, most: int) -> Decoded:
    """RAG-Token: beam search on the marginal distribution of the next token; every passage's cache follows.

    most: tokens of an answer; one that finds no end by then has none.
    """
    passages = len(prior)
    search = Beams(beams, model.end)
    following = model.start()[None]  # (beams, k, v)
    for length in range(1, most + 1):
        look()
        chosen = search.advance(torch.logsumexp(prior[:, None] + following, 1))
        if search.done or length == most:
            break
        found = model.step(*_each_passage(chosen.rows, chosen.tokens, passages))
        following = found.unflatten(0, (-1, passages))
    best = search.best()[0]
    return _weighed(best, prior, model.score([best.tokens])[:, 0])


@torch.inference_mode()
def stream_token(
    model: Conditionals, prior: Tensor, *, most: int, temperature: float = 0.0
) -> Iterator[tuple[int, tuple[float, ...], float]]:
    """RAG-Token with one beam, token by token: the token, its (k,) weights, and its log-probability.

    The token that ends the answer is given too. temperature: of the marginal distribution; 0: the likeliest.
    """
    passages = len(prior)
    following = model.start()
    for length in range(1, most + 1):
        look()
        joint = prior[:, None] + following
        marginal = joint.logsumexp(0)
        if temperature == 0:
            token = marginal.argmax()
        else:
            token = torch.multinomial((marginal / temperature).softmax(0), 1)[0]
        weights = joint[:, token].softmax(0)
        yield int(token), tuple(weights.tolist()), float(marginal[token])
        if int(token) == model.end or length == most:
            return
        zero = torch.zeros(1, dtype=torch.int64, device=following.device)
        following = model.step(*_each_passage(zero, token[None], passages))


def _each_passage(rows: Tensor, tokens: Tensor, passages: int) -> tuple[Tensor, Tensor]:
    """The rows and tokens of beams, for each of their passages."""
    every = torch.arange(passages, device=rows.device)
    return (rows[:, None] * passages + every).flatten(), tokens.repeat_interleave(passages)


def _weighed(found: Hypothesis, prior: Tensor, tokens: Tensor) -> Decoded:
    """tokens: (k, t) of the answer under each passage."""
    shares = (prior[:, None] + tokens).softmax(0).T  # (t, k)
    return Decoded(
        found.tokens, found.score, tuple(shares.mean(0).tolist()),
        tuple(tuple(one) for one in shares.tolist()),
    )  # fmt: skip
