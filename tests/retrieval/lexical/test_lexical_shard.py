"""Search in shards: the k best by exact BM25 of the whole index, whatever the cut, the way and the filter."""

from pathlib import Path

import numpy as np
import pytest

from retrieval.lexical.candidates.candidates import error_bound
from retrieval.lexical.query import MAX_TERMS, make_query
from tests.tools.samples.lexical_tools import (
    ANALYZER,
    Corpus,
    Exhaustive,
    assert_best,
    make_corpus,
    make_passages,
    make_queries,
)

PASSAGES = make_passages(1500)
QUERIES = make_queries(25)
EXACT = Exhaustive(PASSAGES)
CUTS = (100, 250, 700, 701, 1100, 1300, 1400)


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return make_corpus(tmp_path_factory.mktemp("one"), PASSAGES)


@pytest.fixture(scope="module")
def eight(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return make_corpus(tmp_path_factory.mktemp("eight"), PASSAGES, CUTS)


@pytest.mark.parametrize(("k1", "b"), [(1.2, 0.75), (0.9, 0.4), (2.5, 1.0), (0.0, 0.5)])
@pytest.mark.parametrize("scan_postings", [10**9, 0])
def test_both_ways_find_the_best_of_all_passages(
    one: Corpus, k1: float, b: float, scan_postings: int
) -> None:
    queries = [make_query(text, ANALYZER, one.statistics) for text in QUERIES]
    for k in (1, 10, 200):
        scores, rows = one.search(queries, k, one.bm25(k1, b), scan_postings=scan_postings)
        for number, text in enumerate(QUERIES[:8]):
            assert_best(scores[number], rows[number], EXACT.scores(text, k1, b), k)


def test_scores_and_ranks_do_not_depend_on_the_cut(one: Corpus, eight: Corpus) -> None:
    assert eight.statistics.documents == len(PASSAGES)
    assert eight.statistics.average_length == one.statistics.average_length
    queries = [make_query(text, ANALYZER, one.statistics) for text in QUERIES]
    again = [make_query(text, ANALYZER, eight.statistics) for text in QUERIES]
    for scan_postings in (0, 10**9):
        scores, ids = one.search(queries, 50, one.bm25(), scan_postings=scan_postings)
        other_scores, other_ids = eight.search(again, 50, eight.bm25(), scan_postings=scan_postings)
        np.testing.assert_array_equal(ids, other_ids)
        np.testing.assert_array_equal(scores, other_scores)


def test_no_passage_beyond_the_candidates_passes_the_bound(eight: Corpus) -> None:
    bounded = 0
    for text in QUERIES:
        query = make_query(text, ANALYZER, eight.statistics)
        for shard in eight.shards:
            for bm25 in (eight.bm25(), eight.bm25(0.9, 0.4), eight.bm25(2.0, 0.1)):
                scores = shard.postings.score_all(query, bm25).copy()
                bound = error_bound(bm25, shard.postings.average_length, int(shard.postings.lengths.max()))
                found = shard.candidates.search(query, shard.postings.frequencies(query.hashes), 20)
                rest = np.delete(scores, found.rows)
                bounded += bool(found.rest)
                assert rest.max(initial=0) <= found.rest * bound
    assert bounded > 100


def test_candidates_are_mostly_proven_without_scoring_all(one: Corpus) -> None:
    queries = [make_query(text, ANALYZER, one.statistics) for text in QUERIES]
    shard = one.shards[0]
    proven = [
        shard._by_candidates(query, 10, one.bm25(), shard.postings.frequencies(query.hashes)) is not None
        for query in queries
    ]
    assert np.mean(proven) > 0.8


@pytest.mark.parametrize("share", [0.002, 0.01, 0.3, 0.9])
def test_a_selection_gives_what_scoring_its_passages_gives(one: Corpus, share: float) -> None:
    selection = np.flatnonzero(np.random.default_rng(3).random(len(PASSAGES)) < share)
    queries = [make_query(text, ANALYZER, one.statistics) for text in QUERIES[:8]]
    scores, rows = one.shards[0].search(queries, 10, one.bm25(), selection=selection)
    for number, text in enumerate(QUERIES[:8]):
        exact = np.zeros(len(PASSAGES))
        exact[selection] = EXACT.scores(text)[selection]
        assert_best(scores[number], rows[number], exact, 10)


def test_matches_explain_the_score(one: Corpus) -> None:
    query = make_query(f"{QUERIES[0]} nowhere", ANALYZER, one.statistics)
    scores, rows = one.shards[0].search([query], 5, one.bm25())
    for score, row, found in zip(
        scores[0], rows[0], one.shards[0].matches(query, rows[0], one.bm25()), strict=True
    ):
        assert sum(match.score for match in found) == pytest.approx(score, rel=1e-5)
        for match in found:
            assert match.count_in_passage == ANALYZER(PASSAGES[row]).count(match.term)
            assert match.idf == pytest.approx(query.idf[query.terms.index(match.term)])


def test_equal_scores_are_in_the_order_of_rows(tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path, ["bees and glaciers", "bees and clocks", "comets"] * 150)
    query = make_query("bees", ANALYZER, corpus.statistics)
    for scan_postings in (0, 10**9):
        _, rows = corpus.search([query], 20, corpus.bm25(), scan_postings=scan_postings)
        assert rows[0].tolist() == [row for row in range(30) if row % 3 < 2]


def test_counts_stay_exact_however_large(tmp_path: Path) -> None:
    passages = ["bees " * 300 + "clocks", "bees " * 70_000, "comets"]
    corpus = make_corpus(tmp_path, passages)
    query = make_query("bees", ANALYZER, corpus.statistics)
    scores, rows = corpus.search([query], 3, corpus.bm25())
    assert_best(scores[0], rows[0], Exhaustive(passages).scores("bees"), 3)
    found = corpus.shards[0].matches(query, np.array([1, 0, 2]), corpus.bm25())
    assert [[match.count_in_passage for match in row] for row in found] == [[70_000], [300], []]


def test_passages_without_terms_and_queries_that_match_nothing(tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path, ["the", "", "...", "bees"])
    queries = [make_query(text, ANALYZER, corpus.statistics) for text in ("", "the", "comets", "\0", "(bees")]
    scores, rows = corpus.search(queries, 2, corpus.bm25())
    assert rows.tolist() == [[-1, -1], [0, -1], [-1, -1], [-1, -1], [3, -1]]
    assert np.isneginf(scores[rows < 0]).all()
    empty = make_corpus(tmp_path / "empty", ["the", ""])
    query = make_query("bees", ANALYZER, empty.statistics)
    assert empty.search([query], 1, empty.bm25())[1].tolist() == [[-1]]


def test_a_very_long_query_keeps_its_first_terms(one: Corpus) -> None:
    text = "word3x " + " ".join(f"other{number}x" for number in range(2 * MAX_TERMS))
    query = make_query(text, ANALYZER, one.statistics)
    assert (len(query.terms), query.left_out) == (MAX_TERMS, MAX_TERMS + 1)
    for scan_postings in (0, 10**9):
        _, rows = one.search([query], 3, one.bm25(), scan_postings=scan_postings)
        assert (rows >= 0).all()


def test_a_query_of_stop_words_only_is_searched_with_them(tmp_path: Path) -> None:
    texts = ["To be, or not to be: that is the question.", "It is the bees.", "comets", "not it"] * 3
    corpus = make_corpus(tmp_path, texts, [5])
    query = make_query("to be or not to be", ANALYZER, corpus.statistics)
    assert query.only_stop_words and query.terms == ("to", "be", "or", "not")
    for scan_postings in (250_000, 0):  # tantivy, which would be asked for candidates, has no stop words
        _, rows = corpus.search([query], 4, corpus.bm25(), scan_postings=scan_postings)
        assert rows[0].tolist() == [0, 4, 8, 3]
    assert not make_query("to be bees", ANALYZER, corpus.statistics).only_stop_words
    matches = corpus.shards[0].matches(query, np.array([0]), corpus.bm25())
    assert [(match.term, match.count_in_passage) for match in matches[0]] == [
        ("to", 2),
        ("be", 2),
        ("or", 1),
        ("not", 1),
    ]
