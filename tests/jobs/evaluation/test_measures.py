"""What an evaluation is made of: datasets, answers, run files as trec_eval reads them, significance."""

import itertools
import json
import random
from pathlib import Path

import ir_measures
import numpy as np
import pytest
import pytrec_eval

from jobs.evaluation.measuring.measures import document_measures
from jobs.evaluation.measuring.runs import strictly_decreasing, write_qrels, write_run
from jobs.evaluation.measuring.significance import holm, randomisation_test
from pipelines.judged import Query, first_answers, read_beir, read_questions, recall_at, token_sequence
from retrieval.errors import ConfigError, InputError

HEADER = "query-id\tcorpus-id\tscore\n"


def beir(folder: Path, qrels: str, *queries: dict[str, object], split: str = "test") -> Path:
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    (folder / "qrels" / f"{split}.tsv").write_text(HEADER + qrels, encoding="utf-8")
    lines = "".join(json.dumps(query) + "\n" for query in queries)
    (folder / "queries.jsonl").write_text(lines, encoding="utf-8")
    return folder


def holds(text: str, answer: str) -> bool:
    return token_sequence(answer) in token_sequence(text)


@pytest.mark.parametrize(
    ("text", "answer", "expected"),
    [
        ("It has 581 (second edition) pages.", "581 ( second edition )", True),
        ("They went to the party.", "art", False),
        ("They saw ART there.", "art", True),
        ("the Cafe\u0301 de Flore", "caf\u00e9", True),
        ("the Cafe de Flore", "caf\u00e9", False),
        ("October 1973", "1973 October", False),
        ("nearly $12 a barrel", "$12", True),
        ("line\nbreak\u00a0here", "break here", True),
    ],
)
def test_an_answer_is_a_row_of_tokens_whatever_case_and_composition(
    text: str, answer: str, expected: bool
) -> None:
    assert holds(text, answer) is expected


def test_the_first_answer_counts_and_queries_without_answers_do_not() -> None:
    texts = {number: f"passage number {number} here" for number in range(200)}
    texts[57] = texts[83] = "the answer is Reykjav\u00edk."
    queries = [Query("a", "?", ("Oslo", "Reykjav\u00edk")), Query("b", "?", ("number 150",)), Query("c", "?")]
    ids = np.stack([np.arange(120), np.arange(120), np.arange(120)])
    ids[1, 5:] = -1

    def fetch(wanted: np.ndarray) -> dict[int, str]:
        return {number: texts[number] for number in wanted.tolist()}

    ranks = first_answers(queries, ids, fetch)
    assert ranks[0] == 58
    assert np.isinf(ranks[1])
    assert np.isnan(ranks[2])
    assert recall_at(ranks, 57)[0] == 0
    assert recall_at(ranks, 58)[0] == 1
    assert np.nanmean(recall_at(ranks, 100)) == 0.5


def test_trec_eval_reads_our_runs_as_we_measured_them(tmp_path: Path) -> None:
    """Ties, scores that 32 bits cannot tell apart, hostile ids: trec_eval must see the same order."""
    source = random.Random(3)
    queries = [Query(f"q {number}", "?") for number in range(40)]
    run, qrels = {}, {}
    for query in queries:
        names = [f"doc {source.randrange(10**6)}\u00a0x{place}" for place in range(100)]
        steps = [source.choice([0.0, 0.0, 1e-12, 1e-3]) for _ in names]
        scores = (0.5 - np.cumsum(steps)).tolist()
        run[query.query_id] = dict(zip(names, strictly_decreasing(scores), strict=True))
        judged = source.sample(names, 12)
        qrels[query.query_id] = {name: source.randrange(3) for name in judged} | {"elsewhere": 1}
    del run["q 7"]  # a query without results counts 0
    ours = document_measures(queries, qrels, run)
    write_run(tmp_path / "run.txt", run, "hybrid")
    write_qrels(tmp_path / "qrels.txt", qrels)
    with open(tmp_path / "run.txt") as file, open(tmp_path / "qrels.txt") as judgements:
        read, judged = pytrec_eval.parse_run(file), pytrec_eval.parse_qrel(judgements)
    evaluator = pytrec_eval.RelevanceEvaluator(judged, {"ndcg_cut.10", "recall.20,100"})
    theirs = evaluator.evaluate(read)
    assert len(theirs) == 39
    for ours_name, name in (("nDCG@10", "ndcg_cut_10"), ("R@20", "recall_20"), ("R@100", "recall_100")):
        total = sum(values[name] for values in theirs.values()) / 40
        assert ours[ours_name].mean() == pytest.approx(total, abs=1e-6)
    measured = ir_measures.calc_aggregate(
        [ir_measures.parse_measure("RR@10")],
        list(ir_measures.read_trec_qrels(str(tmp_path / "qrels.txt"))),
        list(ir_measures.read_trec_run(str(tmp_path / "run.txt"))),
    )
    assert ours["RR@10"].mean() == pytest.approx(next(iter(measured.values())))
    for query_id, documents in run.items():
        written = read[query_id.replace(" ", "%20")]
        as_trec_eval = sorted(written.items(), key=lambda item: (np.float32(item[1]), item[0]), reverse=True)
        order = [name.replace("%20", " ").replace("%C2%A0", "\u00a0") for name, _ in as_trec_eval]
        assert order == list(documents)


