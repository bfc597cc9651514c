"""What a client is told of an error, by kind, and when a service calls itself ready: without a service."""

import ast
import asyncio
import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import jobs
import pipelines
import retrieval
from retrieval.errors import (
    ConfigError,
    CorpusmillError,
    DeadlineExceeded,
    GenerationError,
    IndexDamaged,
    ModelError,
    StorageError,
)
from retrieval.serve import errors
from retrieval.serve.errors import (
    BadRequest,
    Overloaded,
    Unavailable,
    checking,
    error_body,
    public,
    public_name,
    status_of,
)
from retrieval.serve.http.guard import error_response
from retrieval.serve.runtime import health
from retrieval.serve.runtime.health import Health

SECRET = "/srv/index/dense/x.bin s3://bucket/x http://10.0.0.7:8000/v1 Traceback (most recent call last)"


def kinds(base: type[CorpusmillError] = CorpusmillError) -> Iterator[type[CorpusmillError]]:
    """A kind of error and all that are made from it."""
    yield base
    for kind in base.__subclasses__():
        yield from kinds(kind)


def all_kinds() -> set[type[CorpusmillError]]:
    """Every error of the three packages."""
    for package in (retrieval, pipelines, jobs):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    return {kind for kind in kinds() if kind.__module__.startswith(("retrieval", "pipelines", "jobs"))}


def test_no_kind_of_error_tells_a_client_of_the_server(caplog: pytest.LogCaptureFixture) -> None:
    found = all_kinds()
    assert len(found) > 18
    for kind in (kind for kind in found if not issubclass(kind, errors.OWN)):
        caplog.clear()
        error = kind(SECRET, hint=f"hint {SECRET}")
        for body in (error_body(error, "id-1"), error_response(None, error, "id-1").body):
            assert not re.search(r"srv|s3:|10\.0|Traceback", str(body)), kind
        assert public(error) and public(error) == error_body(error, "id-1")["message"]
        assert SECRET in caplog.text and "id-1" in caplog.text and kind.__name__ in caplog.text
        full = error_body(error, "id-1", full=True)
        assert full["message"] == SECRET and full["hint"] == f"hint {SECRET}"
        assert 400 <= status_of(error) < 600


def test_errors_of_the_request_say_what_is_wrong_with_it() -> None:
    with pytest.raises(BadRequest, match="k is 0") as caught, checking():
        raise ConfigError("k is 0", hint="ask for more")
    body = error_body(caught.value, "id-1")
    assert (body["message"], body["hint"]) == ("k is 0", "ask for more") and status_of(caught.value) == 422
    with pytest.raises(IndexDamaged), checking():
        raise IndexDamaged("not of the request")


