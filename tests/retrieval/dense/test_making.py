"""Choosing, sampling, training and tuning a dense index."""

import numpy as np
import pytest

from retrieval.dense.making.choice import choose_dense
from retrieval.dense.making.training import sample_rows, train_quantizer
from retrieval.dense.making.tune import choose_parameters, evaluate_shard, lower_bound, recall
from retrieval.dense.registry import dense_type
from retrieval.dense.settings import DenseSettings
from retrieval.errors import BuildFailed, ConfigError
from retrieval.format.dense_spec import FaissSpec
from retrieval.format.vectors import ShardVectors, exact_search
from tests.tools.samples.dense_data import build, build_with, clustered, ivf, overlap

GB = 10**9


@pytest.mark.parametrize(
    ("settings", "vectors", "dimension", "budget", "expected"),
    [
        ({}, 5_000, 384, GB, "Flat (float16)"),
        ({}, 110_000, 384, GB, "IVF1024,PQ96x4"),
        ({}, 1_000_000, 384, 10 * GB, "IVF4096,PQ96x4"),
        ({}, 1_000_000_000, 768, 1000 * GB, "IVF131072_HNSW32,PQ192x4"),
        ({"recall_target": 0.99}, 110_000, 384, GB, "IVF1024,SQfp16"),
        ({"recall_target": 0.99}, 110_000, 384, 50_000_000, "IVF1024,PQ96x4"),
        ({}, 1_000_000, 384, 40_000_000, "IVF4096,PQ64x4"),
        ({"memory_budget": "30MB"}, 1_000_000, 384, 10 * GB, "IVF4096,PQ32x4"),
        ({"type": "ivf_pq", "pq_bits": 8}, 110_000, 384, GB, "IVF1024,PQ48x8"),
        ({"type": "ivf_pq"}, 110_000, 127, GB, "IVF1024,PQ127x4"),
        ({"type": "ivf_pq"}, 110_000, 50, GB, "IVF1024,PQ10x4"),
        ({"type": "ivf_pq", "opq": True, "pq_m": 8}, 110_000, 64, GB, "OPQ8,IVF1024,PQ8x4"),
        ({"type": "ivf_pq"}, 500, 384, GB, "IVF8,PQ96x4"),
        ({"type": "ivf_pq", "pq_bits": 8}, 200, 384, GB, "Flat (float16)"),
        ({"type": "ivf_flat", "nlist": 64}, 50, 384, GB, "IVF50,SQfp16"),
        ({"type": "hnsw", "hnsw_m": 16}, 50, 384, GB, "HNSW16,SQfp16"),
        ({}, 0, 384, GB, "Flat (float16)"),
    ],
)
def test_the_choice_and_its_reason(settings, vectors, dimension, budget, expected):
    spec, reason = choose_dense(DenseSettings(**settings), vectors, dimension, budget)
    assert dense_type(spec.type).notation(spec) == expected
    assert reason.startswith(expected)
    assert len(reason) > len(expected) + 20
    assert spec.train_vectors <= vectors
    if spec.pq_m:
        assert dimension % spec.pq_m == 0
    assert FaissSpec.model_validate_json(spec.model_dump_json()) == spec


def test_sub_quantizers_that_do_not_divide_are_refused_with_those_that_do():
    with pytest.raises(ConfigError) as caught:
        choose_dense(DenseSettings(type="ivf_pq", pq_m=100), 100_000, 384, GB)
    assert "96" in caught.value.hint


def test_what_does_not_fit_the_budget_is_said():
    _, reason = choose_dense(DenseSettings(type="ivf_flat"), 1_000_000, 384, 100_000_000)
    assert "776 MB" in reason
    assert "100 MB" in reason


