"""Work that ends when its time does: in every stage of a search and of an answer, without a service."""

import asyncio
import math
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from retrieval.deadline import Deadline, handed, look, to_the_end, within
from retrieval.errors import DeadlineExceeded
from retrieval.filters.filter import parse
from retrieval.generation.answering import write_answer
from retrieval.generation.decodings import Progress
from retrieval.generation.kinds.openai import open_openai
from retrieval.generation.settings import GenerationSettings
from retrieval.models.cross_encoders.cross_encoder import CrossEncoder
from retrieval.models.encoders.encoder import Encoder
from retrieval.models.late_interaction.opening import open_token_encoder
from retrieval.models.layer_checks import look_between_layers
from retrieval.search.searcher import Searcher
from retrieval.settings import CrossEncoderSettings, LateInteractionSettings, ModelSettings
from tests.tools.samples.generation_tools import HITS, collect, found_by, judge, server

SOON_S = 1.0  # rather more than a look takes: the tests may have half a core to themselves


def test_a_deadline_is_over_when_its_time_is_or_when_it_is_cancelled() -> None:
    assert Deadline().left == math.inf and not Deadline().over
    timed = Deadline.after(0.05)
    assert 0 < timed.left <= 0.05 and not timed.over
    timed.check()
    time.sleep(0.06)
    assert timed.over and timed.left == 0
    with pytest.raises(DeadlineExceeded, match="longer than it may"):
        timed.check()
    gone = Deadline()
    gone.cancel()
    with pytest.raises(DeadlineExceeded, match="nobody waits"):
        gone.check()


def test_work_for_several_ends_with_the_last_of_them() -> None:
    members = [Deadline(), Deadline.after(60)]
    called: list[int] = []
    batch = Deadline(of=members)
    assert 59 < Deadline(of=members[1:]).left <= 60 and batch.left == math.inf
    with batch.calling(lambda: called.append(1)):
        members[0].cancel()
        assert not batch.over and not called
        members[1].cancel()
        assert batch.over and called == [1]
    assert Deadline(of=members).over


def test_what_is_to_be_called_is_called_once_and_only_meanwhile() -> None:
    called: list[str] = []
    deadline = Deadline()
    with deadline.calling(lambda: called.append("before")):
        pass
    with deadline.calling(lambda: called.append("meanwhile")):
        deadline.cancel()
        deadline.cancel()
    with deadline.calling(lambda: called.append("after")):
        assert called == ["meanwhile", "after"]


def test_a_deadline_is_in_force_in_its_block_and_where_it_is_handed_on() -> None:
    over = Deadline()
    over.cancel()
    look()
    with within(over):
        with pytest.raises(DeadlineExceeded):
            look()
        with within(None):
            look()
        to_the_end(look)()
        with ThreadPoolExecutor(1) as pool:
            pool.submit(look).result()  # a thread by itself knows nothing of it
            for work in (handed(look), lambda run=copy_context().run: run(look)):
                with pytest.raises(DeadlineExceeded):
                    pool.submit(work).result()
            pool.submit(look).result()  # and keeps nothing of it
    look()


