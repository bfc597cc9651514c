"""What a second run does: nothing, or only what the change asks for."""

import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from retrieval.format.manifest import read_manifest
from retrieval.storage.store import Store
from tests.conftest import make_documents, write_jsonl
from tests.tools.faults.faults_checks import assert_sound, assert_untouched, contents, files_of, finished
from tests.tools.faults.faults_tools import Place, run, settings, shared_place, write_config

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1500)]

EMBEDDED = ("parts", "vectors", "passages", "models", "ledger")


@dataclass
class Copy:
    """A copy of the shared corpus and its index; both may be moved, which is what copies of them are."""

    place: Place
    corpus: Path
    index: Path

    @property
    def store(self) -> Store:
        return Store(str(self.index))

    def build(self, **sections: dict[str, Any]) -> str:
        """Build with these settings; what was printed."""
        values = settings(self.corpus, self.index, self.place.model, **sections)
        return run(write_config(self.index.with_suffix(".yaml"), values))


@pytest.fixture
def copy(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Copy:
    place = shared_place(tmp_path_factory)
    shutil.copytree(place.corpus, tmp_path / "corpus")
    shutil.copytree(place.index, tmp_path / "index")
    return Copy(place, tmp_path / "corpus", tmp_path / "index")


def folders(index: Path, *names: str) -> dict[str, tuple[int, int, int]]:
    """Files below some folders of an index."""
    return {key: value for key, value in files_of(index).items() if key.split("/")[0] in names}


def test_a_finished_build_does_nothing_and_settings_redo_what_depends_on_them(copy: Copy) -> None:
    everything = files_of(copy.index)
    began = time.monotonic()
    assert "nothing was done" in copy.build()
    assert time.monotonic() - began < 60  # a few seconds on an idle machine
    assert files_of(copy.index) == everything

    first, embedded = contents(copy.store), folders(copy.index, *EMBEDDED)
    kept = finished(copy.index)
    copy.build(dense={"nlist": 24})
    assert_untouched(kept, copy.index)
    assert folders(copy.index, *EMBEDDED) == embedded
    manifest = assert_sound(copy.store)
    assert (manifest.version, manifest.dense["nlist"]) == (2, 24)
    assert contents(copy.store) == first

    # Another window: its tokenizer measures other passages, so parts and vectors are new.
    kept = finished(copy.index)
    copy.build(model={"max_tokens": 64})
    assert_untouched(kept, copy.index)
    manifest = assert_sound(copy.store)
    assert manifest.version == 3
    assert manifest.passages > len(first["keys"])

    # Another model with the same tokenizer: vectors are new.
    kept = finished(copy.index)
    copy.build(model={"name": str(copy.place.other_model)})
    assert_untouched(kept, copy.index)
    manifest = assert_sound(copy.store)
    other = contents(copy.store)
    assert manifest.version == 4
    assert other["keys"] == first["keys"]
    assert not set(other["vectors"]) & set(first["vectors"])

    # Back to the first settings: everything is there, only the commit is new.
    kept = folders(copy.index, *EMBEDDED, "quantizer", "dense")
    copy.build()
    assert folders(copy.index, *EMBEDDED, "quantizer", "dense") == kept
    assert contents(copy.store) == first
    assert "nothing was done" in copy.build()
    # An older version can still be opened.
    assert contents(copy.store, read_manifest(copy.store, 4)) == other


def test_a_new_file_adds_its_part_at_the_end(copy: Copy) -> None:
    first, old = contents(copy.store), read_manifest(copy.store)
    kept = finished(copy.index)
    write_jsonl(copy.corpus / "00-sorts-first.jsonl", make_documents(90, first=5000))
    copy.build()
    assert_untouched(kept, copy.index)
    manifest, now = assert_sound(copy.store), contents(copy.store)
    assert now["documents"] == first["documents"] + 90
    assert now["keys"][: len(first["keys"])] == first["keys"]
    fresh_ids = {key.partition("#")[0] for key in now["keys"][len(first["keys"]) :]}
    assert fresh_ids == {f"d{number:05d}" for number in range(5000, 5090)}
    assert now["vectors"][: len(first["vectors"])] == first["vectors"]
    fresh = [key for key in finished(copy.index) if key not in kept]
    added = len(manifest.parts) - len(old.parts)
    assert sum(key.startswith("vectors/") and key.endswith(".npy") for key in fresh) == added
    assert sum(key.startswith("parts/") and key.endswith(".parquet") for key in fresh) == added
    # The quantizer stays; whole shards stay; the last one was added to.
    assert [file.key for file in manifest.quantizer] == [file.key for file in old.quantizer]
    whole = [shard.name for shard in old.shards[:-1]]
    assert [shard.name for shard in manifest.shards[: len(whole)]] == whole
    assert "nothing was done" in copy.build()


def test_a_changed_and_a_removed_file(copy: Copy) -> None:
    first = contents(copy.store)
    kept = finished(copy.index)
    (copy.corpus / "1.jsonl").unlink()
    write_jsonl(copy.corpus / "2.jsonl", make_documents(30, first=7000))
    copy.build()
    assert_untouched(kept, copy.index)
    assert_sound(copy.store)
    now = contents(copy.store)
    of = [key.partition("#")[0] for key in now["keys"]]
    assert {name for name in of if name >= "d07000"} == {f"d{number:05d}" for number in range(7000, 7030)}
    assert not {name for name in of if "d00300" <= name < "d00900"}
    # What did not change keeps its order, and the new content stands at the end.
    assert of == sorted(of)
    unchanged = [key for key in first["keys"] if not "d00300" <= key < "d00900"]
    assert now["keys"][: len(unchanged)] == unchanged
    # The old version is still whole.
    assert contents(copy.store, read_manifest(copy.store, 1)) == first
    # A file by the name of the removed one is a new file.
    kept = finished(copy.index)
    write_jsonl(copy.corpus / "1.jsonl", make_documents(30, first=8000))
    copy.build()
    assert_untouched(kept, copy.index)
    assert contents(copy.store)["keys"][: len(now["keys"])] == now["keys"]
