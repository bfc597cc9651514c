"""Fusion of ranked lists, against its definition computed by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.fusions.calibrated import CALIBRATED
from retrieval.fusions.rrf import RRF
from retrieval.fusions.weighted import WEIGHTED
from retrieval.search.fusing import Fused, candidates_of, fuse, signal_of
from retrieval.search.ranking import Ranking
from retrieval.search.shards.combining import merge_rankings


def ranking(*lists: list[int]) -> Ranking:
    width = max(len(ids) for ids in lists)
    ids = np.array([ids + [-1] * (width - len(ids)) for ids in lists], np.int64)
    scores = np.where(ids >= 0, np.arange(width, 0, -1, dtype=np.float32), -np.inf)
    return Ranking(scores.astype(np.float32), ids)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.permutations(range(12)), min_size=1, max_size=4),
    st.integers(1, 12),
    st.floats(0.1, 5),
    st.integers(1, 100),
)
def test_rrf_is_the_sum_of_its_definition(
    orders: list[list[int]], length: int, weight: float, k: int
) -> None:
    first = ranking(*[order[:length] for order in orders])
    second = ranking(*[order[::-1][: max(1, length - 2)] for order in orders])
    found = fuse(RRF, {"a": first, "b": second}, [1.0, weight], {"rrf_k": k}).ranking(30)
    for row, order in enumerate(orders):
        expected: dict[int, float] = {}
        for ids, share in ((order[:length], 1.0), (order[::-1][: max(1, length - 2)], weight)):
            for rank, passage in enumerate(ids, start=1):
                expected[passage] = expected.get(passage, 0.0) + share / (k + rank)
        got = {int(i): float(s) for i, s in zip(found.ids[row], found.scores[row], strict=True) if i >= 0}
        assert got == pytest.approx(expected)
        assert (np.diff(found.scores[row][: len(got)]) <= 0).all()


def test_weighted_fusion_scales_each_list_and_survives_equal_scores() -> None:
    dense = Ranking(
        np.array([[0.9, 0.5, 0.1], [3.0, 3.0, -np.inf]], np.float32), np.array([[7, 8, 9], [1, 2, -1]])
    )
    lexical = Ranking(np.array([[20.0, 10.0], [-np.inf, -np.inf]], np.float32), np.array([[9, 8], [-1, -1]]))
    found = fuse(WEIGHTED, {"dense": dense, "lexical": lexical}, [1.0, 2.0], {}).ranking(4)
    assert found.ids.tolist() == [[9, 7, 8, -1], [1, 2, -1, -1]]
    assert found.scores[0, :3].tolist() == pytest.approx([2.0, 1.0, 0.5])
    assert found.scores[1, :2].tolist() == [1.0, 1.0]


def test_calibrated_scores_lie_between_background_and_best() -> None:
    """Computed by hand; what a signal does not score, or scores no better than background, counts 0."""
    dense = Ranking(np.array([[0.9, 0.7], [0.4, 0.3]], np.float32), np.array([[7, 8], [1, 2]]))
    lexical = Ranking(np.array([[20.0, 5.0], [-np.inf, -np.inf]], np.float32), np.array([[9, 8], [-1, -1]]))
    ids = candidates_of([dense, lexical])
    assert ids.tolist() == [[7, 8, 9], [1, 2, -1]]
    low = np.array([0.5, 0.4], np.float32)
    signals = {"dense": signal_of(ids, dense, 0.75, low), "lexical": signal_of(ids, lexical, 0.25)}
    assert signals["dense"].ranks.tolist() == [[1, 2, 0], [1, 2, 0]]
    fused = Fused.of(CALIBRATED, ids, signals, {})
    found = fused.ranking(4)
    assert found.ids.tolist() == [[7, 8, 9, -1], [1, 2, -1, -1]]
    assert found.scores[0, :3].tolist() == pytest.approx([0.75, 0.75 * 0.5 + 0.25 * 0.25, 0.25])
    assert found.scores[1, :2].tolist() == [0.0, 0.0]
    why = fused.explained(0, 8)
    assert why["dense"].score == pytest.approx(0.7) and why["dense"].calibrated == pytest.approx(0.5)
    assert sum(one.share for one in why.values()) == pytest.approx(found.scores[0, 1])
    assert fused.explained(0, 9)["dense"].score is None
    assert fused.explained(0, 100) == {}


def test_merging_shards_keeps_the_best_in_order() -> None:
    left = Ranking(np.array([[5.0, 1.0]], np.float32), np.array([[3, 4]]))
    right = Ranking(np.array([[5.0, 2.0, -np.inf]], np.float32), np.array([[1, 9, -1]]))
    found = merge_rankings(1, [left, right], 3)
    assert found.ids.tolist() == [[1, 3, 9]]  # equal scores by id
    assert found.position(0, 9) == 2
    assert found.position(0, 4) is None