def test_scores_change_as_little_as_they_can() -> None:
    found = strictly_decreasing([3.0, 2.0, 2.0, 2.0, 0.0, 0.0, -1.5])
    assert found == pytest.approx([3, 2, 2, 2, 0, 0, -1.5], rel=1e-6)
    assert all(np.float32(a) > np.float32(b) for a, b in itertools.pairwise(found))


def test_the_randomisation_test_agrees_with_all_sign_flips() -> None:
    differences = np.array([0.3, -0.1, 0.2, 0.25, 0.0, 0.15, -0.05, 0.4, 0.1])
    nonzero = differences[differences != 0]
    sums = [abs(np.dot(signs, nonzero)) for signs in itertools.product((-1, 1), repeat=len(nonzero))]
    exact = np.mean(np.array(sums) >= abs(nonzero.sum()) - 1e-9)
    assert randomisation_test(differences) == pytest.approx(exact, abs=0.01)
    assert randomisation_test(-differences) == pytest.approx(exact, abs=0.01)
    assert randomisation_test(np.zeros(50)) == 1.0
    assert randomisation_test(np.full(60, 0.01)) < 0.001
    assert randomisation_test(differences) == randomisation_test(differences)


def test_chance_alone_is_rarely_significant() -> None:
    source = np.random.default_rng(1)
    p_values = [randomisation_test(source.standard_normal(80), rounds=500) for _ in range(200)]
    assert 0.01 <= np.mean(np.array(p_values) < 0.05) <= 0.1


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.9]) == pytest.approx([1.0, 1.0])


def test_beir_folders_are_read_and_the_split_is_test(tmp_path: Path) -> None:
    queries = [{"_id": "1", "text": "one"}, {"_id": "2", "text": "two", "answers": ["x", "x", "y"]}]
    folder = beir(tmp_path / "set", "2\td1\t1\n2\td2\t0\n9\td1\t2\n", *queries)
    found = read_beir(folder)
    assert (found.name, found.split) == ("set", "test")
    assert [(query.query_id, query.answers) for query in found.queries] == [("2", ("x", "y"))]
    assert found.qrels == {"2": {"d1": 1, "d2": 0}}
    assert found.warnings == ["1 judged queries are left out because queries.jsonl lacks them: 9"]


def test_questions_with_answers_need_no_qrels(tmp_path: Path) -> None:
    file = tmp_path / "nq.jsonl"
    lines = [{"question": f"q{number}", "answers": [str(number)]} for number in range(50)]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    dataset = read_questions(file)
    assert dataset.has_answers
    assert dataset.queries[3].text == "q3"
    drawn = dataset.sample(10)
    assert drawn.queries == dataset.sample(10).queries
    places = [int(query.text[1:]) for query in drawn.queries]
    assert places == sorted(places)
    assert places != list(range(10))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('{"_id": "1", "text": "a"}\n{"_id": "1", "text": "b"}\n', "line 2: the query id '1' occurs twice"),
        ('{"_id": "1"\n', "line 1: not JSON"),
        ('{"_id": "1", "txt": "a"}\n', "line 1: no text; looked for text, question, query"),
        ('{"_id": "1", "text": "a", "answers": 3}\n', "line 1: `answers` is neither"),
        ('{"_id": "1", "text": "a"}\n', "no question has `answers`"),
        ("\n", "holds no query"),
    ],
)
def test_bad_queries_name_their_line(tmp_path: Path, lines: str, message: str) -> None:
    file = tmp_path / "queries.jsonl"
    file.write_text(lines, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read_questions(file)


def test_missing_folders_and_splits_say_what_is_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="queries.jsonl is missing"):
        read_beir(tmp_path)
    folder = beir(tmp_path / "set", "1\td\t1\n", {"_id": "1", "text": "a"}, split="dev")
    with pytest.raises(ConfigError, match="Splits that are there: dev"):
        read_beir(folder)
    with pytest.raises(InputError, match="holds none of the 1 queries"):
        read_beir(beir(tmp_path / "other", "5\td\t1\n", {"_id": "1", "text": "a"}))
    with pytest.raises(InputError, match="line 3: not query id, document id and a whole number"):
        read_beir(beir(tmp_path / "bad", "1\td\t1\n1\td2\n", {"_id": "1", "text": "a"}))


def test_no_two_ids_are_one_word(tmp_path: Path) -> None:
    run = {"q": {"a b": 2.0, "a%20b": 1.0, "%": 0.5, "": 0.25}}
    write_run(tmp_path / "run.txt", run, "ours")
    words = [line.split()[2] for line in (tmp_path / "run.txt").read_text().splitlines()]
    assert words == ["a%20b", "a%2520b", "%25", "%"]


@pytest.mark.parametrize("line", ["[" * 100_000, '{"_id": ' + "[" * 50_000, '{"text": 3'])
def test_hostile_queries_are_told_by_their_line(tmp_path: Path, line: str) -> None:
    (tmp_path / "questions.jsonl").write_text('{"question": "a", "answers": ["b"]}\n' + line)
    with pytest.raises(InputError, match="line 2"):
        read_questions(tmp_path / "questions.jsonl")


def test_a_grade_that_no_measure_takes_is_told_by_its_line(tmp_path: Path) -> None:
    (tmp_path / "qrels").mkdir()
    (tmp_path / "queries.jsonl").write_text('{"_id": "q", "text": "a"}\n')
    (tmp_path / "qrels" / "test.tsv").write_text(f"query\tdoc\tgrade\nq\td\t1\nq\te\t{10**26}\n")
    with pytest.raises(InputError, match="line 3"):
        read_beir(tmp_path)
