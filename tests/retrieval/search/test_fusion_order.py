"""A fused search orders candidates by their scores, wherever they lie and whatever is asked beside."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retrieval.search.searcher import Searcher
from retrieval.settings import SearchSettings
from tests.conftest import make_documents, write_jsonl

QUERIES = [
    "violins near place 7",
    "notes about glaciers",
    "which bridges were seen in 1533?",
    "tide",
    "a note",
]


@pytest.fixture(scope="module")
def indexes(build: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same parts in one shard, and in several."""
    root = tmp_path_factory.mktemp("order")
    corpus = write_jsonl(root / "corpus.jsonl", make_documents(60))
    for name, most in (("one", 100_000), ("several", 50)):
        build(
            corpus, root / name, chunk={"size": 96}, dense={"type": "flat", "tune_queries": 20},
            index={"part_passages": 50, "shard_passages": most},
        )  # fmt: skip
    return root / "one", root / "several"


@pytest.mark.parametrize("mode", ["hybrid", "dense", "lexical"])
def test_shards_change_nothing(indexes: tuple[Path, Path], mode: str) -> None:
    with Searcher.open(str(indexes[0])) as one, Searcher.open(str(indexes[1])) as several:
        assert len(several.manifest.shards) > 2 > len(one.manifest.shards)
        found, again = (search.rank(QUERIES, 40, mode=mode) for search in (one, several))
    if mode == "hybrid":
        assert np.array_equal(found.scores, again.scores)
    np.testing.assert_allclose(found.scores, again.scores, rtol=1e-6)
    assert np.array_equal(found.ids, again.ids)


def test_neither_k_nor_other_queries_change_the_order(indexes: tuple[Path, Path]) -> None:
    settings = SearchSettings(candidates=100)
    with Searcher.open(str(indexes[1])) as search:
        wide = search.rank(QUERIES, 100, settings=settings)
        narrow = search.rank(QUERIES, 5, settings=settings)
        alone = [search.rank([query], 5, settings=settings, vectors=search.encode(QUERIES)[[place]])
                 for place, query in enumerate(QUERIES)]  # fmt: skip
    assert np.array_equal(wide.ids[:, :5], narrow.ids) and np.array_equal(wide.scores[:, :5], narrow.scores)
    for row, one in enumerate(alone):
        assert np.array_equal(one.ids[0], narrow.ids[row]) and np.array_equal(
            one.scores[0], narrow.scores[row]
        )
