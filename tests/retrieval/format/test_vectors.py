"""Vector files and exact search over them."""

import numpy as np
import pytest

from retrieval.errors import IndexDamaged, ModelError
from retrieval.format.vectors import ShardVectors, exact_search, open_vectors, write_vectors
from tests.tools.samples.dense_data import clustered, stored


def test_a_part_is_a_plain_npy_file_that_numpy_reads(tmp_path):
    vectors = clustered(100, seed=1)
    write_vectors(tmp_path / "part.npy", vectors)
    loaded = np.load(tmp_path / "part.npy", allow_pickle=False)
    assert loaded.dtype == np.float16
    np.testing.assert_array_equal(loaded, vectors.astype(np.float16))
    np.testing.assert_array_equal(open_vectors(tmp_path / "part.npy", 100, 32), loaded)


def test_mapped_vectors_cannot_be_changed(tmp_path):
    write_vectors(tmp_path / "part.npy", clustered(10, seed=1))
    with pytest.raises(ValueError, match="read-only"):
        open_vectors(tmp_path / "part.npy", 10, 32)[0, 0] = 1


@pytest.mark.parametrize("keep", [0, 5, 60, 128, 1000, -2])
def test_a_truncated_file_is_damaged(tmp_path, keep):
    path = tmp_path / "part.npy"
    write_vectors(path, clustered(100, seed=1))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(IndexDamaged, match=r"part\.npy"):
        open_vectors(path, 100, 32)


def test_a_header_with_flipped_bytes_is_damaged_or_still_right(tmp_path):
    path = tmp_path / "part.npy"
    write_vectors(path, clustered(100, seed=1))
    good = path.read_bytes()
    refused = 0
    for at in range(128):
        path.write_bytes(good[:at] + bytes([good[at] ^ 0x15]) + good[at + 1 :])
        try:
            assert open_vectors(path, 100, 32).shape == (100, 32)
        except IndexDamaged:
            refused += 1
    assert refused > 60


@pytest.mark.parametrize(("rows", "dimension"), [(99, 32), (101, 32), (100, 16)])
def test_another_shape_than_the_manifest_says_is_damaged(tmp_path, rows, dimension):
    write_vectors(tmp_path / "part.npy", clustered(100, seed=1))
    with pytest.raises(IndexDamaged, match="expected"):
        open_vectors(tmp_path / "part.npy", rows, dimension)


def test_a_missing_file_is_damaged(tmp_path):
    with pytest.raises(IndexDamaged, match="missing"):
        open_vectors(tmp_path / "part.npy", 1, 2)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 70_000.0])
def test_vectors_beyond_float16_are_refused(tmp_path, bad):
    vectors = clustered(5, seed=1)
    vectors[3, 7] = bad
    with pytest.raises(ModelError, match="row 3"):
        write_vectors(tmp_path / "part.npy", vectors)
    assert not (tmp_path / "part.npy").exists()


def test_parts_are_one_matrix(tmp_path):
    vectors = clustered(1000, seed=2).astype(np.float16)
    parts = stored(tmp_path, vectors, [0, 300, 1, 0, 699])
    assert len(parts) == 1000
    rows = np.random.default_rng(0).integers(0, 1000, size=(20, 7))
    np.testing.assert_array_equal(parts.take(rows), vectors[rows])
    joined = np.concatenate([block for _, block in parts.blocks(128)])
    np.testing.assert_array_equal(joined, vectors)
    assert [start for start, _ in parts.blocks(400)] == [0, 300, 301, 701]
    with pytest.raises(IndexError):
        parts.take(np.array([1000]))


def test_exact_search_equals_a_full_product(tmp_path):
    vectors = clustered(40_000, seed=3, dimension=8)
    parts = stored(tmp_path, vectors, [25_000, 15_000])
    queries = clustered(9, seed=4, dimension=8)
    products = queries @ vectors.astype(np.float16).astype(np.float32).T
    scores, rows = exact_search(queries, parts, 10)
    np.testing.assert_array_equal(rows, np.argsort(-products, axis=1, kind="stable")[:, :10])
    np.testing.assert_allclose(scores, -np.sort(-products, axis=1)[:, :10], rtol=1e-5)
    np.testing.assert_allclose(parts.scores(queries, rows), scores, rtol=1e-5)


def test_exact_search_of_a_selection_and_of_fewer_than_k():
    parts = ShardVectors.from_array(clustered(100, seed=5).astype(np.float16))
    chosen = np.array([3, 50, 99])
    scores, rows = exact_search(clustered(4, seed=6), parts, 5, rows=chosen)
    assert (np.sort(rows[:, :3], axis=1) == chosen).all()
    assert (rows[:, 3:] == -1).all()
    assert np.isneginf(scores[:, 3:]).all()


def test_equal_scores_come_in_the_order_of_rows():
    parts = ShardVectors.from_array(np.ones((50, 8), np.float16))
    _, rows = exact_search(np.ones((1, 8), np.float32), parts, 50)
    assert rows[0].tolist() == list(range(50))
