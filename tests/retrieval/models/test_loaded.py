"""Models in memory once: who shares them, who must not, and what goes on while one is loaded."""

import gc
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from transformers import BertModel

from retrieval.deadline import Deadline, within
from retrieval.errors import DeadlineExceeded, ModelError
from retrieval.generation.evidence import Judge
from retrieval.models.cross_encoders.cross_encoder import CrossEncoder
from retrieval.models.encoders.encoder import Encoder
from retrieval.models.late_interaction.opening import open_token_encoder
from retrieval.models.loaded import LoadedModels
from retrieval.models.loading import load_model
from retrieval.models.resolved_model import resolve_model
from retrieval.models.trust import Trust
from retrieval.search.searcher import Searcher
from retrieval.settings import CrossEncoderSettings, LateInteractionSettings, ModelSettings
from tests.conftest import make_documents, write_jsonl
from tests.tools.hostile.hostile_index import AUTO_MAP, bring_code, edit
from tests.tools.samples.encoder_models import cross_encoder_folder, model_folder
from tests.tools.samples.late_models import native

SOON_S = 2.0


class Model:
    """Something large."""


class Door:
    """Loading that goes on until it is opened."""

    def __init__(self) -> None:
        self.begun, self.opened = Event(), Event()
        self.loads = 0

    def load(self) -> Model:
        self.loads += 1
        self.begun.set()
        assert self.opened.wait(30)
        return Model()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as found:
        yield found


def test_a_model_is_loaded_once_and_alone_is_waited_for(pool: ThreadPoolExecutor) -> None:
    models, door = LoadedModels(), Door()
    waiting = [pool.submit(models.get, "a", door.load) for _ in range(4)]
    assert door.begun.wait(30)
    other = models.get("b", Model)  # while `a` is loaded
    assert models.get("b", door.load) is other
    assert not any(one.done() for one in waiting)
    door.opened.set()
    found = {id(one.result()) for one in waiting}
    assert len(found) == 1 and door.loads == 1


def test_who_waits_gives_up_in_time_and_the_loading_goes_on(pool: ThreadPoolExecutor) -> None:
    models, door = LoadedModels(), Door()

    def ask(deadline: Deadline) -> Model:
        with within(deadline):
            return models.get("a", door.load)

    hurried: list[Future[Model]] = [pool.submit(ask, Deadline.after(0.1)) for _ in range(2)]
    patient = pool.submit(ask, Deadline.after(60))
    cancelled = Deadline()
    left = pool.submit(ask, cancelled)
    start = time.monotonic()
    cancelled.cancel()
    for one in [*hurried, left]:  # whoever of them began it
        with pytest.raises(DeadlineExceeded):
            one.result()
    assert time.monotonic() - start < SOON_S and not patient.done()
    door.opened.set()
    model = patient.result()
    assert models.get("a", door.load) is model and door.loads == 1


def test_an_error_is_for_those_who_wait_and_the_next_tries_again(pool: ThreadPoolExecutor) -> None:
    models, door = LoadedModels(), Door()

    def broken() -> Model:
        door.load()
        raise ModelError("the weights are cut off")

    waiting = [pool.submit(models.get, "a", broken) for _ in range(3)]
    assert door.begun.wait(30)
    time.sleep(0.1)
    door.opened.set()
    for one in waiting:
        with pytest.raises(ModelError, match="cut off"):
            one.result()
    assert isinstance(models.get("a", Model), Model)


def test_after_an_interruption_another_loads_it(pool: ThreadPoolExecutor) -> None:
    models, door = LoadedModels(), Door()

    def interrupted() -> Model:
        door.load()
        raise KeyboardInterrupt

    first = pool.submit(models.get, "a", interrupted)
    assert door.begun.wait(30)
    second = pool.submit(models.get, "a", Model)
    door.opened.set()
    with pytest.raises(KeyboardInterrupt):
        first.result()
    assert isinstance(second.result(), Model)


def test_what_nobody_uses_is_let_go() -> None:
    models = LoadedModels()
    kept = models.get("a", Model)
    for number in range(100):
        models.get(number, Model)
    gc.collect()
    assert len(models) == 1 and models.get("a", Model) is kept


def test_encoders_of_one_model_hold_its_weights_once(tmp_path: Path) -> None:
    settings = ModelSettings(name=str(model_folder(tmp_path / "model")))
    encoders = [Encoder.open(settings, sides={side}) for side in ("passage", "query")]
    tokens: Any = [open_token_encoder(LateInteractionSettings(), settings) for _ in range(2)]
    sides = [*encoders[0]._sides.values(), *encoders[1]._sides.values()]
    sides += [side.side for encoder in tokens for side in (encoder._passage, encoder._query)]
    words = {side.transformer.auto_model.embeddings.word_embeddings.weight.data_ptr() for side in sides}
    packed = {id(side.packed) for side in sides} | {id(encoder._query._packed) for encoder in tokens}
    assert len(sides) == 6 and len(words) == 1 and len(packed) == 1

    other = Encoder.open(settings.model_copy(update={"dtype": "float16"}))
    assert other._sides["query"].transformer is not sides[0].transformer


