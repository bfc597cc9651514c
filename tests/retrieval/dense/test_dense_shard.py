"""Dense shards: what they find, how they merge, and what they say of damaged files."""

import shutil

import numpy as np
import pytest

from retrieval.dense.dense_shard import DenseShard
from retrieval.dense.making.merging import merge_pieces, merge_shards
from retrieval.dense.making.pieces import build_piece
from retrieval.dense.quantizer import Quantizer
from retrieval.dense.settings import DenseSettings
from retrieval.errors import ConfigError, CorpusmillError, IndexDamaged, StorageError
from retrieval.format.dense_spec import SearchParameters
from retrieval.format.vectors import ShardVectors, exact_search
from tests.tools.samples.dense_data import Built, build, build_with, clustered, ivf, overlap, stored, trained

COUNT = 3000
WIDE = SearchParameters(nprobe=32, shortlist=200, ef_search=200)
SPECS = {
    "flat": ivf("flat"),
    "ivf_flat": ivf("ivf_flat"),
    "pq4": ivf(),
    "pq8": ivf(pq_m=8, pq_bits=8),
    "opq": ivf(opq=True, pq_m=8),
    "hnsw-coarse": ivf(coarse="hnsw"),
    "odd-code": ivf(pq_m=1),
    "hnsw": ivf("hnsw"),
}


@pytest.fixture(scope="module")
def vectors():
    return clustered(COUNT, seed=1)


@pytest.fixture(scope="module")
def queries():
    return clustered(40, seed=2)


@pytest.fixture(scope="module")
def pq4(tmp_path_factory, vectors) -> Built:
    return build(tmp_path_factory.mktemp("pq4"), ivf(), vectors, [700, 1500])


@pytest.mark.parametrize("name", SPECS)
def test_every_type_finds_the_exact_neighbours(tmp_path, vectors, queries, name):
    built = build(tmp_path, SPECS[name], vectors, [700, 1500])
    wanted_scores, wanted = exact_search(queries, built.vectors, 10)
    wide = WIDE.model_copy(update={"shortlist": 2000 if name == "odd-code" else 200})
    shard = built.open()
    scores, rows = shard.search(queries, 10, parameters=wide)
    assert overlap(rows, wanted) > 0.97
    found = rows == wanted
    np.testing.assert_allclose(scores[found], wanted_scores[found], rtol=1e-5)
    assert scores.dtype == np.float32
    shard.close()


def test_each_vector_finds_itself_in_a_merged_shard(pq4, vectors):
    _, rows = pq4.open().search(vectors, 1, parameters=WIDE)
    assert np.mean(rows[:, 0] == np.arange(COUNT)) > 0.99


def test_packed_and_mapped_lists_agree(pq4, queries):
    packed = pq4.open().search(queries, 10, parameters=WIDE)[1]
    mapped = pq4.open(pack=False).search(queries, 10, parameters=WIDE)[1]
    assert overlap(packed, mapped) > 0.98


def test_an_assignment_is_shared_and_equals_a_search_of_its_own(pq4, queries):
    shard = pq4.open()
    assigned = pq4.quantizer.assign(queries, SearchParameters(nprobe=4))
    alone = shard.search(queries, 10, parameters=SearchParameters(nprobe=4))
    shared = shard.search(queries, 10, assigned=assigned)
    np.testing.assert_array_equal(alone[1], shared[1])


@pytest.mark.parametrize("name", ["pq4", "ivf_flat", "hnsw", "flat"])
@pytest.mark.parametrize("exact_rows", [0, 20_000])
def test_a_selection_is_all_that_is_searched(tmp_path, vectors, queries, name, exact_rows, monkeypatch):
    monkeypatch.setattr("retrieval.dense.dense_shard.EXACT_ROWS", exact_rows)
    built = build(tmp_path, SPECS[name], vectors, [])
    chosen = np.arange(5, COUNT, 3)
    _, wanted = exact_search(queries, built.vectors, 10, rows=chosen)
    _, rows = built.open().search(queries, 10, parameters=WIDE, selection=chosen)
    assert np.isin(rows, chosen).all()
    assert overlap(rows, wanted) > 0.95


