"""The command `ask`: an answer with its citations on the terminal."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from jobs.cli import app

QUESTION = "When was the lighthouse of Brell built?"


def test_an_answer_is_printed_with_what_it_rests_on(served_index: Path) -> None:
    result = CliRunner().invoke(app, ["ask", str(served_index), QUESTION])
    assert result.exit_code == 0, result.output
    assert "1843" in result.stdout and "[1] Brell lighthouse" in result.stdout
    assert "f1, characters" in result.stdout and "written by extractive" in result.stdout


def test_json_is_one_object(served_index: Path) -> None:
    result = CliRunner().invoke(app, ["ask", str(served_index), QUESTION, "--json", "-k", "2"])
    found = json.loads(result.stdout)
    assert found["supported"] and found["extractive"] and found["citations"][0]["doc_id"] == "f1"
    assert found["coverage"]["full"] and found["version"] == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--model", "some/model"], "--model is of a generator"),
        (["--base-url", "http://127.0.0.1:1/v1"], "--base-url is of a generator"),
        (["--generator", "vllm", "--model", "m"], "inside the service"),
        (["--generator", "openai"], "base_url"),
        (["--generator", "oracle"], "kind"),
        (["--filter", "yaer = 3"], "year"),
        (["--date", "year"], "is of type integer"),
        (["--expand", "9"], "less than or equal to 8"),
    ],
)
def test_what_cannot_be_asked_is_told(served_index: Path, words: list[str], told: str) -> None:
    result = CliRunner().invoke(app, ["ask", str(served_index), QUESTION, *words])
    assert result.exit_code == 2, result.output
    assert told in result.output


def test_the_searches_of_an_answer_are_told(served_index: Path) -> None:
    result = CliRunner().invoke(app, ["ask", str(served_index), QUESTION, "--hops", "2"])
    assert result.exit_code == 0, result.output
    assert f"search 1, question: {QUESTION}" in result.stdout and "search 2, hop: " in result.stdout


def test_the_shares_of_the_passages_are_told(served_index: Path) -> None:
    words = ["--generator", "local", "--decode", "token", "-k", "2"]
    result = CliRunner().invoke(app, ["ask", str(served_index), QUESTION, *words])
    assert result.exit_code == 0, result.output
    assert "shares of the passages, by token: [1] " in result.stdout
