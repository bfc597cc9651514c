"""Rejects are bounded: streamed to disk, the first ones in full, the rest counted, and every count proved."""

import gzip
import io
import json
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from jobs.commands.index_status import status, status_lines
from pipelines.config.corpus_settings import CorpusSettings
from pipelines.parts.rejects import (
    IN_FULL,
    MOST_REASONS,
    OTHER,
    RejectWriter,
    add_reasons,
    count_rejects,
    reason_kind,
)
from pipelines.sources.files.listing import list_files
from pipelines.sources.slice_reader import Reject, read_slice
from pipelines.sources.slices import cut_slices
from pipelines.stages.read import Tally, batches
from pipelines.upkeep.verification import verify
from retrieval.storage.store import Store
from tests.conftest import make_documents

READ = """
import resource, sys
from pipelines.config.corpus_settings import CorpusSettings
from pipelines.stages.read import Tally, batches
from pipelines.parts.rejects import RejectWriter
from pipelines.sources.files import list_files
from pipelines.sources.slice_reader import read_slice
from pipelines.sources.slices import cut_slices
from retrieval.storage import Store

corpus = CorpusSettings(paths=sys.argv[1] + "/bad.jsonl.gz")
(slice,) = cut_slices(list_files(corpus).files, 10**9, {})
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
store = Store(sys.argv[1] + "/index")
with RejectWriter(store, "r") as rejects, RejectWriter(store, "n") as notes:
    assert list(batches(read_slice(slice, corpus, {}), rejects, notes, Tally({}))) == []
    rejects.finish()
print(rejects.count, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def _read(folder: Path, data: bytes) -> tuple[RejectWriter, bytes]:
    """The rejects of a compressed file, and the file of them."""
    (folder / "bad.jsonl.gz").write_bytes(data)
    corpus = CorpusSettings(paths=str(folder / "bad.jsonl.gz"))
    (slice,) = cut_slices(list_files(corpus).files, 10**9, {})
    store = Store(str(folder / "index"))
    with RejectWriter(store, "r.rejects.jsonl") as rejects, RejectWriter(store, "n") as notes:
        assert list(batches(read_slice(slice, corpus, {}), rejects, notes, Tally({}))) == []
        (record,) = rejects.finish()
    assert store.check(record) is None
    return rejects, store.read(record.key)


@pytest.mark.parametrize(
    "line",
    [b"[]", b"{", b"{}", b'"x"', b"\xff", b'{"text": 1}', b'{"text": ""}', b'{"_id": "%d", "text": null}'],
    ids=repr,
)
def test_the_first_rejects_are_written_in_full_and_the_rest_is_counted(tmp_path: Path, line: bytes) -> None:
    count = 20_000
    text = b"\n".join(line.replace(b"%d", b"%d" % number) for number in range(count))
    rejects, file = _read(tmp_path, gzip.compress(text))
    assert rejects.count == count == count_rejects(io.BytesIO(file)) == sum(rejects.reasons.values())
    assert len(file) < 1_000_000
    *full, last = map(json.loads, file.splitlines())
    assert len(full) == IN_FULL and all(
        set(one) == {"source", "position", "doc_id", "reason"} for one in full
    )
    assert last["more"] == count - IN_FULL == sum(last["reasons"].values())
    assert len(rejects.examples) == 10


def test_memory_does_not_grow_with_the_number_of_rejects(tmp_path: Path) -> None:
    with RejectWriter(Store(str(tmp_path)), "r") as rejects:
        tracemalloc.start()
        for number in range(100_000):
            rejects.add(Reject("a.jsonl", number, f"id {number}", f"reason {number} {'x' * 200}"))
        (record,) = rejects.finish()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_500_000 and record.bytes < 1_000_000  # the lines of all of them took 40 MB


@pytest.mark.slow
def test_two_million_bad_lines_in_six_kilobytes(tmp_path: Path) -> None:
    data = gzip.compress(b"[\n" * 2_000_000)
    assert len(data) < 7_000
    (tmp_path / "bad.jsonl.gz").write_bytes(data)
    done = subprocess.run(
        [sys.executable, "-c", READ, tmp_path], capture_output=True, text=True, timeout=300, check=True
    )
    count, grown = map(int, done.stdout.split())
    assert count == 2_000_000 and grown < 100_000  # kB; held in memory, it was 367 MB


def test_reasons_that_all_differ_are_bounded() -> None:
    counts = add_reasons({f"reason {chr(65 + n % 26)}{'x' * (n % 999)}": 1} for n in range(5_000))
    assert len(counts) <= MOST_REASONS + 1 and sum(counts.values()) == 5_000 and counts[OTHER] > 4_000


def test_hostile_reasons_are_bounded_in_a_slice(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    with RejectWriter(store, "r") as rejects:
        for number in range(20_000):
            rejects.add(Reject("a", number, None, "odd " + "".join(chr(97 + int(d)) for d in str(number))))
        (record,) = rejects.finish()
    assert len(rejects.reasons) <= MOST_REASONS + 1
    assert count_rejects(io.BytesIO(store.read(record.key))) == 20_000


@pytest.mark.parametrize("count", [1, IN_FULL - 1, IN_FULL, IN_FULL + 1])
def test_the_recount_at_every_border(tmp_path: Path, count: int) -> None:
    store = Store(str(tmp_path))
    with RejectWriter(store, "r") as rejects:
        for number in range(count):
            rejects.add(Reject("a", number, "id", '"more": 7'))  # what it quotes is no count
        (record,) = rejects.finish()
    data = store.read(record.key)
    assert count_rejects(io.BytesIO(data)) == count
    assert data.count(b"\n") == min(count, IN_FULL + 1)


def test_no_rejects_no_file_and_an_error_leaves_none(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    with RejectWriter(store, "r") as rejects:
        assert rejects.finish() == []
    rejects = RejectWriter(store, "r")
    rejects.add(Reject("a", 0, None, "x"))
    rejects.__exit__(KeyError, KeyError(), None)
    assert not store.find("")


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b"no json\n", b"{}\n" * 3 + b'{"more": 2, "reasons": {"a": 1}}\n',
     b'{"more": 0, "reasons": {}}\n', b'{"more": "x", "reasons": {}}\n', b'{"more": 3}\n',
     b'{"more": 3, "reasons": 3}\n', b"[" * 100_000 + b"\n"],
    ids=lambda data: repr(data[:40]),
)  # fmt: skip
def test_counts_that_do_not_add_up_are_told(data: bytes) -> None:
    with pytest.raises((ValueError, KeyError, TypeError, AttributeError)):
        count_rejects(io.BytesIO(data))


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("invalid JSON: Expecting value: line 1 column 5", "invalid JSON"),
        (
            "the line is longer than max_document_bytes (256)",
            "the line is longer than max_document_bytes (…)",
        ),
        ("year holds 'x: y' and 7", "year holds …"),
    ],
)
def test_kinds_of_reasons(reason: str, kind: str) -> None:
    assert reason_kind(reason).startswith(kind[:11])
    assert not any(letter.isdigit() for letter in reason_kind(reason))


def test_a_build_tells_rejects_by_reason_and_proves_them(build: Any, tmp_path: Path) -> None:
    good = [json.dumps(document) for document in make_documents(20)]
    bad = ["[]"] * 1_500 + ["{"] * 300 + [good[0]] * 2
    with gzip.open(tmp_path / "corpus.jsonl.gz", "wt", encoding="utf-8") as file:
        file.write("\n".join([*bad, *good]))
    corpus = {"max_reject_share": 1, "duplicates": "keep_last"}
    manifest = build(tmp_path / "corpus.jsonl.gz", tmp_path / "index", corpus=corpus).manifest
    assert (manifest.documents, manifest.rejected) == (20, 1_802)
    assert sorted(manifest.reject_reasons.values()) == [2, 300, 1_500]
    store = Store(str(tmp_path / "index"))
    assert verify(store, manifest, _silent) == []
    told = status(store)
    assert told["reject_reasons"] == manifest.reject_reasons
    assert any(
        line.startswith("rejected: 1,500 times the line is a JSON array") for line in status_lines(told)
    )
    wrong = manifest.model_copy(deep=True)
    wrong.slices[0].rejected -= 1
    problems = verify(store, wrong, _silent)
    assert any("holds 1802 rejected, the manifest says 1801" in problem for problem in problems)


def _silent(_done: int, _total: int) -> None:
    pass
