"""The typed client against a running service."""

import pytest

from retrieval.client import Client, ServiceError
from retrieval.serve.schemas import AnswerResponse
from tests.serve_tools import Service, free_port

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
        *pieces, whole = client.stream(QUESTION, k=3)
        assert isinstance(whole, AnswerResponse)
        assert "".join(map(str, pieces)) == whole.answer == client.answer(QUESTION, k=3).answer


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