def test_a_search_and_its_judge_hold_their_models_once(served_index: Path) -> None:
    judge: Any = Judge.open()
    gc.collect()  # a model of a library is part of circles: only who uses it may be what keeps it
    with Searcher.open(str(served_index)) as one, Searcher.open(str(served_index)) as two:
        models: Any = one.models
        assert models.tokens is two.models.tokens and models.encoder is two.models.encoder
        transformers = [judge.tokens._query.side, models.tokens._query.side, models.encoder._sides["query"]]
        assert len({id(side.transformer.auto_model) for side in transformers}) == 1
        assert judge.cross_encoder._runtime._session is models.cross_encoder._runtime._session


@pytest.mark.parametrize("kind", ["late", "cross"])
def test_models_of_other_lengths_are_others(tmp_path: Path, kind: str) -> None:
    folder = (
        native(tmp_path / "m", skiplist=False).folder
        if kind == "late"
        else cross_encoder_folder(tmp_path / "m")
    )

    def open_(most: int) -> Any:
        model = ModelSettings(name=str(folder), max_tokens=most)
        if kind == "cross":
            return CrossEncoder.open(CrossEncoderSettings(model=model))
        return open_token_encoder(LateInteractionSettings(model=model), ModelSettings())

    short, long, again = open_(12), open_(24), open_(12)
    if kind == "cross":
        assert [one.card["max_tokens"] for one in (short, long, again)] == [12, 24, 12]
        assert short._runtime._model is again._runtime._model
        return
    counts = [len(one.encode_passages([""], ["river " * 60]).vectors) for one in (short, long, again)]
    assert counts == [12, 24, 12] and short._model is again._model is not long._model


def test_what_one_caller_allows_is_no_consent_of_another(tmp_path: Path) -> None:
    marker = tmp_path / "it-ran"
    folder = model_folder(tmp_path / "model")
    bring_code(folder, marker)
    settings = ModelSettings(name=str(folder))
    trusting = Trust(remote_code=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
        allowed = Encoder.open(settings, trust=trusting)
        assert marker.exists() and allowed.dimension == 32
        for open_ in (
            lambda: Encoder.open(settings),
            lambda: open_token_encoder(LateInteractionSettings(), settings),
            lambda: Encoder.open(settings, trust=Trust(pickle=True)),
        ):
            with pytest.raises(ModelError, match="would run code"):
                open_()
        # Nor where the check of its files has been passed by somebody who allows it.
        model = resolve_model(str(folder), trust=trusting)
        marker.unlink()
        theirs = allowed._sides["query"].transformer.auto_model
        dtype = theirs.embeddings.word_embeddings.weight.dtype
        ours = load_model("SentenceTransformer", model, Trust(), device=allowed.device, dtype=dtype)
        assert type(theirs).__module__.startswith("transformers_modules")
        assert type(ours[0].auto_model) is BertModel and not marker.exists()


SLOW = """
import time
from pathlib import Path
from transformers import BertConfig, BertForSequenceClassification
class Config(BertConfig):
    pass
class Head(BertForSequenceClassification):
    config_class = Config
    def __init__(self, config):
        Path({folder!r}, "begun").touch()
        while not Path({folder!r}, "opened").exists():
            time.sleep(0.01)
        super().__init__(config)
"""


@pytest.fixture
def slow_index(build: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An index whose cross-encoder makes itself only once there is a file `opened` in this folder."""
    monkeypatch.setenv("CORPUSMILL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    cross = cross_encoder_folder(tmp_path / "cross")
    (cross / "x.py").write_text(SLOW.format(folder=str(tmp_path)))
    named = {"AutoConfig": "x.Config", "AutoModelForSequenceClassification": "x.Head"}
    assert set(named) <= set(AUTO_MAP)
    edit(cross / "config.json", auto_map=named)
    build(
        write_jsonl(tmp_path / "corpus.jsonl", make_documents(12)), tmp_path / "index",
        dense={"type": "flat"}, model={"name": str(model_folder(tmp_path / "embedding"))},
        cross_encoder={"model": {"name": str(cross), "trust_remote_code": True}},
    )  # fmt: skip
    return tmp_path / "index"


def test_searches_go_on_while_a_cross_encoder_is_loaded(
    slow_index: Path, tmp_path: Path, pool: ThreadPoolExecutor
) -> None:
    with Searcher.open(str(slow_index), trust_remote_code=True) as search:
        expected = [hit.passage_id for hit in search("glaciers", 3, rerank="late-interaction").hits]
        waiting = [pool.submit(search, "glaciers", 3, rerank="cross-encoder") for _ in range(2)]
        try:
            until = time.monotonic() + 60
            while not (tmp_path / "begun").exists():
                assert time.monotonic() < until and not any(one.done() for one in waiting)
                time.sleep(0.01)
            for _ in range(10):
                start = time.monotonic()
                found = search("glaciers", 3, rerank="late-interaction", deadline=start + SOON_S)
                assert [hit.passage_id for hit in found.hits] == expected
            start = time.monotonic()
            with pytest.raises(DeadlineExceeded):
                search("glaciers", 3, rerank="cross-encoder", deadline=start + 0.2)
            assert time.monotonic() - start < SOON_S
            assert not any(one.done() for one in waiting)
        finally:
            (tmp_path / "opened").touch()
        first, second = (one.result(60) for one in waiting)
        assert [hit.passage_id for hit in first.hits] == [hit.passage_id for hit in second.hits]
        late = search("glaciers", 3, rerank="cross-encoder", deadline=time.monotonic() + SOON_S)
        assert late.timings_ms.get("load") is None and len(late.hits) == 3
