"""Whole answers by each decoding, with the packaged generator and judge."""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from retrieval.deadline import Deadline
from retrieval.errors import ConfigError, DeadlineExceeded
from retrieval.generation.answering import write_answer
from retrieval.generation.decodings import Need, Progress
from retrieval.generation.decodings.marginal_answer import lone_prompts, prior
from retrieval.generation.decodings.settings import MarginalSettings
from retrieval.generation.generators import LocalGenerator, MarginalRequest
from retrieval.generation.settings import GenerationSettings
from retrieval.results import Answer, Hit, StageScore
from tests.tools.samples.generation_tools import HITS, found_by, judge

QUESTION = "When did the 1973 oil crisis begin?"
SCORED = [
    replace(hit, stages={"dense": StageScore(rank, score)})
    for rank, (hit, score) in enumerate(zip(HITS, (0.7, 0.2, 0.1), strict=True), 1)
]


@pytest.fixture(scope="module")
def gemma() -> Any:
    generator = LocalGenerator.open()
    yield generator
    generator.close()


def events(generator: LocalGenerator, progress: Progress, **values: Any) -> list[str | Need | Answer]:
    settings = GenerationSettings.model_validate(
        {"kind": "local", "support_threshold": 0, "max_tokens": 12, **values}
    )

    async def run() -> list[str | Need | Answer]:
        return [event async for event in write_answer(progress, generator, judge(), settings)]

    return asyncio.run(run())


def answer(generator: LocalGenerator, hits: Sequence[Hit] = SCORED, **values: Any) -> Answer:
    *deltas, whole = events(generator, Progress.of(found_by(QUESTION, hits)), **values)
    assert isinstance(whole, Answer) and "".join(map(str, deltas)) == whole.answer
    return whole


@pytest.mark.parametrize("decode", ["sequence", "sequence-fast", "token"])
def test_passages_read_by_themselves_answer_together(gemma: LocalGenerator, decode: str) -> None:
    found = answer(gemma, decode=decode, marginal={"beams": 2})
    assert "1973" in found.answer and found.decode == decode
    assert found.weights is not None and sum(found.weights) == pytest.approx(1, abs=1e-3)
    assert found.likelihood is not None and found.likelihood < 0
    assert [cited.number for cited in found.citations] == [1] and "[1]" in found.answer
    assert (found.token_weights is not None) == (decode == "token")


def test_a_stream_by_token_says_what_carried_each_token(gemma: LocalGenerator) -> None:
    *deltas, found = events(gemma, Progress.of(found_by(QUESTION, SCORED)), decode="token")
    assert isinstance(found, Answer) and found.token_weights is not None and len(deltas) > 2
    shown = "".join(one.text for one in found.token_weights)
    assert shown.strip().startswith(found.answer.split(" [")[0].strip())
    for one in found.token_weights:
        assert sum(one.weights) == pytest.approx(1, abs=1e-3)
    year = next(one for one in found.token_weights if "9" in one.text)
    assert year.weights.index(max(year.weights)) == 0  # of the oil crisis, not of violins and bees


def test_what_one_beam_writes_is_what_the_formula_says(gemma: LocalGenerator) -> None:
    """Over one passage, every decoding is the plain model after the same prompt."""
    prompts = lone_prompts(QUESTION, HITS[:1], gemma.count_tokens, 400)

    async def run(decode: str) -> Any:
        request = MarginalRequest(decode, (0.0,), 1, 12, 0.0, ())
        return [event async for event in gemma.marginal(prompts, request)][-1]

    async def plain() -> str:
        stream = gemma.stream(prompts[0], max_tokens=12, temperature=0, stop=())
        return "".join([delta async for delta in stream])

    written = asyncio.run(plain())
    by_token = asyncio.run(run("token"))
    assert by_token.text.strip() == written.strip() and by_token.weights == (1.0,)
    by_sequence = asyncio.run(run("sequence"))
    assert by_sequence.likelihood >= by_token.likelihood - 1e-3


