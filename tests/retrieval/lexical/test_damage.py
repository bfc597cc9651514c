"""Damaged, truncated and read-only lexical shards: an IndexDamaged or results, never a crash."""

import contextlib
import re
import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from retrieval.errors import IndexDamaged
from retrieval.lexical.lexical_shard import LexicalShard
from retrieval.lexical.query import make_query
from retrieval.lexical.statistics import Statistics
from tests.tools.samples.lexical_tools import ANALYZER, Corpus, make_corpus, make_passages, make_queries

ROWS = 500
QUERIES = make_queries(6)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return make_corpus(tmp_path_factory.mktemp("whole"), make_passages(ROWS))


@pytest.fixture
def copy(whole: Corpus, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole.folders[0], tmp_path / "copy"))


def search_all(folder: Path, corpus: Corpus) -> list[np.ndarray]:
    """Rows found by everything that a shard can be asked."""
    shard = LexicalShard.open(folder, ROWS)
    queries = [make_query(text, ANALYZER, corpus.statistics) for text in QUERIES]
    found = [shard.search(queries, 10, corpus.bm25(), scan_postings=most)[1] for most in (0, 10**9)]
    for selection in (np.arange(5), np.arange(0, ROWS, 2)):
        found.append(shard.search(queries, 10, corpus.bm25(), selection=selection)[1])
    shard.matches(queries[0], np.arange(ROWS), corpus.bm25())
    shard.close()
    return found


def test_a_flipped_bit_anywhere_is_an_error_or_a_result(whole: Corpus, copy: Path) -> None:
    files = [path for path in sorted(copy.iterdir()) if path.stat().st_size]
    random = np.random.default_rng(0)
    for path in files:
        for at in {0, path.stat().st_size - 1, *random.integers(path.stat().st_size, size=6).tolist()}:
            data = path.read_bytes()
            changed = bytearray(data)
            changed[at] ^= 1 << int(random.integers(8))
            path.write_bytes(changed)
            with contextlib.suppress(IndexDamaged):
                assert all(rows.max() < ROWS for rows in search_all(copy, whole))
            path.write_bytes(data)
    np.testing.assert_array_equal(search_all(copy, whole)[0], search_all(whole.folders[0], whole)[0])


@pytest.mark.parametrize(
    "name", ["postings.json", "hashes.u8", "ends.u8", "rows.bin", "counts.bin", "lengths.bin"]
)
def test_a_truncated_or_missing_file_is_refused_on_opening(copy: Path, name: str) -> None:
    data = (copy / name).read_bytes()
    for size in (0, 1, len(data) // 2, len(data) - 2):
        (copy / name).write_bytes(data[:size])
        with pytest.raises(IndexDamaged):
            LexicalShard.open(copy, ROWS)
    (copy / name).unlink()
    with pytest.raises(IndexDamaged, match=name):
        LexicalShard.open(copy, ROWS)


def test_a_missing_tantivy_file_is_refused_on_opening(whole: Corpus, copy: Path) -> None:
    for name in ("meta.json", *(path.name for path in copy.glob("*.term"))):
        data = (copy / name).read_bytes()
        (copy / name).unlink()
        with pytest.raises(IndexDamaged, match="tantivy"):
            LexicalShard.open(copy, ROWS)
        (copy / name).write_bytes(data)
    search_all(copy, whole)


def test_another_number_of_passages_is_refused(whole: Corpus) -> None:
    with pytest.raises(IndexDamaged, match=f"{ROWS} passages, expected 7"):
        LexicalShard.open(whole.folders[0], 7)


def test_a_selection_beyond_the_shard_is_refused(whole: Corpus) -> None:
    query = make_query(QUERIES[0], ANALYZER, whole.statistics)
    with pytest.raises(IndexDamaged, match="selection"):
        whole.shards[0].search([query], 3, whole.bm25(), selection=np.array([0, ROWS]))


def test_damaged_statistics_are_refused(whole: Corpus, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(whole.folders[0].parent / "statistics", tmp_path / "statistics"))
    for path in sorted(folder.iterdir()):
        data = path.read_bytes()
        path.write_bytes(data[:-2])
        with pytest.raises(IndexDamaged):
            Statistics.open(folder)
        path.write_bytes(data)
    assert Statistics.open(folder).documents == ROWS


def test_opening_and_searching_leave_the_folder_as_it_was(whole: Corpus, copy: Path) -> None:
    def state() -> dict[str, tuple[int, int]]:
        return {path.name: (path.stat().st_size, path.stat().st_mtime_ns) for path in copy.iterdir()}

    before = state()
    assert not [name for name in before if name.startswith(".")]
    for path in [*copy.iterdir(), copy]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    search_all(copy, whole)
    copy.chmod(0o755)
    assert state() == before


@pytest.mark.parametrize("layers", [33, 1 << 20, 1 << 50, (1 << 63) - 1])
def test_a_store_that_asks_for_any_memory_is_refused(copy: Path, layers: int) -> None:
    (store,) = copy.glob("*.store")
    data = store.read_bytes()
    footer_at = len(data) - 8 - struct.unpack("<II", data[-8:])[0]
    (begin,) = struct.unpack_from("<Q", data, footer_at - 24)
    assert data[begin] == 0x81, "one layer"
    groups = [layers >> shift & 0x7F for shift in range(0, max(1, layers.bit_length()), 7)]
    groups[-1] |= 0x80
    body = data[:begin] + bytes(groups) + data[begin + 1 : footer_at]
    footer = re.sub(rb'"crc":\d+', b'"crc":%d' % zlib.crc32(body), data[footer_at:-8])
    store.write_bytes(body + footer + struct.pack("<II", len(footer), *struct.unpack("<I", data[-4:])))
    with pytest.raises(IndexDamaged, match="document store"):
        LexicalShard.open(copy, ROWS)
