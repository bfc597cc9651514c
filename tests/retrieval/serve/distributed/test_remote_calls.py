"""The query path over shard groups in other processes: its results, and how often it calls them."""

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ray import serve

from retrieval.deadline import Deadline
from retrieval.errors import ConfigError
from retrieval.format.dense_spec import SearchParameters
from retrieval.search.protocols import SHARD_CALLS
from retrieval.search.query_path import QueryPath
from retrieval.search.search_models import model_name
from retrieval.search.searcher import Searcher
from retrieval.search.shards.index_shard import Shard
from retrieval.search.shards.opening import open_statistics
from retrieval.search.shards.scores.registry import SCORES
from retrieval.search.shards.shard_requests import ExplainRequest, ScoreRequest
from retrieval.serve.distributed.deployments import EncoderServer, RerankServer, ShardServer
from retrieval.serve.distributed.remote import RemoteModels
from retrieval.serve.distributed.scatter import LateGroups, Scatter
from retrieval.serve.runtime.served_index import ServedIndex, ShardAssignment
from retrieval.serve.settings import ServeSettings
from tests.conftest import make_documents, write_jsonl

pytestmark = pytest.mark.timeout(600)  # an index and four processes to start
GROUPS = 2
TOY = "year_distance"


def year_distance(
    shard: Shard, asked: ScoreRequest, rows: np.ndarray, _parameters: SearchParameters
) -> np.ndarray:
    """A score that nothing knows of: how near a passage's year is to the query's."""
    found = np.full(rows.shape, -np.inf, np.float32)
    for place in np.argwhere(rows >= 0).tolist():
        [passage] = shard.passages.get([rows[tuple(place)]])
        found[tuple(place)] = -abs(passage.metadata["year"] - float(asked.queries[place[0]][0]))
    return found


class ToyShardServer(ShardServer):
    """A shard group in whose process the toy is registered."""

    def __init__(self, settings: ServeSettings, number: int) -> None:
        SCORES[TOY] = year_distance
        super().__init__(settings, number)


class Counted:
    """A handle whose calls are written down, as (deployment, method, what it is asked)."""

    def __init__(self, handle: Any, name: str, calls: list[tuple[str, str, str]], method: str = "") -> None:
        self._handle, self._name, self._calls, self._method = handle, name, calls, method

    def options(self, method_name: str) -> "Counted":
        return Counted(self._handle.options(method_name=method_name), self._name, self._calls, method_name)

    def remote(self, left_s: float, version: int, *args: Any) -> Any:
        method = args[0] if self._method == "call" else self._method
        asked = args[-1]
        what = ",".join(asked) if isinstance(asked, tuple) else type(asked).__name__
        if method == "score":  # of one stage, whatever kinds it needs
            what = ",".join(one.kind for one in asked)
        self._calls.append((self._name, method, what))
        return self._handle.remote(left_s, version, *args)


class Remote:
    """Shard groups, encoder and re-ranker of an index in processes of their own."""

    def __init__(self, index: Path) -> None:
        self.folder = index
        settings = ServeSettings(index=str(index), groups=GROUPS, placement="apart")
        self.served = ServedIndex(settings)
        self.manifest = self.served.manifest(1)
        self.calls: list[tuple[str, str, str]] = []
        self._pool = ThreadPoolExecutor(2)
        servers = [(f"shards-{number}", ToyShardServer, (settings, number)) for number in range(GROUPS)]
        servers += [("encoder", EncoderServer, (settings,)), ("reranker", RerankServer, (settings,))]
        self._handles = []
        for name, server, arguments in servers:
            made = serve.deployment(
                server, name=name, ray_actor_options={"num_cpus": 0}, graceful_shutdown_timeout_s=1
            ).bind(*arguments)
            self._handles.append(Counted(serve.run(made, name=name, route_prefix=None), name, self.calls))

    def path(self) -> QueryPath:
        """For one request."""
        deadline = Deadline.after(120)
        *_, encoder, reranker = self._handles
        name, known = model_name(self.manifest), self.served.vectors
        models = RemoteModels(encoder, reranker, 1, deadline, name, known)  # type: ignore[arg-type]
        statistics = open_statistics(self.served.store, self.manifest, self.served.cache)
        return QueryPath(self.manifest, self.shards(deadline), models, statistics, self._pool)

    def shards(self, deadline: Deadline) -> Scatter:
        """All groups, for one request."""
        layout = ShardAssignment(self.manifest, GROUPS)
        return Scatter(self._handles[:GROUPS], self.manifest, layout, deadline, LateGroups(120))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def remote(build: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Remote]:
    root = tmp_path_factory.mktemp("remote")
    corpus = write_jsonl(root / "corpus.jsonl", make_documents(40))
    build(
        corpus, root / "index", dense={"type": "ivf_pq", "nlist": 4, "tune_queries": 20}, chunk={"size": 96},
        index={"part_passages": 50, "shard_passages": 50},
        late_interaction={"store": True, "nlist": 16, "train_tokens": 2_000},
    )  # fmt: skip
    serve.start(http_options={"location": "NoServer"})
    try:
        yield Remote(root / "index")
    finally:
        serve.shutdown()