class Layer(nn.Module):
    """Counts its calls, and cancels a deadline in its second."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.deadline = Deadline()

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        if self.calls == 2:
            self.deadline.cancel()
        return values


def test_any_transformer_ends_between_two_layers() -> None:
    layer = Layer()
    model = nn.ModuleList([layer] * 6)
    whole = nn.ModuleDict({"encoder": nn.ModuleDict({"layer": model}), "two": nn.ModuleList([nn.ReLU()])})
    look_between_layers(whole)
    look_between_layers(whole)
    assert len(layer._forward_pre_hooks) == 1 and not whole["two"][0]._forward_pre_hooks  # type: ignore[index]
    with within(layer.deadline), pytest.raises(DeadlineExceeded):
        nn.Sequential(*model)(torch.zeros(1))
    assert layer.calls == 2


def ends_in_time(work: Callable[[], object], least_s: float = 0.0) -> float:
    """Seconds that `work` took with a deadline, at which it must end; without one it takes longer."""
    limit = max(least_s, 0.05)
    start = time.monotonic()
    with within(Deadline.after(limit)), pytest.raises(DeadlineExceeded):
        work()
    took = time.monotonic() - start
    assert limit <= took < limit + SOON_S
    return took


TEXT = " ".join(f"Note {number} is about rivers, seen near place {number % 13}." for number in range(40))
PAIRS = [("what is note seven about", TEXT)] * 400


def test_the_cross_encoder_ends_between_pairs() -> None:
    model = CrossEncoder.open(CrossEncoderSettings())
    ends_in_time(lambda: model.scores(PAIRS))
    assert len(model.scores(PAIRS[:2])) == 2


@pytest.mark.parametrize("name", ["packed", "of its own"])
def test_encoders_end_between_layers(name: str, tmp_path: Path) -> None:
    settings = ModelSettings()
    encoder = Encoder.open(settings)
    if name == "of its own":
        for side in encoder._sides.values():
            side.packed = None
    ends_in_time(lambda: encoder.encode_passages([""] * 3_000, [TEXT] * 3_000))
    ends_in_time(lambda: encoder.encode_queries([TEXT] * 3_000))
    assert encoder.encode_queries(["rivers"]).shape == (1, 384)


def test_token_encoders_end_between_layers() -> None:
    encoder = open_token_encoder(LateInteractionSettings(), ModelSettings())
    ends_in_time(lambda: encoder.encode_passages([""] * 2_000, [TEXT] * 2_000))


def test_a_model_is_loaded_to_its_end() -> None:
    """Others will need it: a request in a hurry must not throw away what it has begun to load."""
    over = Deadline.after(0)
    with within(over):
        assert Encoder.open(ModelSettings()).dimension == 384
        assert open_token_encoder(LateInteractionSettings(), ModelSettings()).dimension == 384
        CrossEncoder.open(CrossEncoderSettings())


@pytest.fixture(scope="module")
def searcher(served_index: Path) -> Iterator[Searcher]:
    with Searcher.open(str(served_index)) as found:
        for name in ("encoder", "tokens", "cross_encoder"):
            found.models.load(name)
        yield found


def over_after(looks: int) -> Deadline:
    """A deadline that is over when it was looked at so often."""

    class Counting(Deadline):
        left_looks = looks

        @property
        def over(self) -> bool:
            self.left_looks -= 1
            return self.left_looks < 0

    return Counting()


SEARCHES: dict[str, dict[str, Any]] = {
    "dense": {"mode": "dense"},
    "lexical": {"mode": "lexical"},
    "hybrid": {"mode": "hybrid", "k": 50},
    "filter": {"mode": "dense", "filter": "year >= 1555"},
    "by document": {"per_document": 1, "k": 50},
    "late interaction": {"rerank": "late-interaction"},
    "cross-encoder": {"rerank": "cross-encoder"},
    "explained": {"rerank": "late-interaction", "explain": True, "k": 2},
}


@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_ends_at_whichever_look_its_time_is_over(searcher: Searcher, name: str) -> None:
    """At the first look, the last and some between: an error of ours, and the next search is right."""
    queries = ["notes about violins", "who built the lighthouse", "comets"]
    settings = searcher.settings.model_copy(update={"rerank_depth": 5})
    search = partial(searcher.batch, queries, settings=settings, **SEARCHES[name])
    whole = search()
    counted = over_after(10**9)
    with within(counted):
        search()
    looks = 10**9 - counted.left_looks  # type: ignore[attr-defined]
    assert looks > len(queries)
    for number in sorted({0, 1, looks // 3, looks // 2, looks - 1}):
        with within(over_after(number)), pytest.raises(DeadlineExceeded):
            search()
    again = search()
    assert [list(one.hits) for one in again] == [list(one.hits) for one in whole]


def test_many_queries_are_found_as_few_are(searcher: Searcher) -> None:
    """With a deadline they are searched some at a time."""
    queries = [f"notes about {word} {number}" for number in range(20) for word in ("bees", "clocks")]
    expected = searcher.batch(queries, mode="dense", k=7)
    found = searcher.batch(queries, mode="dense", k=7, deadline=time.monotonic() + 60)
    for one, other in zip(found, expected, strict=True):
        assert [hit.passage_id for hit in one.hits] == [hit.passage_id for hit in other.hits]


def test_a_deadline_of_the_call_is_kept(searcher: Searcher) -> None:
    with pytest.raises(DeadlineExceeded):
        searcher.batch(["bees"], deadline=time.monotonic() - 1)
    looked = searcher.shards.select(parse("year >= 1556", searcher.manifest.metadata))
    assert all(rows is None or isinstance(rows, np.ndarray) for rows in looked.values())


async def answered(generator: Any, deadline: Deadline, **settings: Any) -> list[Any]:
    asked = GenerationSettings(support_threshold=0, **settings)
    return await collect(
        write_answer(
            Progress.of(found_by("When did the oil crisis begin?", HITS)), generator, judge(), asked, deadline
        )
    )  # type: ignore[arg-type]


@pytest.mark.parametrize("looks", [0, 1, 3, 10])
def test_the_judge_of_an_answer_ends(looks: int) -> None:
    with pytest.raises(DeadlineExceeded):
        asyncio.run(answered(None, over_after(looks)))


def slow_server(left: threading.Event, first_s: float) -> Callable[[BaseHTTPRequestHandler], None]:
    """Writes words slowly, the first after `first_s`, until the reader has left."""

    def handle(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        time.sleep(first_s)
        try:
            for _ in range(200):
                request.wfile.write(b'data: {"choices": [{"delta": {"content": "1973 [1] "}}]}\n\n')
                request.wfile.flush()
                time.sleep(0.02)
        except OSError:
            left.set()

    return handle


@pytest.mark.parametrize("first_s", [0.0, 0.6])
def test_an_endpoint_is_left_at_the_deadline(first_s: float) -> None:
    left = threading.Event()
    with server(slow_server(left, first_s)) as url:
        settings = GenerationSettings(kind="openai", model="m", base_url=url)
        judge().read("warm", list(HITS))
        start = time.monotonic()
        with pytest.raises(DeadlineExceeded):
            asyncio.run(answered(open_openai(settings, None), Deadline.after(0.5)))
        assert 0.5 <= time.monotonic() - start < 0.5 + SOON_S
        assert left.wait(first_s + SOON_S), "the connection stays open"


def test_the_generators_own_time_is_another_error() -> None:
    from retrieval.errors import GenerationError

    with server(slow_server(threading.Event(), 0.0)) as url:
        settings = GenerationSettings(kind="openai", model="m", base_url=url)
        with pytest.raises(GenerationError, match="did not finish"):
            asyncio.run(answered(open_openai(settings, None), Deadline.after(60), timeout_s=0.3))
