"""A generator behind the service: its places, its faults, a client that leaves, and what the logs hold."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx2 as httpx
import pytest

from tests.tools.serving.guarded_tools import GENERATOR_KEY, Endpoint, Guarded

QUESTION = "When was the lighthouse of Brell built?"
SECRET = "lighthouse of Brell"
ENDLESS = 600


@pytest.fixture
def endpoint(guarded: Guarded) -> Iterator[Endpoint]:
    """What the generator's address answers; as it was afterwards."""
    yield guarded.endpoint
    guarded.endpoint.words, guarded.endpoint.broken = 3, False


def asking(guarded: Guarded, question: str = QUESTION) -> Any:
    """A streamed answer, as a context manager."""
    value = {"question": question, "stream": True}
    url = f"{guarded.service.url}/v1/answer"
    return httpx.stream("POST", url, json=value, headers=guarded.headers, timeout=30)


def until_a_token(answer: Any) -> Iterator[str]:
    """Read until the generator has written something; the rest. Who drops that closes the connection."""
    lines: Iterator[str] = answer.iter_lines()
    for line in lines:
        if line == "event: token":
            return lines
    raise AssertionError("no token came")


def test_who_gets_no_place_is_told_at_once_and_a_client_that_leaves_frees_its_own(
    guarded: Guarded, endpoint: Endpoint
) -> None:
    endpoint.words = ENDLESS
    with asking(guarded) as answer:
        rest = until_a_token(answer)
        with asking(guarded) as other:
            assert other.status_code == 503 and other.headers["retry-after"] == "1"
            assert "limits.answers" in other.read().decode()
        assert next(rest).startswith("data:")
        endpoint.left.clear()
    assert endpoint.left.wait(2), "the generator still writes"
    assert within(2, lambda: status_of(guarded) == 200), "the place is not free"
    assert "Traceback" not in guarded.service.logs("ingress")


def test_an_answer_is_written_and_counted(guarded: Guarded) -> None:
    assert within(5, lambda: status_of(guarded) == 200)
    found = {}
    assert within(5, lambda: bool(found.update(whole(guarded)) or "answer" in found))
    assert found["answer"].startswith("It was built in 1843 [1].") and found["generator"] == "m"
    assert found["citations"][0]["doc_id"] == "f1" and found["tokens"] > 3 and not found["extractive"]


def test_a_generator_that_fails_is_told(guarded: Guarded, endpoint: Endpoint) -> None:
    endpoint.broken = True
    assert within(5, lambda: whole(guarded).get("status") == 502)
    error = whole(guarded)["error"]
    assert error["type"] == "GenerationError" and error["message"] == "the generator failed"
    told = f"request {error['request_id']}: GenerationError: "
    assert within(5, lambda: told in guarded.service.logs("ingress"))
    assert "answered 500" in guarded.service.logs("ingress").partition(told)[2].partition("\n")[0]
    with asking(guarded) as stream:
        assert "event: error" in stream.read().decode()


def test_logs_hold_neither_keys_nor_questions(guarded: Guarded) -> None:
    headers = {**guarded.headers, "x-request-id": "logged-1"}
    assert guarded.service.post("/v1/search", {"query": SECRET}, headers=headers).status_code == 200
    assert within(5, lambda: "logged-1" in guarded.service.logs("ingress"))
    logs = guarded.service.logs("ingress") + guarded.service.log.read_text()
    for hidden in (guarded.search, guarded.admin, GENERATOR_KEY, SECRET):
        assert hidden not in logs


def whole(guarded: Guarded) -> dict[str, Any]:
    """An answer that is not streamed; with its status, where that is not 200."""
    answer = guarded.service.post("/v1/answer", {"question": QUESTION}, headers=guarded.headers)
    found: dict[str, Any] = answer.json()
    return found if answer.status_code == 200 else {**found, "status": answer.status_code}


def status_of(guarded: Guarded) -> int:
    """Of a streamed answer, left at once."""
    with asking(guarded) as answer:
        return int(answer.status_code)


def within(seconds: float, condition: Callable[[], bool]) -> bool:
    """Whether it comes true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True
