"""The command line as a person and a program meet it: JSON, exit codes, and what errors say."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import make_documents, write_jsonl


def corpusmill(*words: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own; its exit code must be `code`."""
    result = subprocess.run(
        [sys.executable, "-m", "jobs", *map(str, words)], capture_output=True, text=True, timeout=240,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}, check=False,
    )  # fmt: skip
    assert result.returncode == code, result.stderr
    assert "Traceback" not in result.stderr
    return result


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index built by the command line alone, from a configuration file with relative paths."""
    root = tmp_path_factory.mktemp("cli")
    hostile = {
        "_id": "esc",
        "title": "An \x1b[31mescape",
        "text": "Red \x1b[2Jtext [bold]about[/bold] a kettle.",
    }
    write_jsonl(root / "corpus" / "c.jsonl", [*make_documents(30), hostile])
    (root / "build.yaml").write_text(
        "corpus: {paths: corpus}\nindex: {path: index}\ndense: {tune_queries: 10}\n", encoding="utf-8"
    )
    result = corpusmill("build", root / "build.yaml")
    assert "Version 1" in result.stdout
    assert "Metadata fields taken from a sample: year: integer" in result.stderr
    assert "embed: " in result.stderr
    assert "rows/s" in result.stderr
    return root / "index"


def values(*words: object) -> Any:
    return json.loads(corpusmill(*words, "--json").stdout)


def test_search_prints_the_promised_object(index: Path) -> None:
    found = values("search", index, "a kettle in red", "--k", 3)
    assert set(found) == {"query", "version", "hits", "truncated", "coverage", "timings_ms"}
    assert (found["query"], found["version"], len(found["hits"])) == ("a kettle in red", 1, 3)
    hit = found["hits"][0]
    assert set(hit) >= {"rank", "score", "passage_id", "doc_id", "title", "text", "start", "end"}
    assert (hit["rank"], hit["doc_id"], hit["passage_id"]) == (1, "esc", "esc#0")
    assert hit["text"] == "Red \x1b[2Jtext [bold]about[/bold] a kettle."


def test_corpus_text_cannot_steer_a_terminal(index: Path) -> None:
    shown = corpusmill("search", index, "a kettle in red", "-k", 1).stdout
    assert "\x1b" not in shown
    assert "[bold]about[/bold]" in shown


def test_status_by_index_and_by_configuration(index: Path) -> None:
    found = values("status", index)
    assert found["stage"] == "done"
    assert found["version"] == 1
    assert (found["documents"], found["rejected"], found["truncated"]) == (31, 0, 0)
    assert found["passages"] > 31
    assert found["parts"]["total"] == found["parts"]["done"] > 0
    assert found["parts"]["failed"] == 0
    assert values("status", index.parent / "build.yaml")["version"] == 1


def test_verify_names_a_damaged_file_and_prune_removes_only_what_is_unnamed(index: Path) -> None:
    assert values("verify", index)["intact"] is True
    name = "vectors/0123456789abcdef/0123456789abcdef01234567-01234567.npy"
    stray, notes = index / name, index / "vectors" / "0123456789abcdef" / "notes.txt"
    stray.parent.mkdir()
    stray.write_bytes(b"x" * 100)
    notes.write_text("not a name that a build writes")
    told = values("prune", index, "--dry-run")
    assert told["files"] == [name]
    assert stray.exists()
    assert values("prune", index)["bytes"] == 100
    assert not stray.exists()
    assert notes.exists()
    assert values("verify", index)["intact"] is True
    victim = next((index / "passages").rglob("*.arrow"))
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    victim.write_bytes(bytes(data))
    damaged = corpusmill("verify", index, code=1).stdout
    assert victim.name in damaged
    data[len(data) // 2] ^= 1
    victim.write_bytes(bytes(data))


def test_a_truncated_file_is_refused_on_opening(index: Path) -> None:
    victim = next((index / "vectors").rglob("*.npy"))
    data = victim.read_bytes()
    victim.write_bytes(data[:-7])
    error = corpusmill("search", index, "anything", code=1).stderr
    assert victim.name in error
    assert "corpusmill verify" in error
    victim.write_bytes(data)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["build", "absent.yaml"], 2, "there is no configuration file absent.yaml"),
        (["build"], 2, "nothing says what to build"),
        (["build", "--corpus", "absent", "--index", "x"], 1, "absent does not exist"),
        (["search", "absent", "query"], 2, "there is no index absent"),
        (["status", "."], 1, "holds neither an index nor a build"),
        (["verify", "."], 1, "holds no committed index"),
        (["frobnicate"], 2, "No such command"),
    ],
)
def test_errors_say_what_to_do(tmp_path: Path, words: list[str], code: int, message: str) -> None:
    words = [str(tmp_path) if word == "." else word for word in words]
    result = corpusmill(*words, code=code)
    assert message in result.stderr
    if words[0] == "build":  # a configuration is mended first, so there is nothing to go on with yet
        assert ("To go on: corpusmill build" in result.stderr) == (code != 2)


def test_bad_queries_and_k_are_refused(index: Path) -> None:
    assert "the query is empty" in corpusmill("search", index, "  ", code=2).stderr
    assert "k is 0" in corpusmill("search", index, "x", "--k", 0, code=2).stderr


def test_a_wrong_key_names_the_file_and_the_nearest_key(tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text("corpus: {paths: x}\nindex: {path: y}\nembeding: {}\n", encoding="utf-8")
    error = corpusmill("build", config, code=2).stderr
    assert f"{config}: unknown key embeding" in error
    config.write_text("corpus: {paths: x, max_reject_share: 3}\nindex: {path: y}\n", encoding="utf-8")
    assert "corpus.max_reject_share" in corpusmill("build", config, code=2).stderr


def test_help_has_examples() -> None:
    for command in ("build", "search", "status", "verify", "prune", "submit", "doctor"):
        assert "Example: corpusmill" in corpusmill(command, "--help").stdout
