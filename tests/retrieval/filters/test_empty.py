"""An empty filter is an error wherever one is taken, and never stands for everything."""

import json
import subprocess
import sys
from typing import Any

import pytest

from retrieval.client import Client, ServiceError
from retrieval.errors import ConfigError
from retrieval.filters.filter import parse
from retrieval.search.searcher import Searcher
from tests.tools.serving.serve_tools import Service

SCHEMA = {"year": "integer", "tags": "list[string]"}
HAS: dict[str, Any] = {"has": "year"}
IN: dict[str, Any] = {"field": "year", "op": "in", "value": []}
EMPTY: list[Any] = [
    "", " ", "\t\n\u00a0\u2003\u2028", "()", "not ()", "year in ()", "has year and ()", "has year or",
    {}, [], (), 0, False, "{}", "[]", " {} ", "null", '{"and": []}',
    {"and": []}, {"or": []}, {"and": {}}, {"or": None}, {"not": {}}, {"not": []}, {"not": None}, {"not": ""},
    {"has": ""}, {"has": None}, {"has": []}, {"": ""}, {"and": [{}]}, {"or": [HAS, {}]}, {"and": [HAS, []]},
    {"or": [HAS, {"and": []}]}, {"not": {"or": []}}, {"and": [HAS, {"not": {"and": [{}]}}]},
    IN, {**IN, "op": "not in"}, {"not": IN}, {"or": [HAS, IN]}, {**IN, "value": {}}, {**IN, "value": None},
]  # fmt: skip
OF_JSON = [filter for filter in EMPTY if filter != ()]


@pytest.mark.parametrize("filter", EMPTY, ids=repr)
def test_the_language_has_no_empty_filter(filter: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(filter, SCHEMA)
    assert caught.value.hint or "^" in caught.value.message


@pytest.mark.parametrize("filter", ["", " ", {}, [], {"and": []}, {"not": {}}, IN, "{}"], ids=repr)
def test_the_error_says_how_to_search_everything(filter: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(filter, SCHEMA)
    assert "Leave the filter out" in caught.value.hint


def test_a_searcher_refuses_every_empty_filter(service: Service) -> None:
    with Searcher.open(str(service.index)) as search:
        everything = search("notes", k=50).hits
        assert search("notes", k=50, filter=None).hits == everything
        for filter in EMPTY:
            for ask in (search.batch, search.rank):
                with pytest.raises(ConfigError):
                    ask(["notes"], 50, filter=filter)
            with pytest.raises(ConfigError):
                search.batch([], 50, filter=filter)  # also where there is nothing to ask


def test_the_service_refuses_every_empty_filter(service: Service) -> None:
    for filter in OF_JSON:
        for path, asked in (
            ("/v1/search", {"query": "notes"}),
            ("/v1/search/batch", {"queries": ["notes"]}),
            ("/v1/answer", {"question": "notes"}),
            ("/v1/answer", {"question": "notes", "stream": True}),
            ("/v1/chat/completions", {"messages": [{"role": "user", "content": "notes"}]}),
        ):
            found = service.post(path, {**asked, "filter": filter})
            assert 400 <= found.status_code < 500, (path, filter)
            assert "filter" in found.json()["error"]["message"]
    for filter in ("", {}, [], "  "):
        error = service.post("/v1/search", {"query": "notes", "filter": filter}).json()["error"]
        assert "Leave the filter out" in error["message"] + error["hint"]
    assert service.post("/v1/search", {"query": "notes", "filter": None}).status_code == 200


def test_a_chat_is_answered_within_its_filter(service: Service) -> None:
    messages = [{"role": "user", "content": "When was the lighthouse of Brell built?"}]
    asked = {"messages": messages, "filter": 'doc_id = "f3"'}
    found = service.post("/v1/chat/completions", asked).json()
    assert {citation["doc_id"] for citation in found["citations"]} <= {"f3"}
    assert "1843" not in found["choices"][0]["message"]["content"]


def test_the_client_sends_an_empty_filter_as_it_is(service: Service) -> None:
    with Client(service.url) as client:
        for filter in OF_JSON:
            with pytest.raises(ServiceError, match="filter"):
                client.search("notes", filter=filter)
            with pytest.raises(ServiceError, match="filter"):
                client.batch(["notes"], filter=filter)
            with pytest.raises(ServiceError, match="filter"):
                client.answer("notes", filter=filter)
            with pytest.raises(ServiceError, match="filter"):
                list(client.stream("notes", filter=filter))
        assert client.search("notes", filter=None).hits


@pytest.mark.parametrize("filter", ["", "   ", "{}", json.dumps({"or": []})])
@pytest.mark.parametrize("command", ["search", "ask"])
def test_the_command_line_refuses_an_empty_filter(service: Service, command: str, filter: str) -> None:
    words = [sys.executable, "-m", "jobs.cli", command, str(service.index), "notes", "--filter", filter]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == ConfigError("").exit_code
    assert "Leave the filter out" in done.stderr and not done.stdout


TEXTS = [
    'title starts with ""', 'title contains ""', "title >= ''", 'year = 3 or title contains ""',
    'not (title starts with "")',
    {"field": "title", "op": "starts with", "value": ""}, {"field": "title", "op": "contains", "value": ""},
    {"or": [HAS, {"field": "doc_id", "op": ">=", "value": ""}]},
]  # fmt: skip


@pytest.mark.parametrize("filter", TEXTS, ids=repr)
def test_an_empty_text_is_not_everything_either(filter: Any) -> None:
    """As of an access filter that puts an empty prefix where one was to be."""
    with pytest.raises(ConfigError, match="an empty text"):
        parse(filter, SCHEMA)


@pytest.mark.parametrize("filter", ['title = ""', 'title != ""', 'tags contains ""', 'title in ("", "a")'])
def test_an_empty_text_that_says_something_is_a_value(filter: str) -> None:
    parse(filter, SCHEMA)
