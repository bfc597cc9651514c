"""The typed client against a running service."""

import json
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler

import pytest

from retrieval.client import Client, ServiceError
from retrieval.results.answer import Answer
from retrieval.results.examples import ANSWER
from tests.tools.samples.generation_tools import server
from tests.tools.serving.serve_tools import Service, free_port

QUESTION = "Who built the lighthouse of Brell?"


def test_every_call_gives_typed_answers(service: Service) -> None:
    with Client(service.url) as client:
        found = client.search(QUESTION, k=3, explain=True)
        assert found.hits[0].doc_id == "f1" and found.hits[0].explanation and found.coverage.full
        assert [one.hits[0].doc_id for one in client.batch([QUESTION, "river Osk"], k=1)] == ["f1", "f2"]
        texts = [{"text": "bread"}, {"text": "a lighthouse"}]
        assert client.rerank("lighthouse", texts, k=1).results[0].index == 1
        assert client.passage(found.hits[0].passage_id)["text"] == found.hits[0].text
        assert client.index()["version"] == found.version
        *deltas, whole = client.stream(QUESTION, k=3)
        assert isinstance(whole, Answer)
        assert "".join(map(str, deltas)) == whole.answer == client.answer(QUESTION, k=3).answer


def test_a_busy_service_is_asked_again() -> None:
    """As often as the client may, and after the time that the service names."""
    found = {"version": 1, "results": [{"index": 0, "score": 1.0}]}
    answer = {**ANSWER.as_json(), "answer": "yes"}
    events = f'event: token\ndata: {{"text": "yes"}}\n\nevent: answer\ndata: {json.dumps(answer)}\n\n'
    broken = (
        'event: error\ndata: {"error": {"message": "out of order", "hint": "wait", "type": "Broken"}}\n\n'
    )
    for last, retries, asked in ((json.dumps(found), 2, 3), (json.dumps(found), 1, 2)):
        seen: list[int] = []
        with server(busy(2, last, seen)) as url, Client(url[:-3], retries=retries) as client:
            if retries == 2:
                assert client.rerank("x", [{"text": "y"}]).results[0].index == 0
            else:
                with pytest.raises(ServiceError) as caught:
                    client.rerank("x", [{"text": "y"}])
                assert caught.value.status == 503
        assert len(seen) == asked
    with server(busy(1, events, [])) as url, Client(url[:-3]) as client:
        deltas = list(client.stream("x"))
        assert deltas[0] == "yes" and isinstance(deltas[1], Answer)
    for text, told in ((broken, "out of order"), ('event: token\ndata: {"text": "a"}\n\n', "ended")):
        with (
            server(busy(0, text, [])) as url,
            Client(url[:-3]) as client,
            pytest.raises(ServiceError, match=told),
        ):
            list(client.stream("x"))


def busy(times: int, body: str, seen: list[int]) -> Callable[[BaseHTTPRequestHandler], None]:
    """Refuses so often, then answers; the statuses that it gave go into `seen`."""

    def handle(request: BaseHTTPRequestHandler) -> None:
        seen.append(503 if len(seen) < times else 200)
        request.send_response(seen[-1])
        request.send_header("retry-after", "0")
        request.end_headers()
        request.wfile.write(b"" if seen[-1] == 503 else body.encode())

    return handle


def test_errors_have_their_status_and_hint(service: Service) -> None:
    with Client(service.url) as client:
        with pytest.raises(ServiceError, match="no field 'nope'") as caught:
            client.search("x", filter="nope = 1")
        assert caught.value.status == 422 and "Its fields" in caught.value.hint
        with pytest.raises(ServiceError, match="no field 'nope'"):
            next(client.stream("x", filter="nope = 1"))
        with pytest.raises(ServiceError) as caught:
            client.passage("none#1")
        assert caught.value.status == 404 and caught.value.kind == "NotFound"
    with Client(f"http://127.0.0.1:{free_port()}") as client, pytest.raises(ServiceError, match="not answer"):
        client.search("x")