def test_what_may_be_told_is_raised_by_the_service_alone() -> None:
    """Its messages are of the request, limits and counts: no place and no other error is put into them."""
    names, raised = {kind.__name__ for kind in errors.OWN}, 0
    for path in sorted(Path(retrieval.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names):
                continue
            assert "serve" in path.parent.parts, path
            raised += 1
            used = {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}
            used |= {
                one.attr
                for one in ast.walk(node)
                if isinstance(one, ast.Attribute) and ast.unparse(one.value) != "head"  # of the request
            }
            checked = path.name == "errors.py"  # `checking`, of errors of a request
            assert checked or not used & {"error", "path", "url", "store", "folder", "key"}, ast.dump(node)
    assert raised > 15


def test_a_line_of_the_log_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    error_body(IndexDamaged("a\n2026-01-01 forged \x1b[2J"), "id-1")
    assert len(caplog.messages) == 1 and "\n" not in caplog.messages[0] and "\x1b" not in caplog.messages[0]


def test_a_model_is_named_without_its_folder() -> None:
    for given, shown in (
        ("/srv/models/mine", "mine"), ("./mine", "mine"), ("~/models/mine", "mine"), ("../a/mine/", "mine"),
        ("org/mine", "org/mine"), ("all-MiniLM-L6-v2", "all-MiniLM-L6-v2"),
    ):  # fmt: skip
        assert public_name(given) == shown


class Probed:
    """Health over a probe that fails as it is told, with time that runs fast."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(health, "PROBE_S", 0.01)
        monkeypatch.setattr(health, "RECENT_S", 0.1)
        monkeypatch.setattr(health, "WINDOW_S", 0.5)
        self.error: Exception | None = None
        self.probes = 0
        self.health = Health(self.probe)

    async def probe(self) -> None:
        self.probes += 1
        if self.error is not None:
            raise self.error

    def play(self, *steps: object) -> list[str]:
        """Kinds of the problem after each step.

        A step is a search that ends in an error, or None for one that succeeds; seconds to wait; a call.
        """

        async def work() -> list[str]:
            watching, seen = asyncio.create_task(self.health.watch()), []
            for step in steps:
                if isinstance(step, float):
                    await asyncio.sleep(step)
                elif isinstance(step, Exception):
                    self.health.bad(step)
                elif step is None:
                    self.health.good()
                elif callable(step):
                    step()
                seen.append(type(self.health.problem).__name__)
            watching.cancel()
            return seen

        return asyncio.run(work())


DAMAGE = IndexDamaged("/srv/x is damaged")


@pytest.fixture
def probed(monkeypatch: pytest.MonkeyPatch) -> Probed:
    return Probed(monkeypatch)


@pytest.mark.parametrize(
    "error",
    [DAMAGE, StorageError("x"), ModelError("x"), Unavailable("x"), ValueError("x"), CorpusmillError("x")],
)
def test_it_is_not_ready_while_searches_and_the_probe_fail(probed: Probed, error: Exception) -> None:
    def repair() -> None:
        probed.error = None

    def damage() -> None:
        probed.error = error

    found = probed.play(damage, error, 0.2, repair, 0.7, damage, error, 0.2, None)
    assert [kind != "NoneType" for kind in found] == [
        False, False, True, True, False, False, False, True, False,
    ]  # fmt: skip


def test_one_search_that_fails_among_others_changes_nothing(probed: Probed) -> None:
    assert set(probed.play(None, DAMAGE, 0.05, None, DAMAGE, 0.05, DAMAGE, 0.3)) == {"NoneType"}
    probed.error = DAMAGE  # of the probe, but others succeed
    assert set(probed.play(None, DAMAGE, 0.05, None, DAMAGE, 0.05, None, 0.3)) == {"NoneType"}


def test_what_is_asked_for_may_fail_although_the_probe_does_not(probed: Probed) -> None:
    assert probed.play(*[DAMAGE] * health.MANY, 0.1)[-1] == "IndexDamaged"
    assert probed.play(None)[-1] == "NoneType"
    assert probed.play(*[DAMAGE] * health.MANY, 0.1, 0.7)[-1] == "NoneType", "the window is over"


def test_errors_of_requests_and_of_load_are_no_damage(probed: Probed) -> None:
    probed.error = Overloaded("x")
    asked = [BadRequest("x"), ConfigError("x"), Overloaded("x"), GenerationError("x")] * 20
    assert set(probed.play(*asked, 0.1)) == {"NoneType"} and not probed.probes
    assert set(probed.play(DAMAGE, 0.2)) == {"NoneType"} and probed.probes
    probed.error = None
    assert set(probed.play(*[DeadlineExceeded("x")] * 50, 0.2)) == {"NoneType"}, "a client asks for 1 ms"
    probed.error = DeadlineExceeded("x")
    assert probed.play(DeadlineExceeded("x"), 0.2)[-1] == "DeadlineExceeded", "a part hangs"


def test_a_problem_is_logged_once(probed: Probed, caplog: pytest.LogCaptureFixture) -> None:
    probed.error = DAMAGE
    probed.play(DAMAGE, 0.2, DAMAGE, 0.2)
    assert probed.probes > 3
    assert [one.levelname for one in caplog.records if "every search fails" in one.message] == ["ERROR"]
