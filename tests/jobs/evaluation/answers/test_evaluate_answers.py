"""`corpusmill evaluate --answers`: a small index, its packaged judge, and runs that go on."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobs.evaluation.answers import Measured, Price, Writer, evaluate_answers
from jobs.evaluation.answers.running import read_run
from retrieval.errors import ConfigError, InputError
from retrieval.search import Searcher
from tests.conftest import write_jsonl
from tests.tools.samples.film_samples import ARTICLES
from tests.tools.samples.generation_tools import reply, server

QUESTIONS = [
    {"id": "cannes", "question": "What have the Dardenne brothers won at Cannes?", "answers": ["Golden Palm"],
     "documents": ["dardenne"]},
    {"id": "born", "question": "Where was Chloe Zhao born?", "answers": ["Beijing"], "documents": ["zhao"]},
    {"id": "unknown", "question": "What is the boiling point of tungsten?", "answers": []},
]  # fmt: skip


@pytest.fixture(scope="module")
def searcher(build: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    root = tmp_path_factory.mktemp("answers")
    articles = [{"_id": name, "title": title, "text": text} for name, (title, text) in ARTICLES.items()]
    build(write_jsonl(root / "c.jsonl", articles), root / "index", model={"name": "all-MiniLM-L6-v2"})
    with Searcher.open(str(root / "index")) as opened:
        yield opened


def evaluated(
    searcher: Any, file: Path, runs: Path | None = None, *, k: int = 3, hops: int | None = None,
    decodes: tuple[str, ...] = (), measured: Measured = Measured(Price(), None, None), **more: Any,
) -> tuple[dict[str, Any], list[str]]:  # fmt: skip
    writer = Writer(None, None, None, None, decodes, hops, k)
    asked = measured.of(file, writer, more.get("sample"), runs, more.get("plot"), "test")
    return evaluate_answers(searcher, asked)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_jsonl(tmp_path / "questions.jsonl", QUESTIONS)


def test_figures_of_answers_and_their_picture(searcher: Any, file: Path, tmp_path: Path) -> None:
    priced = Measured(Price(hour=3.6), None, None)
    values, lines = evaluated(searcher, file, tmp_path / "runs", measured=priced, plot=tmp_path / "p.png")
    run = values["runs"]["prompt"]
    means = {name: one["mean"] for name, one in run["measures"].items()}
    assert means["holds"] == pytest.approx(2 / 3) and means["answer_recall"] == 1
    assert means["supporting_all"] == 1 and means["citation_recall"] == 1
    assert run["refused_unanswerable"] == 1 and run["answered_answerable"] == 1
    assert run["risk_at_70"] == pytest.approx(1 / 3) and run["aurc"] == pytest.approx(1 / 9)
    assert run["dollars_per_1000"] == pytest.approx(run["seconds"]["total"] / 3, rel=1e-6)
    assert values["differences"] == [] and "holds" in "\n".join(lines)
    assert (tmp_path / "p.png").stat().st_size > 10_000
    outcomes = read_run(tmp_path / "runs" / "prompt.jsonl")
    assert [*outcomes] == ["cannes", "born", "unknown"]
    assert "Golden Palm" in outcomes["cannes"].answer.answer  # type: ignore[union-attr]


def test_a_run_goes_on_where_it_was_interrupted(searcher: Any, file: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    whole, _ = evaluated(searcher, file, runs)
    path = runs / "prompt.jsonl"
    lines = path.read_text().splitlines()
    kept = json.loads(lines[1])
    kept["seconds"] = 123.0  # so that it is seen whether it is asked again
    path.write_text("\n".join([lines[0], json.dumps(kept), lines[2][:40]]))
    again, _ = evaluated(searcher, file, runs)
    assert again["runs"]["prompt"]["seconds"]["total"] > 123
    assert again["runs"]["prompt"]["measures"] == whole["runs"]["prompt"]["measures"]
    assert len(path.read_text().splitlines()) == 4
    with pytest.raises(InputError, match="other questions, settings"):
        evaluated(searcher, file, runs, k=2)
    path.write_text(lines[0] + "\nnonsense\n" + lines[1] + "\n")
    with pytest.raises(InputError, match=r"prompt\.jsonl:2"):
        evaluated(searcher, file, runs)
    path.write_text("[]\n")
    with pytest.raises(InputError, match="no run of answers"):
        evaluated(searcher, file, runs)


def test_a_run_of_before_is_compared_with(searcher: Any, file: Path, tmp_path: Path) -> None:
    evaluated(searcher, file, tmp_path / "one", k=1)
    before = Measured(Price(), None, None, tmp_path / "one" / "prompt.jsonl")
    values, lines = evaluated(searcher, file, measured=before)
    assert [*values["runs"]] == ["one/prompt", "prompt"]
    assert {one["against"] for one in values["differences"]} == {"one/prompt"}
    assert all(one["p"] > 0.05 for one in values["differences"]) and "one/prompt" in lines[2]
    other = write_jsonl(tmp_path / "other.jsonl", [{"id": "new", "question": "Who?"}])
    with pytest.raises(InputError, match="no answer to 1 of the questions, such as 'new'"):
        evaluated(searcher, other, measured=before)


def test_further_hops_show_in_what_supports(searcher: Any, tmp_path: Path) -> None:
    asked = [{
        "question": "Who directed the later film with the actress who won an Academy Award for The Constant "
        "Gardener?", "answers": ["Yorgos Lanthimos"], "documents": ["weisz", "favourite"],
    }]  # fmt: skip
    file = write_jsonl(tmp_path / "q.jsonl", asked)
    once = evaluated(searcher, file, k=1)[0]["runs"]["prompt"]["measures"]["supporting"]["mean"]
    twice = evaluated(searcher, file, k=3, hops=2)[0]["runs"]["prompt"]["measures"]["supporting"]["mean"]
    assert once == 0.5 and twice == 1


def test_what_cannot_be_asked_is_told_first(searcher: Any, file: Path) -> None:
    with pytest.raises(ConfigError, match="token cannot be done by the generator none"):
        evaluated(searcher, file, decodes=("token",))
    with pytest.raises(ConfigError, match="judge"):
        evaluated(searcher, file, measured=Measured(Price(), "http://127.0.0.1:1/v1", None))


def test_a_judge_is_asked_and_its_failures_are_counted(searcher: Any, file: Path) -> None:
    said = iter(["yes", "maybe"])

    def handle(request: Any) -> None:
        event = {"choices": [{"delta": {"content": next(said)}, "finish_reason": "stop"}]}
        reply(200, f"data: {json.dumps(event)}\n\ndata: [DONE]\n\n")(request)

    with server(handle) as url:
        values, lines = evaluated(searcher, file, measured=Measured(Price(), url, "judge"))
    assert values["runs"]["prompt"]["judge"] == {"right": 1.0, "judged": 1}  # of two with right answers
    assert "judged right" in "\n".join(lines)