def test_fewer_vectors_than_k_are_padded(tmp_path, vectors, queries):
    quantizer = trained(tmp_path / "q", ivf(), vectors)
    built = build_with(tmp_path, quantizer, vectors[:6], [])
    scores, rows = built.open().search(queries, 10, parameters=WIDE)
    assert (np.sort(rows[:, :6], axis=1) == np.arange(6)).all()
    assert (rows[:, 6:] == -1).all()
    assert np.isneginf(scores[:, 6:]).all()


@pytest.mark.parametrize("name", ["pq4", "flat", "hnsw"])
def test_an_empty_shard_is_searched_like_any_other(tmp_path, vectors, queries, name):
    quantizer = trained(tmp_path / "q", SPECS[name], vectors)
    built = build_with(tmp_path, quantizer, vectors[:0], [])
    assert (built.open().search(queries, 3)[1] == -1).all()


def test_a_shard_does_not_depend_on_how_it_was_cut_into_pieces(tmp_path, pq4, vectors):
    other = build_with(tmp_path, pq4.quantizer, vectors, [1, 2, 2, 2999])
    for name in ("lists.bin", "sizes.npy", "shard.json"):
        assert (other.folder / name).read_bytes() == (pq4.folder / name).read_bytes()


def test_a_merged_shard_is_an_ordinary_shard(tmp_path, pq4, vectors, queries):
    sizes = [100, 300, 50, 2550]  # unequal: known to break FAISS's own shifting of ids
    shards, first = [], 0
    for number, size in enumerate(sizes):
        shards.append(build_with(tmp_path / str(number), pq4.quantizer, vectors[first : first + size], []))
        first += size
    merge_shards(pq4.quantizer, [shard.folder for shard in shards[:2]], tmp_path / "front")
    merge_shards(pq4.quantizer, [tmp_path / "front", shards[2].folder, shards[3].folder], tmp_path / "shard")
    for name in ("lists.bin", "sizes.npy", "shard.json"):
        assert (tmp_path / "shard" / name).read_bytes() == (pq4.folder / name).read_bytes()


def test_missing_and_doubled_pieces_are_found(tmp_path, pq4, vectors):
    pieces = []
    for number, (first, end) in enumerate([(0, 1000), (1000, 2000), (2000, COUNT)]):
        pieces.append(tmp_path / str(number))
        part = ShardVectors.from_array(vectors[first:end].astype(np.float16))
        build_piece(pq4.quantizer, part, first, pieces[-1], threads=2)
    for wrong in ([pieces[0], pieces[2]], [pieces[0], pieces[1], pieces[1], pieces[2]]):
        with pytest.raises(IndexDamaged, match="missing or given twice"):
            merge_pieces(pq4.quantizer, wrong, tmp_path / "out")
    with pytest.raises(IndexDamaged, match="is a piece"):
        DenseShard.open(pieces[1], pq4.quantizer, None)


def test_a_row_that_is_lost_for_another_is_found_by_the_merge(tmp_path, pq4, vectors):
    part = ShardVectors.from_array(vectors.astype(np.float16))
    build_piece(pq4.quantizer, part, 0, tmp_path / "piece", threads=2)
    lists = tmp_path / "piece" / "lists.bin"
    damaged = bytearray(lists.read_bytes())
    damaged[-8:] = damaged[-16:-8]  # the last row of the last list becomes the one before it
    lists.write_bytes(damaged)
    with pytest.raises(IndexDamaged, match="each once"):
        merge_pieces(pq4.quantizer, [tmp_path / "piece"], tmp_path / "out")
    assert not (tmp_path / "out" / "shard.json").exists()


def test_pieces_of_another_quantizer_are_refused(tmp_path, pq4, vectors):
    other = build(tmp_path, ivf(nlist=16), vectors, [])
    with pytest.raises(IndexDamaged, match="quantizer"):
        merge_shards(pq4.quantizer, [other.folder], tmp_path / "out")
    again = build(tmp_path / "again", ivf(), vectors[:2000], [])
    with pytest.raises(IndexDamaged, match="quantizer"):
        merge_shards(pq4.quantizer, [again.folder], tmp_path / "out")


