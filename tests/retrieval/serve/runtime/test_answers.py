"""Answers over HTTP: grounded, cited, streamed, refused where no passage holds one, in OpenAI's shape."""

import json
import time
from pathlib import Path
from typing import Any

import httpx2 as httpx
import openai
from typer.testing import CliRunner

from jobs.cli import app
from tests.tools.serving.serve_tools import Service

QUESTION = "Who built the lighthouse of Brell?"


def events(service: Service, path: str, value: Any) -> list[tuple[str, Any]]:
    """Server-sent events of an answer."""
    found = []
    with httpx.stream("POST", service.url + path, json=value, timeout=60) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")
        name = ""
        for line in answer.iter_lines():
            if line.startswith("event: "):
                name = line[7:]
            elif line.startswith("data: "):
                found.append((name, json.loads(line[6:])))
    return found


def test_an_answer_cites_the_sentence_that_it_rests_on(service: Service) -> None:
    found = service.post("/v1/answer", {"question": QUESTION, "k": 3}).json()
    assert found["supported"] and found["extractive"] and found["generator"] == "extractive"
    assert "Ada Norwood" in found["answer"] and "[1]" in found["answer"]
    citation = found["citations"][0]
    assert citation["doc_id"] == "f1" and "Ada Norwood" in citation["quote"]
    passage = service.get(f"/v1/passages/{citation['passage_id'].replace('#', '%23')}").json()
    first = citation["start"] - passage["start"]
    assert passage["text"][first : first + len(citation["quote"])] == citation["quote"]
    assert found["version"] == 1 and found["coverage"]["full"] and found["timings_ms"]["total"] > 0


def test_what_no_passage_supports_is_not_answered(service: Service) -> None:
    found = service.post(
        "/v1/answer", {"question": "What is the boiling point of tungsten in kelvin?"}
    ).json()
    assert not found["supported"] and found["citations"] == []
    assert "not in the passages" in found["answer"].lower()


def test_a_streamed_answer_is_the_same(service: Service) -> None:
    asked = {"question": QUESTION, "k": 3}
    whole = service.post("/v1/answer", asked).json()
    found = events(service, "/v1/answer", {**asked, "stream": True})
    assert [name for name, _ in found] == ["passages", *["token"] * (len(found) - 2), "answer"]
    assert len(found[0][1]["hits"]) == 3
    assert "".join(value["text"] for name, value in found if name == "token") == whole["answer"]
    assert {**found[-1][1], "timings_ms": 0} == {**whole, "timings_ms": 0}


def test_bad_questions_have_a_status_even_when_streamed(service: Service) -> None:
    for value, status in (
        ({"question": ""}, 422),
        ({"question": "x", "stream": True, "filter": "nope = 1"}, 422),
        ({"question": "x" * 10_001, "stream": True}, 413),
        ({"question": "x", "k": 21}, 422),
        ({"question": "x", "temperature": 3}, 422),
        ({"question": "x", "stop": [""]}, 422),
    ):
        assert service.post("/v1/answer", value).status_code == status, value


def test_the_official_client_works_unchanged(service: Service) -> None:
    client = openai.OpenAI(base_url=f"{service.url}/v1", api_key="none-needed")
    messages: Any = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": QUESTION}]
    answer = client.chat.completions.create(model="corpusmill", messages=messages, temperature=0)
    assert "Ada Norwood" in (answer.choices[0].message.content or "")
    assert answer.model_extra and answer.model_extra["citations"][0]["doc_id"] == "f1"
    stream = client.chat.completions.create(model="corpusmill", messages=messages, stream=True)
    chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text == answer.choices[0].message.content
    assert chunks[-1].choices[0].finish_reason == "stop"
    vectors = client.embeddings.create(model="corpusmill", input=["violins", "bees"])
    assert len(vectors.data) == 2 and len(vectors.data[0].embedding) == 384