ASKED: list[dict[str, Any]] = [
    {"rerank": "late-interaction", "filter": "year >= 1510"},
    {"rerank": "cross-encoder"},
    {"mode": "dense", "per_document": 1},
    {"mode": "lexical", "filter": "year < 1520"},
]


@pytest.mark.parametrize("asked", ASKED)
def test_an_explained_search_calls_each_group_once_a_stage(remote: Remote, asked: dict[str, Any]) -> None:
    """And finds and explains what the library does."""
    remote.calls.clear()
    found = remote.path()("notes about violins near place 7", k=10, explain=True, **asked)
    counts = Counter(remote.calls)
    with Searcher.open(str(remote.folder)) as searcher:
        expected = searcher("notes about violins near place 7", k=10, explain=True, **asked)
    assert len(found.hits) == 10 and found.coverage.full and found.matching == expected.matching
    assert [hit.as_json() for hit in found.hits] == [hit.as_json() for hit in expected.hits]
    searched = {group for group, method, _ in counts if method in ("search", "shortlist")}
    assert searched == {"shards-0", "shards-1"}
    explained = Counter(group for group, method, _ in remote.calls if method == "explain")
    assert explained and set(explained.values()) == {1}
    if "per_document" not in asked:  # that looks deeper and deeper
        assert set(counts.values()) == {1}, counts
    assert all(method in SHARD_CALLS for group, method, _ in counts if group.startswith("shards"))
    assert counts["reranker", "token_shares", "list"] == (asked.get("rerank") == "late-interaction")


def test_a_new_score_needs_no_new_call(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever shards have it of, alone and in explanations; here and in other processes alike."""
    monkeypatch.setitem(SCORES, TOY, year_distance)
    ids = np.array([np.arange(0, remote.manifest.passages, 7)] * 2)
    ids[1, -1] = -1
    asked = ScoreRequest(TOY, np.array([[1510.0], [1570.0]], np.float32), ids)
    shards = remote.shards(Deadline.after(60))
    [scores] = shards.score([asked])
    with Searcher.open(str(remote.folder)) as searcher:
        years = {number: passage.metadata["year"] for number, passage in searcher.passages(ids).items()}
        assert np.array_equal(scores, searcher.shards.score([asked])[0])
    wanted = [[-abs(years[number] - year) for number in ids[0].tolist()] for year in (1510, 1570)]
    assert scores[0].tolist() == wanted[0]
    assert scores[1].tolist() == [*wanted[1][:-1], -np.inf]
    assert np.array_equal(shards.explain(ExplainRequest(ids, [asked])).scores[TOY], scores)
    with pytest.raises(ConfigError, match="exact"):
        shards.score([ScoreRequest("nonsense", asked.queries, ids)])


def test_columns_and_keys_are_fetched_from_where_they_are(remote: Remote) -> None:
    shards = remote.shards(Deadline.after(60))
    ids = np.arange(0, remote.manifest.passages, 11)
    with Searcher.open(str(remote.folder)) as searcher:
        whole = searcher.passages(ids)
    assert remote.path().passages(ids) == whole
    names = ("passage_id", "metadata")
    assert shards.fetch(ids, names) == {
        number: {name: getattr(passage, name) for name in names} for number, passage in whole.items()
    }
    last = whole[int(ids[-1])]
    assert shards.find(last.passage_id) == last and shards.find("none#0") is None


def test_neighbours_come_from_whatever_group_has_them(remote: Remote) -> None:
    found = remote.path()("notes about violins near place 7", k=10, neighbours=2)
    with Searcher.open(str(remote.folder)) as searcher:
        expected = searcher("notes about violins near place 7", k=10, neighbours=2)
    assert found.neighbours == expected.neighbours and found.coverage.full