def test_a_graph_is_refused_above_its_stated_size(tmp_path, vectors):
    quantizer = trained(tmp_path / "q", ivf("hnsw"), vectors)
    part = ShardVectors.from_array(vectors.astype(np.float16))
    build_piece(quantizer, part, 0, tmp_path / "p", threads=1)
    few = DenseSettings(hnsw_max_vectors=COUNT - 1)
    with pytest.raises(ConfigError, match="hnsw_max_vectors"):
        merge_pieces(quantizer, [tmp_path / "p"], tmp_path / "s", vectors=part, settings=few)


def test_a_full_disk_is_a_clear_error(pq4, vectors, tmp_path, monkeypatch):
    (tmp_path / "piece").mkdir()
    (tmp_path / "piece" / "lists.bin").symlink_to("/dev/full")
    part = ShardVectors.from_array(vectors.astype(np.float16))
    with pytest.raises(StorageError, match="No space left"):
        build_piece(pq4.quantizer, part, 0, tmp_path / "piece", threads=2)


@pytest.mark.parametrize("name", ["pq4", "hnsw"])
def test_truncated_files_are_damaged_wherever_they_end(tmp_path, vectors, name):
    built = build(tmp_path, SPECS[name], vectors, [])
    for path in sorted(built.folder.iterdir()):
        content = path.read_bytes()
        for keep in {0, 1, len(content) // 3, len(content) // 2, len(content) - 8, len(content) - 2}:
            path.write_bytes(content[:keep])
            with pytest.raises(IndexDamaged):
                built.open()
        path.unlink()
        with pytest.raises(IndexDamaged, match=r"missing"):
            built.open()
        path.write_bytes(content)
    built.open()


def test_flipped_bytes_in_small_files_never_go_unseen(pq4, tmp_path):
    folder = tmp_path / "shard"
    shutil.copytree(pq4.folder, folder)
    built = Built(folder, pq4.vectors, pq4.quantizer)
    for name in ("shard.json", "sizes.npy"):
        content = (folder / name).read_bytes()
        for at in range(0, len(content), 3):
            (folder / name).write_bytes(content[:at] + bytes([content[at] ^ 0x01]) + content[at + 1 :])
            with pytest.raises(IndexDamaged):
                built.open()
        (folder / name).write_bytes(content)


def test_a_damaged_quantizer_is_never_read(pq4, tmp_path):
    source = pq4.folder.parent / "quantizer"
    folder = tmp_path / "quantizer"
    shutil.copytree(source, folder)
    content = (folder / "index.faiss").read_bytes()
    for at in range(0, len(content), 997):
        (folder / "index.faiss").write_bytes(content[:at] + bytes([content[at] ^ 0x80]) + content[at + 1 :])
        with pytest.raises(IndexDamaged):
            Quantizer.open(folder, pq4.quantizer.spec)
    (folder / "index.faiss").write_bytes(content)
    with pytest.raises(IndexDamaged, match="another index"):
        Quantizer.open(folder, ivf(nlist=16))
    Quantizer.open(folder, pq4.quantizer.spec)


@pytest.mark.parametrize("pack", [True, False])
def test_rows_from_damaged_lists_are_an_error_not_a_crash(pq4, tmp_path, queries, pack):
    folder = tmp_path / "shard"
    shutil.copytree(pq4.folder, folder)
    size = (folder / "lists.bin").stat().st_size
    (folder / "lists.bin").write_bytes(np.random.default_rng(0).bytes(size))
    shard = Built(folder, pq4.vectors, pq4.quantizer).open(pack=pack)
    with pytest.raises(IndexDamaged, match="not in the shard"):
        shard.search(queries, 10, parameters=WIDE)


def test_vectors_of_another_number_are_damaged(pq4, tmp_path, vectors):
    fewer = stored(tmp_path, vectors[:-1], [COUNT - 1])
    with pytest.raises(IndexDamaged, match="vector files"):
        DenseShard.open(pq4.folder, pq4.quantizer, fewer)


def test_queries_of_another_dimension_are_refused(pq4):
    with pytest.raises(CorpusmillError, match="32 dimensions"):
        pq4.open().search(np.zeros((1, 31), np.float32), 3)
