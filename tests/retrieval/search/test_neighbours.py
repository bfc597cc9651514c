"""Passages beside hits: over the edges of parts and shards, and no further than their documents go."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from retrieval.errors import ConfigError
from retrieval.format.passages import Passage
from retrieval.search.neighbours import read_neighbours
from retrieval.search.searcher import Searcher
from retrieval.search.shards.opening import open_group
from retrieval.storage import Store, default_cache


@pytest.fixture(scope="module")
def search(served_index: Path) -> Iterator[Searcher]:
    with Searcher.open(str(served_index)) as searcher:
        assert len(searcher.manifest.shards) > 1 and len(searcher.manifest.parts) > 2
        yield searcher


@pytest.mark.parametrize("reach", [1, 3, 8])
def test_every_passage_has_those_beside_it_and_no_others(search: Searcher, reach: int) -> None:
    passages = search.manifest.passages
    ids = np.arange(passages)[:, None]
    every = search.passages(ids)
    hits = {number: vars(passage) for number, passage in every.items()}
    found = read_neighbours(ids, hits, reach, search.shards, passages)
    edges = {part.rows for part in search.manifest.parts}
    assert edges  # documents go on over them:
    starts = np.cumsum([shard.rows for shard in search.manifest.shards])[:-1].tolist()
    assert any(every[start].doc_id == every[start - 1].doc_id for start in starts)
    for number, near in enumerate(found):
        around = range(max(0, number - reach), min(passages, number + reach + 1))
        same = [every[n] for n in around if n != number and every[n].doc_id == every[number].doc_id]
        assert near is not None and [Passage(**vars(one)) for one in near] == same


def test_a_search_brings_them_where_it_is_asked_to(search: Searcher) -> None:
    plain = search("notes about violins near place 7", k=5)
    found = search("notes about violins near place 7", k=5, neighbours=2)
    assert plain.neighbours is None and "neighbours" not in plain.as_json()
    assert [hit.passage_id for hit in found] == [hit.passage_id for hit in plain]
    hits = {hit.passage_id for hit in found}
    assert found.neighbours and not hits & {one.passage_id for one in found.neighbours}
    assert {one.doc_id for one in found.neighbours} <= {hit.doc_id for hit in found}
    assert found.as_json()["neighbours"][0]["doc_id"] == found.neighbours[0].doc_id


def test_what_lies_in_a_shard_that_is_not_there_ends_a_side(search: Searcher, served_index: Path) -> None:
    first, *_ = search.manifest.shards
    store = Store(str(served_index))
    last = np.array([[first.rows - 1, -1]])
    every = search.passages(np.arange(search.manifest.passages))
    document = [n for n, one in every.items() if one.doc_id == every[first.rows - 1].doc_id]
    assert document[0] < first.rows - 1 and document[-1] >= first.rows  # it lies in both
    group = open_group(store, search.manifest, default_cache(store), [first])
    hits = group.fetch(last)
    [near] = read_neighbours(last, hits, 8, group, search.manifest.passages)
    assert near is not None
    assert {one.passage_id for one in near} == {every[n].passage_id for n in document if n < first.rows - 1}
    [none] = read_neighbours(last, {}, 3, group, search.manifest.passages)  # the hit itself is lost
    assert none == ()
    group.close()


def test_more_than_may_be_is_refused(search: Searcher) -> None:
    for wrong in (-1, 9):
        with pytest.raises(ConfigError, match="neighbours"):
            search("violins", neighbours=wrong)
