"""Decoding over passages is what the definitions say: against enumeration over a toy vocabulary."""

import itertools
import math
from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)

from retrieval.generation.marginal import (
    CausalConditionals,
    Conditionals,
    EncoderDecoderConditionals,
    decode_sequence,
    decode_token,
    log_prior,
    stream_token,
)

WORDS, ENDS, LONGEST = 6, (1, 4), 3
KINDS = ("llama", "gemma", "t5")
Prompts = list[list[int]]


@cache
def model(kind: str) -> Any:
    """Random weights, large enough that a token depends on what is in front of it."""
    torch.manual_seed(3)
    small: dict[str, Any] = {"vocab_size": WORDS, "eos_token_id": 1, "bos_token_id": 0, "pad_token_id": 0}
    if kind == "t5":
        made: Any = T5ForConditionalGeneration(
            T5Config(**small, d_model=16, d_ff=32, num_layers=2, num_heads=2, d_kv=8,
                     decoder_start_token_id=0, dropout_rate=0.0)
        )  # fmt: skip
    else:
        small |= {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "head_dim": 8}
        small |= {"num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 64}
        made = (
            LlamaForCausalLM(LlamaConfig(**small))
            if kind == "llama"
            else Gemma3ForCausalLM(
                Gemma3TextConfig(
                    **small, sliding_window=16, layer_types=["sliding_attention", "full_attention"]
                )
            )
        )
    with torch.no_grad():
        for one in made.parameters():
            one.mul_(3).add_(0.3 * torch.randn(one.shape))
    return made.double().eval()  # so that what is compared is the formula, not its rounding


def conditionals(kind: str, prompts: Prompts) -> Conditionals:
    of = EncoderDecoderConditionals if kind == "t5" else CausalConditionals
    return of(model(kind), prompts, ENDS)


@torch.inference_mode()
def alone(kind: str, prompt: list[int], answer: tuple[int, ...]) -> list[float]:
    """log p of each token of an answer after one prompt: no cache, no padding, no batch."""
    made = model(kind)
    if kind == "t5":
        inputs = torch.tensor([[0, *answer[:-1]]])
        logits = made(input_ids=torch.tensor([prompt]), decoder_input_ids=inputs).logits[0]
    else:
        logits = made(torch.tensor([[*prompt, *answer[:-1]]])).logits[0, len(prompt) - 1 :]
    found = logits.double().softmax(-1)
    return [
        math.log(sum(float(found[place, end]) for end in ENDS) if token == ENDS[0] else found[place, token])
        for place, token in enumerate(answer)
    ]


def every_answer(longest: int = LONGEST) -> list[tuple[int, ...]]:
    """Answers that end, and those of the greatest length that do not."""
    words = [token for token in range(WORDS) if token not in ENDS]
    found = []
    for length in range(longest + 1):
        for body in itertools.product(words, repeat=length):
            if length < longest:
                found.append((*body, ENDS[0]))
            else:
                found.append(body)
    return found


def summed(values: list[float]) -> float:
    most = max(values)
    return most + math.log(sum(math.exp(one - most) for one in values))


def sequence_scores(kind: str, prompts: Prompts, prior: list[float]) -> dict[tuple[int, ...], float]:
    return {
        answer: summed(
            [own + sum(alone(kind, prompt, answer)) for own, prompt in zip(prior, prompts, strict=True)]
        )
        for answer in every_answer()
    }


def token_scores(kind: str, prompts: Prompts, prior: list[float]) -> dict[tuple[int, ...], float]:
    found = {}
    for answer in every_answer():
        each = [alone(kind, prompt, answer) for prompt in prompts]
        found[answer] = sum(
            summed([own + row[place] for own, row in zip(prior, each, strict=True)])
            for place in range(len(answer))
        )
    return found


def best(scores: dict[tuple[int, ...], float]) -> tuple[int, ...]:
    return max(scores, key=lambda answer: scores[answer])


asked = st.tuples(
    st.sampled_from(KINDS),
    st.lists(st.lists(st.integers(0, WORDS - 1), min_size=1, max_size=9), min_size=1, max_size=4),
    st.lists(st.floats(-1, 1), min_size=4, max_size=4),
    st.lists(st.integers(0, WORDS - 1), max_size=3),
)


@settings(max_examples=20, deadline=None)
@given(asked)
def test_every_score_is_that_of_the_model_alone(given_: Any) -> None:
    """Padding, a shared beginning and answers of different lengths in one batch change nothing."""
    kind, prompts, _, shared = given_
    prompts = [[*shared, *prompt] for prompt in prompts]
    made = conditionals(kind, prompts)
    answers = every_answer()[:40:3]
    found = made.score(answers)
    for z, prompt in enumerate(prompts):
        for place, answer in enumerate(answers):
            wanted = alone(kind, prompt, answer)
            assert found[z, place, : len(answer)].tolist() == pytest.approx(wanted, abs=1e-5)
            assert not found[z, place, len(answer) :].any()


@settings(max_examples=15, deadline=None)
@given(asked)
def test_with_wide_beams_decoding_is_enumeration(given_: Any) -> None:
    kind, prompts, scores, shared = given_
    prompts = [[*shared, *prompt] for prompt in prompts]
    prior = log_prior(torch.tensor(scores[: len(prompts)]), 2.0)
    made, width = conditionals(kind, prompts), WORDS**LONGEST
    by_sequence = sequence_scores(kind, prompts, prior.tolist())
    found = decode_sequence(made, prior, beams=width, most=LONGEST, thorough=True)
    assert {one.tokens for one in found} == set(by_sequence)
    for one in found:
        assert one.likelihood == pytest.approx(by_sequence[one.tokens], abs=1e-5)
        assert sum(one.weights) == pytest.approx(1)
    assert by_sequence[found[0].tokens] == pytest.approx(max(by_sequence.values()), abs=1e-5)
    # A beam that holds everything leaves nothing for the fast one to leave out.
    fast = decode_sequence(made, prior, beams=width, most=LONGEST, thorough=False)
    assert [one.likelihood for one in fast] == pytest.approx([one.likelihood for one in found], abs=1e-5)
    by_token = token_scores(kind, prompts, prior.tolist())
    decoded = decode_token(made, prior, beams=width, most=LONGEST)
    assert by_token[decoded.tokens] == pytest.approx(max(by_token.values()), abs=1e-5)
    assert decoded.likelihood == pytest.approx(by_token[decoded.tokens], abs=1e-5)


def plain_beams(kind: str, prompt: list[int], width: int) -> dict[tuple[int, ...], float]:
    """Beam search of one passage, in plain Python."""
    running, finished = [((), 0.0)], []
    for _ in range(LONGEST):
        longer = [
            ((*tokens, token), sum(alone(kind, prompt, (*tokens, token))))
            for tokens, _score in running
            for token in range(WORDS)
            if token not in ENDS[1:]
        ]
        finished += [one for one in longer if one[0][-1] == ENDS[0]]
        running = sorted((one for one in longer if one[0][-1] != ENDS[0]), key=lambda one: -one[1])[:width]
    return dict(sorted(finished + running, key=lambda one: -one[1])[:width])


@settings(max_examples=15, deadline=None)
@given(asked, st.integers(1, 3))
def test_narrow_beams_are_those_of_each_passage(given_: Any, width: int) -> None:
    kind, prompts, scores, _ = given_
    prior = log_prior(torch.tensor(scores[: len(prompts)]))
    each = [plain_beams(kind, prompt, width) for prompt in prompts]
    union = {answer for own in each for answer in own}
    made = conditionals(kind, prompts)
    thorough = decode_sequence(made, prior, beams=width, most=LONGEST, thorough=True)
    assert {one.tokens for one in thorough} == union
    complete = sequence_scores(kind, prompts, prior.tolist())
    wanted = {answer: complete[answer] for answer in union}
    assert wanted[thorough[0].tokens] == pytest.approx(max(wanted.values()), abs=1e-5)
    fast = decode_sequence(made, prior, beams=width, most=LONGEST, thorough=False)
    for one in fast:
        parts = [
            d + own[one.tokens] for d, own in zip(prior.tolist(), each, strict=True) if one.tokens in own
        ]
        assert one.likelihood == pytest.approx(summed(parts), abs=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_one_beam_by_token_is_what_is_streamed(kind: str) -> None:
    prompts = [[2, 3, 5], [0, 2], [5, 5, 3, 2, 0]]
    prior = log_prior(torch.tensor([0.2, 0.9, 0.4]))
    made = conditionals(kind, prompts)
    one = decode_token(made, prior, beams=1, most=8)
    streamed = list(stream_token(made, prior, most=8))
    # With one beam the search ends at the first end that is likelier than what goes on.
    tokens = tuple(token for token, _, _ in streamed)
    assert sum(score for _, _, score in streamed) <= one.likelihood + 1e-4 or tokens == one.tokens
    for (token, weights, score), place in zip(streamed, range(8), strict=False):
        each = [alone(kind, prompt, tokens[: place + 1])[place] for prompt in prompts]
        joint = [d + own for d, own in zip(prior.tolist(), each, strict=True)]
        assert score == pytest.approx(summed(joint), abs=1e-5)
        assert weights == pytest.approx([math.exp(value - score) for value in joint], abs=1e-5)
        assert token == tokens[place]


def test_by_token_is_what_transformers_marginalises() -> None:
    """`RagTokenForGeneration.marginalize` over the logits of the same prompts."""
    from transformers import RagTokenForGeneration

    prompts, scores, answer = [[2, 3], [5, 0, 2, 2], [3]], torch.tensor([[0.3, -0.4, 0.1]]), (2, 5, 3)
    made = CausalConditionals(model("llama"), prompts, [1])
    logits = torch.stack([
        model("llama")(torch.tensor([[*prompt, *answer[:-1]]])).logits[0, len(prompt) - 1 :]
        for prompt in prompts
    ])  # fmt: skip
    own = type("Own", (), {"config": type("C", (), {"n_docs": 3})})()
    theirs = RagTokenForGeneration.marginalize(own, logits, scores, n_docs=3)[0]
    wanted = sum(float(theirs[place, token]) for place, token in enumerate(answer))
    prior = log_prior(scores[0])
    ours = torch.logsumexp(prior[:, None] + made.score([answer])[:, 0], 0).sum()
    assert float(ours) == pytest.approx(wanted, abs=1e-5)


def test_answers_of_one_token_and_of_many_have_their_whole_likelihood() -> None:
    """transformers drops the prior where an answer has one token, and counts padding."""
    prompts, prior = [[2, 3], [5, 0, 2]], log_prior(torch.tensor([1.0, -1.0]))
    made = conditionals("t5", prompts)
    found = {one.tokens: one for one in decode_sequence(made, prior, beams=200, most=3, thorough=True)}
    wanted = sequence_scores("t5", prompts, prior.tolist())
    assert found[(ENDS[0],)].likelihood == pytest.approx(wanted[(ENDS[0],)], abs=1e-5)
    assert found[(2, 3, 5)].likelihood == pytest.approx(wanted[(2, 3, 5)], abs=1e-5)


def test_a_cancelled_search_ends() -> None:
    from retrieval.deadline import Deadline, within
    from retrieval.errors import DeadlineExceeded

    deadline = Deadline()
    deadline.cancel()
    with within(deadline), pytest.raises(DeadlineExceeded):
        decode_token(conditionals("llama", [[2], [3]]), log_prior(torch.zeros(2)), beams=2, most=3)
