"""Measures of answers against values by hand, and against plain references."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.evaluation.answers.abstention import area, bootstrap, risk_at, risks
from jobs.evaluation.answers.questions import Nugget, Question, read_answer_questions
from jobs.evaluation.answers.scoring import exact_match, f1, normalized, plain, scores
from retrieval.errors import InputError
from retrieval.generation.prompt import NOT_IN_PASSAGES
from retrieval.results import Answer, Citation, Coverage
from tests.tools.samples.generation_tools import HITS


@pytest.mark.parametrize(
    ("said", "answers", "em", "score"),
    [
        ("The Moon.", ["moon"], 1, 1),
        ("It is the moon", ["moon"], 0, 0.5),  # "it is moon" and "moon": 2 * 1 / (3 + 1)
        ("New York City", ["York", "new york"], 0, 0.8),
        ("blue", ["red"], 0, 0),
        ("", ["red"], 0, 0),
        ("the", ["The."], 1, 1),
        ("a b b", ["b b c"], 0, 0.8),  # "a" is an article: 2 * 2 / (2 + 3)
    ],
)
def test_exact_match_and_f1(said: str, answers: list[str], em: float, score: float) -> None:
    assert exact_match(said, answers) == em
    assert f1(said, answers) == pytest.approx(score)


def test_text_is_normalised_as_squad_does() -> None:
    assert normalized("  The  U.S.A., an  example - of It! ") == "usa example of it"
    assert plain("In Cremona [1], as said [2, 3].") == "In Cremona, as said."


def answer(text: str, *cited: str) -> Answer:
    citations = tuple(Citation(n, f"{doc}#0", doc, "", "q", 0, 1) for n, doc in enumerate(cited, 1))
    return Answer(
        "?", text, True, 0.9, "g", False, citations, 0, 0, 3, 1, Coverage.of(1, 1), {},
    )  # fmt: skip


def test_an_answer_is_scored_by_what_is_known_of_its_question() -> None:
    first, second = HITS[0].doc_id, HITS[1].doc_id
    nuggets = (Nugget(text="October 1973"), Nugget(text="OAPEC", importance="okay", aliases=("the cartel",)))
    asked = Question(
        id="1", question="?", answers=("October 1973",), documents=(first, "gone"), nuggets=nuggets
    )
    found = scores(asked, answer("It began in October 1973 [1].", first, second), HITS)
    assert found == {
        "holds": 1, "exact_match": 0, "f1": pytest.approx(4 / 7), "answer_recall": 1, "supporting": 0.5,
        "supporting_all": 0, "citation_precision": 0.5, "citation_recall": 1, "nuggets": 0.5,
        "nuggets_vital": 1,
    }  # fmt: skip
    some = Question(id="1", question="?", documents=(f"{first}*", "x*"))
    assert scores(some, answer("?", first), HITS)["supporting"] == 0.5
    bare = scores(Question(id="1", question="?"), answer("Something."), HITS)
    assert bare == {"holds": 0}
    uncited = scores(asked, answer(NOT_IN_PASSAGES), HITS[1:])
    assert "citation_precision" not in uncited and uncited["citation_recall"] == 0
    assert uncited["answer_recall"] == 0 and uncited["supporting"] == 0


def brute_risks(confidence: list[float], wrong: list[int]) -> list[float]:
    """Every i: the expected share of wrong answers among the i most trusted, ties broken at random."""
    found = []
    for i in range(1, len(wrong) + 1):
        cut = sorted(confidence, reverse=True)[i - 1]
        above = [w for c, w in zip(confidence, wrong, strict=True) if c > cut]
        tied = [w for c, w in zip(confidence, wrong, strict=True) if c == cut]
        found.append((sum(above) + (i - len(above)) * sum(tied) / len(tied)) / i)
    return found


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([0.1, 0.2, 0.5, 0.9]), st.integers(0, 1)), min_size=1, max_size=20))
def test_risk_by_coverage_is_what_is_defined(pairs: list[tuple[float, int]]) -> None:
    confidence, wrong = map(list, zip(*pairs, strict=True))
    expected = brute_risks(confidence, wrong)
    arrays = (np.array(confidence), np.array(wrong))
    assert risks(*arrays).tolist() == pytest.approx(expected)
    assert area(*arrays) == pytest.approx(sum(expected) / len(expected))
    assert risk_at(*arrays, 1.0) == pytest.approx(sum(wrong) / len(wrong))
    order = np.random.default_rng(0).permutation(len(wrong))
    assert risks(arrays[0][order], arrays[1][order]) == pytest.approx(risks(*arrays))


def test_a_difference_of_trust_is_told_from_chance() -> None:
    random = np.random.default_rng(1)
    wrong = (random.random(300) < 0.4).astype(float)
    knows, blind = 1 - wrong + 0.3 * random.random(300), random.random(300)
    difference, p = bootstrap(area, (blind, wrong), (knows, wrong), rounds=300)
    assert difference < -0.1 and p < 0.02
    same, p = bootstrap(area, (blind, wrong), (blind, wrong), rounds=100)
    assert same == 0 and p == 1


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_questions_are_read_as_they_come(tmp_path: Path) -> None:
    lines = (
        '{"question": "a?", "answers": ["x"], "documents": ["d"]}\n\n'
        '{"_id": 7, "text": "b?", "answer": "y"}\n{"id": "u", "question": "c?", "answers": []}'
    )
    found = read_answer_questions(write(tmp_path / "q.jsonl", lines)).questions
    assert [(one.id, one.question, one.answers) for one in found] == [
        ("1", "a?", ("x",)), ("7", "b?", ("y",)), ("u", "c?", ()),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("", "holds no question"),
        ("{}", "q.jsonl:1: question"),
        ('{"question": "a?"}\n{"question": ""}', "q.jsonl:2: question"),
        ('{"question": "a?", "answers": [3]}', "q.jsonl:1: answers"),
        (
            '{"question": "a?", "id": "x"}\n{"question": "b?", "id": "x"}',
            ":2: the id 'x' is there twice",
        ),
        ("no json", "q.jsonl:1: it is no JSON"),
        ("[" * 100_000, "q.jsonl:1: it is no JSON"),
        ('"text"', "q.jsonl:1: the line"),
        (b"\xff\xfe{", "q.jsonl:1: it is no JSON"),
        ('{"question": "' + "x" * 1_100_000, "longer than"),
        ('{"question": "a?", "nuggets": [{"text": "x", "importance": "great"}]}', "nuggets.0.importance"),
    ],
)
def test_wrong_lines_are_named(tmp_path: Path, lines: str | bytes, told: str) -> None:
    with pytest.raises(InputError, match="(?s).*" + told.replace(".", r"\.")):
        read_answer_questions(write(tmp_path / "q.jsonl", lines))
    with pytest.raises(InputError, match="cannot be read"):
        read_answer_questions(tmp_path / "none.jsonl")