def test_a_client_that_leaves_frees_its_place(service: Service) -> None:
    asked = {"question": QUESTION, "stream": True}
    for _ in range(12):  # more than limits.answers
        with httpx.stream("POST", service.url + "/v1/answer", json=asked, timeout=60) as answer:
            next(answer.iter_lines())
    deadline = time.monotonic() + 2
    while True:
        if service.post("/v1/answer", {"question": QUESTION}).status_code == 200:
            break
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_conversation_is_searched_for_as_a_question_that_stands_alone(service: Service) -> None:
    messages = [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": "Ada Norwood [1]."}]
    asked = {"question": "And when was it?", "messages": messages, "k": 3}
    found = service.post("/v1/answer", asked).json()
    assert found["question"] == "And when was it?"
    assert found["steps"][0]["reason"] == "follow-up" and QUESTION in found["steps"][0]["query"]
    turns = [*messages, {"role": "user", "content": "And when was it?"}]
    same = service.post("/v1/answer", {"messages": turns, "k": 3}).json()
    assert {**same, "timings_ms": 0} == {**found, "timings_ms": 0}
    streamed = events(service, "/v1/answer", {**asked, "stream": True})
    assert streamed[0][0] == "passages" and streamed[0][1]["query"] != "And when was it?"
    chat = service.post("/v1/chat/completions", {"messages": turns}).json()
    assert chat["corpusmill"]["steps"][0]["reason"] == "follow-up"


def test_further_hops_are_told_of(service: Service) -> None:
    asked = {"question": QUESTION, "k": 2, "hops": 2}
    found = service.post("/v1/answer", asked).json()
    first, *hops = found["steps"]
    assert first["reason"] == "question" and {step["reason"] for step in hops} == {"hop"}
    new = [one for step in hops for one in step["passages"]]
    assert new and not {*first["passages"]} & {*new} and {step["version"] for step in hops} == {1}
    streamed = events(service, "/v1/answer", {**asked, "stream": True})
    searches = ["passages"] * (1 + len(hops))
    assert [name for name, _ in streamed if name != "token"] == [*searches, "answer"]
    assert "steps" not in service.post("/v1/answer", {"question": QUESTION, "k": 2}).json()


def test_what_the_generator_cannot_do_is_refused_before_anything_is_searched(service: Service) -> None:
    for value in (
        {"decode": "token"},
        {"decode": "none such"},
        {"marginal": {"beams": 99}},
        {"hops": 0},
        {"messages": [{"role": "assistant", "content": "Hello."}], "question": None},
        {"question": None},
    ):
        answer = service.post("/v1/answer", {"question": QUESTION, "stream": True, **value})
        assert answer.status_code in (400, 422) and answer.json()["error"]["message"], value


def test_what_is_read_is_told_and_can_be_asked_for(service: Service, served_index: Path) -> None:
    asked: dict[str, Any] = {"question": "Where was note 26.12 seen?", "k": 2}
    plain = service.post("/v1/answer", asked).json()
    wide = service.post("/v1/answer", {**asked, "context": {"expand": 2}}).json()
    assert wide["coverage"]["full"] and wide["context"][0]["doc_id"] == plain["context"][0]["doc_id"]
    assert len(wide["context"][0]["passage_ids"]) > len(plain["context"][0]["passage_ids"])
    for one in wide["context"]:
        spans = [service.get(f"/v1/passages/{key.replace('#', '%23')}").json() for key in one["passage_ids"]]
        assert min(span["start"] for span in spans) <= one["start"] < one["end"]
        assert one["end"] <= max(span["end"] for span in spans)
    for cited in wide["citations"]:
        passage = service.get(f"/v1/passages/{cited['passage_id'].replace('#', '%23')}").json()
        first = cited["start"] - passage["start"]
        assert passage["text"][first : first + len(cited["quote"])] == cited["quote"]
    streamed = events(service, "/v1/answer", {**asked, "stream": True, "context": {"expand": 2}})
    assert {**streamed[-1][1], "timings_ms": 0} == {**wide, "timings_ms": 0}
    words = ["ask", str(served_index), asked["question"], "--json", "-k", "2", "--expand", "2"]
    told = json.loads(CliRunner().invoke(app, words).stdout)
    assert {**told, "timings_ms": 0} == {**wide, "timings_ms": 0}


def test_what_cannot_be_read_is_refused(service: Service) -> None:
    for context in (
        {"expand": 9},
        {"expand": -1},
        {"diversity": 2},
        {"date": "year"},
        {"date": ""},
        {"x": 1},
    ):
        value = {"question": QUESTION, "context": context}
        assert service.post("/v1/answer", value).status_code == 422, context
        chat = {"messages": [{"role": "user", "content": QUESTION}], "context": context}
        assert service.post("/v1/chat/completions", chat).status_code == 422, context
    told = service.post("/v1/answer", {"question": QUESTION, "context": {"date": "year"}}).json()
    assert "year" in told["error"]["message"] and "integer" in told["error"]["message"]
