"""An index of a type from a package of one's own: built by Ray's workers, verified, searched if enabled."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from pipelines.upkeep.file_counts import expectations
from pipelines.upkeep.verification import verify
from retrieval.errors import ConfigError
from retrieval.format.manifest import read_manifest
from retrieval.search.searcher import Searcher
from retrieval.serve.runtime.served_index import GroupVersions, SearcherVersions, ServedIndex
from retrieval.serve.settings import ServeSettings
from retrieval.storage.store import Store
from tests.conftest import make_documents, write_jsonl
from tests.tools.plugins.plugin_packages import install_signs

ROOT = Path(__file__).resolve().parents[3]


def corpusmill(site: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The command, with the package installed where `site` is on the path."""
    path = os.pathsep.join([str(site), str(ROOT)])
    return subprocess.run(
        [sys.executable, "-m", "jobs", *words], capture_output=True, text=True, cwd=ROOT, timeout=600,
        env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder of installed packages, and an index whose type is in one of them."""
    root = tmp_path_factory.mktemp("plugin")
    site = install_signs(root / "site")
    config = {
        "corpus": {"paths": [str(write_jsonl(root / "corpus.jsonl", make_documents(60)))]},
        "index": {
            "path": str(root / "index"), "part_passages": 50, "shard_passages": 100, "piece_passages": 50,
        },
        "chunk": {"size": 96},
        "plugins": ["signs"],
        "dense": {"type": "signs", "options": {"least_shortlist": 60}, "tune_queries": 20},
        "ray": {"cpus": 2},
    }  # fmt: skip
    (root / "build.yaml").write_text(yaml.safe_dump(config))
    done = corpusmill(site, "build", str(root / "build.yaml"))
    assert done.returncode == 0, done.stderr[-2000:]
    return site, root / "index"


@pytest.fixture
def installed(built: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The index, where this process finds the package too."""
    monkeypatch.syspath_prepend(str(built[0]))
    monkeypatch.delitem(sys.modules, "corpusmill_signs", raising=False)
    return built[1]


def test_it_is_built_in_shards_and_tuned(built: tuple[Path, Path]) -> None:
    manifest = read_manifest(Store(str(built[1])))
    assert manifest.dense["type"] == "signs" and manifest.dense["least_shortlist"] == 60
    assert len(manifest.shards) >= 2
    assert [row["shortlist"] for row in manifest.recall["table"]] == [100, 200, 400]
    names = {file.key.rpartition("/")[2] for shard in manifest.shards for file in shard.dense}
    assert names >= {"signs.bin", "shard.json"}


def test_it_is_searched_where_it_is_enabled(installed: Path) -> None:
    queries = ["bees near place 7", "clocks seen in 1507"]
    with Searcher.open(str(installed), plugins=["signs"]) as search:
        found = search.rank(queries, 10, mode="dense")
        exact = search.rank(queries, 10, mode="dense", exact=True)
        assert search("violins", filter="year < 1530", mode="dense", explain=True).hits
    assert np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found.ids, exact.ids, strict=True)]) >= 0.9


def test_it_is_refused_where_it_is_not(installed: Path) -> None:
    settings = ServeSettings(index=str(installed))
    for open_ in (
        lambda: Searcher.open(str(installed)),
        lambda: SearcherVersions(ServedIndex(settings)).use(1).__enter__(),
        lambda: GroupVersions(ServedIndex(settings), 0).use(1).__enter__(),
    ):
        with pytest.raises(ConfigError, match="not enabled: signs would load corpusmill_signs:SIGNS"):
            open_()
    assert "corpusmill_signs" not in sys.modules


def test_the_service_takes_it_from_its_settings(installed: Path) -> None:
    settings = ServeSettings(index=str(installed), plugins=("signs",))
    versions = GroupVersions(ServedIndex(settings), 0)
    with versions.use(1) as group:
        assert group.rows == read_manifest(Store(str(installed))).passages
    versions.drop(1)


def test_its_files_are_verified(installed: Path) -> None:
    store = Store(str(installed))
    manifest = read_manifest(store)
    assert verify(store, manifest, lambda _done, _total: None) == []  # checksums need no plug-in
    assert "corpusmill_signs" not in sys.modules
    assert verify(store, manifest, lambda _done, _total: None, ["signs"]) == []
    sized = [item for item in expectations(manifest, ["signs"]) if item.kind == "sized"]
    rows = sum(shard.rows for shard in manifest.shards)
    assert sum(dict(item.counts)["bytes"] for item in sized) == rows * manifest.dense["dimension"] // 8


def test_the_command_line_says_what_it_would_load_and_how_to_allow_it(built: tuple[Path, Path]) -> None:
    site, index = built
    refused = corpusmill(site, "search", str(index), "bees")
    assert refused.returncode == 2
    assert "signs would load corpusmill_signs:SIGNS of corpusmill_signs 1.0" in refused.stderr.replace(
        "\n", " "
    )
    assert "--plugin signs" in refused.stderr.replace("\n", " ")
    allowed = corpusmill(site, "search", str(index), "bees", "--plugin", "signs", "--json")
    assert allowed.returncode == 0, allowed.stderr[-2000:]
    status = corpusmill(site, "status", str(index))
    assert "against exact search with shortlist" in status.stdout
