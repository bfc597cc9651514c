"""A dense search re-scores one shortlist, however many shards there are."""

from pathlib import Path

import numpy as np

from retrieval.filters import parse
from retrieval.search import Searcher
from retrieval.search.shards import DenseSearch, ShardGroup, merge_rankings, open_group
from retrieval.storage import Store, default_cache

N = 10


def groups(index: Path) -> tuple[ShardGroup, list[ShardGroup], np.ndarray]:
    """All shards together, each by itself, and query vectors."""
    with Searcher.open(str(index)) as searcher:
        manifest, store = searcher.manifest, Store(str(index))
        vectors, _ = searcher.models.encode(["where is the lighthouse", "notes about violins", "1843"])
    assert len(manifest.shards) > 1
    cache = default_cache(store)
    alone = [open_group(store, manifest, cache, [record]) for record in manifest.shards]
    return open_group(store, manifest, cache, manifest.shards), alone, vectors


def test_a_shortlist_is_the_best_of_those_of_the_shards(served_index: Path) -> None:
    whole, alone, vectors = groups(served_index)
    asked = DenseSearch(vectors, N)
    found = whole.shortlist(asked)
    each = [group.shortlist(asked).listed for group in alone]
    width = whole.parameters.for_depth(N).shortlist
    assert found.known.width == 0 or (found.known.ids == -1).all()
    assert found.listed.width == width and all(one.width == width for one in each)
    wanted = merge_rankings(len(vectors), each, width)
    np.testing.assert_array_equal(found.listed.ids, wanted.ids)
    np.testing.assert_allclose(found.listed.scores, wanted.scores, rtol=1e-6)


def test_a_search_is_the_exact_order_of_the_shortlist(served_index: Path) -> None:
    whole, _, vectors = groups(served_index)
    listed = whole.shortlist(DenseSearch(vectors, N)).listed.ids
    exact = whole.search(DenseSearch(vectors, whole.rows, exact=True))
    found = whole.search(DenseSearch(vectors, N))
    for query in range(len(vectors)):
        order = [one for one in exact.ids[query].tolist() if one in set(listed[query].tolist())]
        assert found.ids[query].tolist() == order[:N]


def test_what_is_scored_exactly_at_once_needs_no_shortlist(served_index: Path) -> None:
    whole, _, vectors = groups(served_index)
    chosen = parse("year in (1510, 1530, 1555)", {"year": "integer"})
    found = whole.shortlist(DenseSearch(vectors, N, chosen))
    assert found.listed.width == 0 and (found.known.ids >= 0).any()
