"""Results, their JSON and what a client reads of it: one declaration."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from retrieval.results.answer import Answer
from retrieval.results.examples import ANSWER, RERANKED, RESULT
from retrieval.results.record import Record
from retrieval.results.search_result import Explanation, Result, SignalShare, TermShare, TokenShare

WHY = Explanation(
    "s-1", 3, 0.7, None, [TermShare("tide", 2.5, 1, 1.25)], [TokenShare("tide", "tides", 4, 9, 0.9)],
    {"dense": SignalShare(0.7, 0.9, 0.5, 0.45), "lexical": SignalShare(None, 0.0, 0.5, 0.0)},
)  # fmt: skip
EXPLAINED = replace(RESULT, hits=(replace(RESULT.hits[0], explanation=WHY),), matching=41)


@pytest.mark.parametrize("record", [RESULT, EXPLAINED, ANSWER, RERANKED])
def test_what_is_printed_is_read_back_as_it_was(record: Record) -> None:
    printed = json.dumps(record.as_json())
    assert type(record).from_json(json.loads(printed)) == record
    assert type(record).from_json({**json.loads(printed), "of_a_later_version": 1}) == record


def test_fields_have_the_order_that_programs_read_and_none_is_left_out() -> None:
    found = EXPLAINED.as_json()
    assert list(found) == ["query", "version", "truncated", "coverage", "timings_ms", "hits", "matching"]
    [hit] = found["hits"]
    assert list(hit) == [
        "rank", "score", "passage_id", "doc_id", "title", "text", "start", "end", "source", "metadata",
        "stages", "explanation",
    ]  # fmt: skip
    assert list(hit["explanation"]) == [
        "shard", "version", "dense_exact", "dense_quantized", "terms", "tokens", "signals",
    ]  # fmt: skip
    assert hit["explanation"]["dense_quantized"] is None
    assert list(found["coverage"]) == ["passages", "searched", "full", "missing"]
    plain = RESULT.as_json()
    assert "matching" not in plain and "explanation" not in plain["hits"][0]


@pytest.mark.parametrize("wrong", [{"hits": None}, {"version": "three"}, {"coverage": {"passages": 1}}])
def test_what_is_no_result_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        Result.from_json({**RESULT.as_json(), **wrong})
    with pytest.raises(ValueError, match="validation error"):
        Answer.from_json(RESULT.as_json())


def test_a_client_loads_no_library_of_models_or_clusters() -> None:
    """Neither when it is imported nor when it reads an answer."""
    code = (
        "import sys, retrieval.client\n"
        "from retrieval.results import ANSWER, Answer\n"
        "Answer.from_json(ANSWER.as_json())\n"
        "print([name for name in ('torch', 'ray', 'faiss', 'transformers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "[]", done.stderr