def test_the_prior_is_the_softmax_of_scaled_scores() -> None:
    found = prior(SCORED, MarginalSettings(prior_scale=10))
    total = sum(math.exp(10 * score) for score in (0.7, 0.2, 0.1))
    assert found == pytest.approx([10 * score - math.log(total) for score in (0.7, 0.2, 0.1)], abs=1e-5)
    assert prior(SCORED, MarginalSettings(prior="equal")) == pytest.approx([-math.log(3)] * 3)
    # Found by words alone: as likely as the last one that the dense stage lists.
    mixed = [*SCORED, HITS[0]]
    assert prior(mixed, MarginalSettings())[3] == prior(mixed, MarginalSettings())[2]
    assert prior(HITS, MarginalSettings()) == pytest.approx([-math.log(3)] * 3)


def test_only_so_many_passages_are_read_and_the_rest_is_told_of(gemma: LocalGenerator) -> None:
    found = answer(gemma, decode="token", marginal={"passages": 2})
    assert found.left_out == 1 and found.weights is not None and len(found.weights) == 2


def test_what_cannot_be_done_is_refused(gemma: LocalGenerator) -> None:
    with pytest.raises(ConfigError, match="temperature"):
        answer(gemma, decode="sequence", temperature=1.0)
    with pytest.raises(ValueError, match="cannot be done by the generator none"):
        GenerationSettings.model_validate({"decode": "token"})
    settings = GenerationSettings(kind="local")
    with pytest.raises(ConfigError, match="beams"):
        settings.changed({"marginal": {"beams": 99}})
    changed = settings.changed({"decode": "token", "marginal": {"beams": 2}})
    assert (changed.marginal.beams, changed.marginal.passages) == (2, settings.marginal.passages)


@pytest.mark.parametrize("decode", ["sequence", "token", "active"])
def test_an_answer_ends_with_its_deadline(gemma: LocalGenerator, decode: str) -> None:
    settings = GenerationSettings.model_validate(
        {"kind": "local", "support_threshold": 0, "decode": decode, "max_tokens": 2_000, "stop": ()}
    )

    async def run() -> None:
        deadline = Deadline.after(0.3)
        progress = Progress.of(found_by(QUESTION, SCORED))
        async for _ in write_answer(progress, gemma, judge(), settings, deadline):
            pass

    judge()
    with pytest.raises(DeadlineExceeded):
        asyncio.run(run())


def test_an_uncertain_draft_is_searched_for_and_written_anew(gemma: LocalGenerator) -> None:
    progress = Progress.of(found_by(QUESTION, [HITS[1]]))
    *_, need = events(gemma, progress, decode="active", active={"theta": 1.0, "beta": 0.0})
    assert isinstance(need, Need) and need.reason == "uncertain"
    wanted = need.wanted[0]
    assert wanted.text and wanted.probability is not None and 0 <= wanted.probability < 1
    found = found_by(wanted.query, [HITS[0]])
    *deltas, whole = events(gemma, need.progress.after([found], need), decode="active", active={"theta": 1.0})
    while isinstance(whole, Need):  # a second sentence, as uncertain as the first
        *more, whole = events(
            gemma, whole.progress.after([found_by(whole.wanted[0].query, HITS)], whole), decode="active",
            active={"theta": 1.0},
        )  # fmt: skip
        deltas += more
    assert isinstance(whole, Answer) and "1973" in whole.answer
    assert "".join(map(str, deltas)) == whole.answer
    assert whole.steps is not None and whole.steps[1].reason == "uncertain"
    assert whole.steps[1].passages == (HITS[0].passage_id,)
    # Numbers are those of all passages found, in the order in which they were.
    assert {cited.passage_id for cited in whole.citations if cited.number == 2} <= {HITS[0].passage_id}


def test_rounds_and_certainty_bound_the_searches(gemma: LocalGenerator) -> None:
    for active in ({"theta": 0.0}, {"theta": 1.0, "rounds": 0}, {"theta": 1.0, "beta": 1.0}):
        found = answer(gemma, decode="active", active=active)
        assert found.steps is None and "1973" in found.answer  # an empty query retrieves nothing