def test_the_sample_is_uniform_distinct_and_repeatable():
    counts = [1000, 0, 3000, 1, 6000]
    sample = sample_rows(counts, 2000, seed=7)
    again = sample_rows(counts, 2000, seed=7)
    other = sample_rows(counts, 2000, seed=8)
    assert sum(map(len, sample)) == 2000
    for part, same, count in zip(sample, again, counts, strict=True):
        np.testing.assert_array_equal(part, same)
        assert len(np.unique(part)) == len(part)
        assert ((part >= 0) & (part < count)).all()
        assert (np.diff(part) > 0).all()
        assert abs(len(part) - 0.2 * count) < 5 * np.sqrt(0.2 * count + 1)
    assert any(not np.array_equal(a, b) for a, b in zip(sample, other, strict=True))
    first, last = sample[4][len(sample[4]) // 2], 3000
    assert abs(first - last) < 400  # rows of a part come from all over it


@pytest.mark.parametrize("wanted", [0, 6, 9, 10, 11])
def test_a_sample_of_nearly_everything(wanted):
    sample = sample_rows([4, 6], wanted, seed=0)
    assert sum(map(len, sample)) == min(wanted, 10)


def test_training_is_repeatable(tmp_path):
    vectors = clustered(3000, seed=1)
    for name in ("one", "two"):
        train_quantizer(ivf(opq=False), vectors, 3, tmp_path / name, threads=2)
    train_quantizer(ivf(opq=False), vectors, 4, tmp_path / "other", threads=2)
    one, two, other = ((tmp_path / name / "index.faiss").read_bytes() for name in ("one", "two", "other"))
    assert one == two
    assert one != other


def test_too_small_a_sample_fails_clearly(tmp_path):
    with pytest.raises(BuildFailed, match="cannot train"):
        train_quantizer(ivf(), clustered(20, seed=1), 0, tmp_path, threads=1)


def test_recall_counts_equal_vectors_alike():
    exact = np.array([[0.9, 0.5], [0.8, -np.inf]], np.float32)
    assert recall(np.array([[0.9, 0.5], [0.8, -np.inf]], np.float32), exact) == 1.0
    assert recall(np.array([[0.9, 0.4], [0.8, -np.inf]], np.float32), exact) == pytest.approx(0.75)
    assert recall(np.full((2, 2), -np.inf, np.float32), exact) == 0.0


def test_the_lower_bound_nears_the_mean_with_more_queries():
    few, many = np.array([1.0, 0.9] * 10), np.array([1.0, 0.9] * 1000)
    assert lower_bound(few) < lower_bound(many) < 0.95
    assert lower_bound(many) > 0.948
    assert lower_bound(np.ones(100)) == 1.0


@pytest.mark.parametrize("kind", ["ivf_pq", "ivf_flat", "hnsw", "flat"])
def test_tuned_parameters_reach_the_target_over_all_shards(tmp_path, kind):
    vectors, queries = clustered(4000, seed=1), clustered(200, seed=2)
    spec = ivf(kind)
    first = build(tmp_path / "a", spec, vectors[:2500], [])
    second = build_with(tmp_path / "b", first.quantizer, vectors[2500:], [])
    settings = DenseSettings(recall_target=0.97)
    points = dense_type(spec.type).grid(spec, 10)
    shards = [first, second]
    results = [evaluate_shard(s.open(), s.vectors, queries, points, 10) for s in shards]
    tuned = choose_parameters(results, points, dense_type(kind), settings)

    scores, rows = zip(
        *(s.open().search(queries, 10, parameters=tuned.parameters) for s in shards), strict=True
    )
    rows = np.concatenate([rows[0], np.where(rows[1] >= 0, rows[1] + 2500, -1)], axis=1)
    order = np.argsort(-np.concatenate(scores, axis=1), axis=1)[:, :10]
    _, wanted = exact_search(queries, ShardVectors.from_array(vectors.astype(np.float16)), 10)
    measured = overlap(np.take_along_axis(rows, order, 1), wanted)
    chosen = next(row for row, point in zip(tuned.table, points, strict=True) if point == tuned.parameters)
    assert not tuned.warning
    assert measured >= 0.97 - 0.005
    assert chosen["recall"] == pytest.approx(measured, abs=0.005)
    assert len(tuned.table) == len(points)
    if kind == "ivf_pq":
        assert tuned.parameters.nprobe < 32
        assert tuned.table[0]["recall"] < 0.97 < tuned.table[-1]["recall"]


def test_a_target_out_of_reach_is_a_warning_with_the_best_there_is(tmp_path):
    vectors, queries = clustered(3000, seed=1), clustered(50, seed=2)
    spec = ivf(pq_m=1)
    built = build(tmp_path, spec, vectors, [])
    points = dense_type(spec.type).grid(spec, 10)[:8]
    result = evaluate_shard(built.open(), built.vectors, queries, points, 10)
    tuned = choose_parameters([result], points, dense_type(spec.type), DenseSettings(recall_target=1.0))
    assert "below the target" in tuned.warning
    best = max(row["recall"] for row in tuned.table)
    chosen = tuned.table[points.index(tuned.parameters)]
    assert chosen["recall"] == best
