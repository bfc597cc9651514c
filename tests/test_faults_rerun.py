"""What a second run does: nothing, or only what the change asks for."""

import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retrieval.manifest import Manifest, read_manifest
from retrieval.storage import Store
from tests.conftest import make_documents, write_jsonl
from tests.faults_tools import (
    assert_sound, assert_untouched, contents, files_of, finished, make_corpus, make_model, run, settings, write_config,
)  # fmt: skip

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1500)]


@dataclass
class Place:
    """A corpus, two models, and one index whose configuration changes from test to test."""

    root: Path
    corpus: Path
    model: Path
    other: Path

    @property
    def index(self) -> Path:
        return self.root / "index"

    @property
    def store(self) -> Store:
        return Store(str(self.index))

    def build(self, **sections: dict[str, Any]) -> str:
        """Build with these settings; what was printed."""
        values = settings(self.corpus, self.index, self.model, **sections)
        return run(write_config(self.root / "build.yaml", values))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Place:
    root = tmp_path_factory.mktemp("rerun")
    place = Place(
        root, make_corpus(root / "corpus"), make_model(root / "a"), make_model(root / "b", seed=1)
    )
    place.build()
    return place


@pytest.fixture
def place(built: Place, tmp_path: Path) -> Place:
    """A corpus and its index for one test; both may be moved, which is what copies of them are."""
    shutil.copytree(built.corpus, tmp_path / "corpus")
    shutil.copytree(built.index, tmp_path / "index")
    return Place(tmp_path, tmp_path / "corpus", built.model, built.other)


def folders(index: Path, *names: str) -> dict[str, tuple[int, int, int]]:
    """Files below some folders of an index."""
    return {key: value for key, value in files_of(index).items() if key.split("/")[0] in names}


def vectors(store: Store, manifest: Manifest) -> np.ndarray:
    """All vectors in the order of passage ids."""
    return np.concatenate([np.load(store.path(part.vectors.key), allow_pickle=False) for part in manifest.parts])


def test_a_finished_build_does_nothing_and_settings_redo_what_depends_on_them(place: Place) -> None:
    everything = files_of(place.index)
    began = time.monotonic()
    assert "nothing was done" in place.build()
    assert time.monotonic() - began < 60  # a few seconds on an idle machine
    assert files_of(place.index) == everything

    first = contents(place.store)
    kept = finished(place.index)
    place.build(dense={"nlist": 24})
    assert_untouched(kept, place.index)
    embedded = ("parts", "vectors", "passages", "models", "ledger")
    assert folders(place.index, *embedded) == {k: v for k, v in everything.items() if k.split("/")[0] in embedded}
    manifest = assert_sound(place.store)
    assert (manifest.version, manifest.dense["nlist"]) == (2, 24)
    assert contents(place.store) == first

    # Another window: its tokenizer measures other passages, so parts and vectors are new.
    kept = finished(place.index)
    place.build(model={"max_tokens": 64})
    assert_untouched(kept, place.index)
    manifest = assert_sound(place.store)
    assert manifest.version == 3
    assert manifest.passages > len(first["keys"])

    # Another model with the same tokenizer: vectors are new.
    kept = finished(place.index)
    place.build(model={"name": str(place.other)})
    assert_untouched(kept, place.index)
    manifest = assert_sound(place.store)
    other = contents(place.store)
    assert manifest.version == 4
    assert other["keys"] == first["keys"]
    assert not set(other["vectors"]) & set(first["vectors"])

    # Back to the first settings: everything is there, only the commit is new.
    kept = finished(place.index)
    place.build()
    assert_untouched(kept, place.index)
    assert folders(place.index, "parts", "vectors", "quantizer", "dense", "passages") == {
        key: value
        for key, value in kept.items()
        if key.split("/")[0] in ("parts", "vectors", "quantizer", "dense", "passages")
    }
    assert contents(place.store) == first
    assert "nothing was done" in place.build()
    # An older version can still be opened.
    assert contents(place.store, read_manifest(place.store, 4)) == other


def test_a_new_file_adds_its_part_at_the_end(place: Place) -> None:
    first, old = contents(place.store), read_manifest(place.store)
    kept = finished(place.index)
    write_jsonl(place.corpus / "00-sorts-first.jsonl", make_documents(90, first=5000))
    place.build()
    assert_untouched(kept, place.index)
    manifest, now = assert_sound(place.store), contents(place.store)
    assert now["documents"] == first["documents"] + 90
    assert now["keys"][: len(first["keys"])] == first["keys"]
    assert {key.partition("#")[0] for key in now["keys"][len(first["keys"]) :]} == {f"d{n:05d}" for n in range(5000, 5090)}
    assert now["vectors"][: len(first["vectors"])] == first["vectors"]
    fresh = [key for key in finished(place.index) if key not in kept]
    added = len(manifest.parts) - len(old.parts)
    assert sum(key.startswith("vectors/") and key.endswith(".npy") for key in fresh) == added
    assert sum(key.startswith("parts/") and key.endswith(".parquet") for key in fresh) == added
    # The quantizer stays; whole shards stay; the last one was added to.
    assert [file.key for file in manifest.quantizer] == [file.key for file in old.quantizer]
    assert [shard.name for shard in manifest.shards[: len(old.shards) - 1]] == [s.name for s in old.shards[:-1]]
    assert "nothing was done" in place.build()


def test_a_changed_and_a_removed_file(place: Place) -> None:
    first = contents(place.store)
    kept = finished(place.index)
    (place.corpus / "1.jsonl").unlink()
    write_jsonl(place.corpus / "2.jsonl", make_documents(30, first=7000))
    place.build()
    assert_untouched(kept, place.index)
    assert_sound(place.store)
    now = contents(place.store)
    of = [key.partition("#")[0] for key in now["keys"]]
    assert {name for name in of if name >= "d07000"} == {f"d{number:05d}" for number in range(7000, 7030)}
    assert not {name for name in of if "d00300" <= name < "d00900"}
    # What did not change keeps its order, and the new content stands at the end.
    assert of == sorted(of)
    unchanged = [key for key in first["keys"] if not "d00300" <= key < "d00900"]
    assert now["keys"][: len(unchanged)] == unchanged
    # The old version is still whole.
    assert contents(place.store, read_manifest(place.store, 1)) == first
    # A file by the name of the removed one is a new file.
    kept = finished(place.index)
    write_jsonl(place.corpus / "1.jsonl", make_documents(30, first=8000))
    place.build()
    assert_untouched(kept, place.index)
    assert contents(place.store)["keys"][: len(now["keys"])] == now["keys"]
