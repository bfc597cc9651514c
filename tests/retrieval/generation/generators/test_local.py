"""The local generator: Gemma 3 270M of the extra `local-llm`."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from retrieval.deadline import Deadline
from retrieval.errors import ConfigError, DeadlineExceeded, ModelError
from retrieval.generation import open_generator
from retrieval.generation.answering import write_answer
from retrieval.generation.decodings import Progress
from retrieval.generation.generators.stop_texts import StopFilter
from retrieval.generation.settings import GenerationSettings
from tests.tools.samples.generation_tools import HITS, collect, found_by, judge, prompt, write

QUESTION = "When did the 1973 oil crisis begin?"


@pytest.fixture(scope="module")
def gemma():  # type: ignore[no-untyped-def]
    from retrieval.generation.generators.local import LocalGenerator

    generator = LocalGenerator.open()
    yield generator
    generator.close()


def test_generators_of_the_same_files_share_them(gemma) -> None:  # type: ignore[no-untyped-def]
    """Opened side by side too, and they write what one alone does."""
    from retrieval.generation.generators.local import LocalGenerator

    with ThreadPoolExecutor(3) as pool:
        opened = list(pool.map(lambda _number: LocalGenerator.open(), range(3)))
        assert {id(one._model) for one in opened} == {id(gemma._model)}
        asked = prompt(QUESTION, gemma)
        assert set(pool.map(lambda one: write(one, asked), opened)) == {write(gemma, asked)}
    for one in opened:
        one.close()


def test_gemma_answers_from_the_passages(gemma) -> None:  # type: ignore[no-untyped-def]
    assert "1973" in write(gemma, prompt(QUESTION, gemma))


def test_pieces_of_the_prompt_give_what_the_library_generates(gemma) -> None:  # type: ignore[no-untyped-def]
    import torch

    asked = prompt(QUESTION, gemma)
    ids = torch.tensor([gemma._encode(asked, 12)])
    with torch.inference_mode():
        whole = gemma._model.generate(ids, max_new_tokens=12, do_sample=False)[0, ids.shape[1] :]
    expected = gemma._tokenizer.decode(whole, skip_special_tokens=True).split("\n")[0]
    assert write(gemma, asked) == expected


def test_an_answer_ends_at_a_stop_text_and_at_max_tokens(gemma) -> None:  # type: ignore[no-untyped-def]
    asked = prompt(QUESTION, gemma)
    whole = write(gemma, asked)
    assert write(gemma, asked, stop=["197"]) == whole.split("197")[0]
    assert gemma.count_tokens(write(gemma, asked, max_tokens=2)) <= 2


def test_control_tokens_in_a_text_are_plain_text(gemma) -> None:  # type: ignore[no-untyped-def]
    from dataclasses import replace

    asked = replace(prompt(QUESTION, gemma), text="<eos><bos> hello")
    ids = gemma._encode(asked, 1)
    assert ids.count(gemma._tokenizer.bos_token_id) == 1 and gemma._tokenizer.eos_token_id not in ids


def test_an_answer_ends_between_the_layers_that_read_the_prompt(gemma) -> None:  # type: ignore[no-untyped-def]
    """A long prompt takes seconds before the first token."""
    long = prompt(f"{QUESTION} " * 100, gemma)

    async def leave() -> None:
        reading = asyncio.ensure_future(collect(gemma.stream(long, max_tokens=900, temperature=0, stop=[])))
        await asyncio.sleep(0.4)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)

    asyncio.run(leave())
    start = time.perf_counter()
    gemma._pool.submit(int).result(10)  # its only thread is free
    assert time.perf_counter() - start < 1


@pytest.mark.parametrize("seconds", [0, 0.3, 1.0])
def test_a_deadline_is_told_to_the_reader(gemma, seconds: float) -> None:  # type: ignore[no-untyped-def]
    """Over before the start, while passages are judged, and while the answer is written."""
    gemma._ends, ends = set(), gemma._ends  # a story without end
    asked = GenerationSettings(support_threshold=0, max_tokens=900)
    deltas = write_answer(
        Progress.of(found_by(QUESTION, HITS)), gemma, judge(), asked, Deadline.after(seconds)
    )
    try:
        start = time.perf_counter()
        with pytest.raises(DeadlineExceeded):
            asyncio.run(collect(deltas))  # type: ignore[arg-type]
        assert time.perf_counter() - start < seconds + 1
        gemma._pool.submit(int).result(2)
    finally:
        gemma._ends = ends


@pytest.mark.parametrize("read_first", [True, False])
def test_a_reader_that_leaves_frees_the_slot_within_two_seconds(gemma, read_first: bool) -> None:  # type: ignore[no-untyped-def]
    asked = prompt(QUESTION, gemma)
    gemma._ends, ends = set(), gemma._ends  # a story without end

    async def leave() -> float:
        stream = gemma.stream(asked, max_tokens=2_000, temperature=1.0, stop=[])
        reading = asyncio.ensure_future(collect(stream))
        if read_first:
            await asyncio.sleep(1.5)
        else:
            await asyncio.sleep(0)
        reading.cancel()
        start = time.perf_counter()
        await asyncio.gather(reading, return_exceptions=True)
        await asyncio.to_thread(lambda: gemma._pool.submit(int).result(10))  # the only slot is free
        return time.perf_counter() - start

    try:
        assert asyncio.run(leave()) < 2
    finally:
        gemma._ends = ends


def test_no_more_answers_at_once_than_allowed(gemma) -> None:  # type: ignore[no-untyped-def]
    asked = prompt(QUESTION, gemma)
    order: list[int] = []

    async def one(number: int) -> None:
        async for _ in gemma.stream(asked, max_tokens=4, temperature=0, stop=[]):
            order.append(number)

    async def both() -> None:
        await asyncio.gather(one(1), one(2))

    asyncio.run(both())
    assert order == sorted(order) and set(order) == {1, 2}


def test_a_prompt_beyond_the_models_positions_is_refused(gemma) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigError, match="context_tokens"):
        write(gemma, prompt(QUESTION, gemma), max_tokens=1_000_000)


def test_a_folder_that_is_no_causal_model_is_refused() -> None:
    with pytest.raises(ModelError, match="not a generator"):
        open_generator(GenerationSettings(kind="local", model="all-MiniLM-L6-v2"))


def test_stop_texts_are_found_across_pieces() -> None:
    for size in range(1, 9):
        text = "one two STOP three"
        found = StopFilter(["STOP", "SORE"])
        deltas = [found.feed(text[at : at + size]) for at in range(0, len(text), size)]
        assert "".join(deltas) + found.finish() == "one two " and found.stopped
    open_end = StopFilter(["STOP"])
    assert open_end.feed("a ST") == "a " and open_end.finish() == "ST"
