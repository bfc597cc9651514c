"""The HTTP interface of a service with everything in one process: what it answers, what it refuses."""

import base64
import json
from typing import Any

import httpx2 as httpx
import jsonschema
import numpy as np
import pytest

from retrieval.search.searcher import Searcher
from tests.tools.serving.serve_tools import HOSTILE, Service


def test_search_answers_as_the_library_does(service: Service) -> None:
    asked = {"query": "notes about violins", "k": 5, "explain": True}
    found = service.post("/v1/search", asked).json()
    with Searcher.open(str(service.index)) as search:
        expected = search(asked["query"], k=5, explain=True).as_json()
    for value in (found, expected):
        assert value.pop("timings_ms")["total"] > 0
    assert found == json.loads(json.dumps(expected))
    assert found["coverage"]["full"]


def test_a_batch_answers_each_query(service: Service) -> None:
    queries = ["notes about bees", "who built the lighthouse of Brell", "comets"]
    options = {"k": 3, "mode": "lexical"}
    found = service.post("/v1/search/batch", {"queries": queries, **options}).json()["results"]
    alone = [service.post("/v1/search", {"query": query, **options}).json() for query in queries]
    assert [result["hits"] for result in found] == [result["hits"] for result in alone]
    assert found[1]["hits"][0]["doc_id"] == "f1"


def test_filters_modes_and_rerankers(service: Service) -> None:
    asked = {"query": "notes", "filter": "year >= 1555 and year < 1560", "k": 50}
    years = {hit["metadata"]["year"] for hit in service.post("/v1/search", asked).json()["hits"]}
    assert years == {1555, 1556, 1557, 1558, 1559}
    for rerank in ("late-interaction", "cross-encoder"):
        hits = service.post("/v1/search", {"query": "height of the lighthouse", "rerank": rerank}).json()[
            "hits"
        ]
        assert hits[0]["doc_id"] == "f1"
        assert rerank.replace("-", "_") in hits[0]["stages"]


def test_texts_are_reranked_that_are_in_no_index(service: Service) -> None:
    texts = [{"text": "Bread is baked in ovens."}, {"title": "Tides", "text": "The moon raises the tides."}]
    for method in ("late-interaction", "cross-encoder"):
        asked = {"query": "what raises the tides", "passages": texts, "method": method}
        results = service.post("/v1/rerank", asked).json()["results"]
        assert [result["index"] for result in results] == [1, 0]
        assert results[0]["score"] > results[1]["score"]


def test_embeddings_are_those_of_the_index(service: Service) -> None:
    texts = ["violins", "a river"]
    found = service.post("/v1/embeddings", {"input": texts, "model": "any", "user": "x"}).json()
    packed = service.post("/v1/embeddings", {"input": texts, "encoding_format": "base64"}).json()
    with Searcher.open(str(service.index)) as search:
        expected = search.encode(texts)
    for place, entry in enumerate(found["data"]):
        assert entry["index"] == place
        assert np.allclose(entry["embedding"], expected[place], atol=1e-3)
        assert np.frombuffer(base64.b64decode(packed["data"][place]["embedding"]), "<f4").shape == (384,)


def test_passages_and_the_index_are_told(service: Service) -> None:
    index = service.get("/v1/index").json()
    assert index["version"] == 1 and index["ready"] and index["metadata"] == {"year": "integer"}
    assert index["decodes"] == ["prompt"]  # all that an extractive answer can be asked for
    assert str(service.index) not in json.dumps(index)
    found = service.get("/v1/passages/h%2F1%230").json()
    assert HOSTILE in found["text"] and found["version"] == 1
    for missing in ("d00001%23999", "none", "d00001%23-1", "%23", "x%2399999999999999999999"):
        answer = service.get(f"/v1/passages/{missing}")
        assert answer.status_code == 404, missing
        assert answer.json()["error"]["type"] == "NotFound"


def test_health_readiness_metrics_and_documentation(service: Service) -> None:
    assert service.get("/healthz").json() == {"alive": True}
    assert service.get("/readyz").json() == {
        "ready": True, "version": 1, "problems": [], "refused": None,
    }  # fmt: skip
    described = service.get("/openapi.json").json()
    assert {"/v1/search", "/v1/search/batch", "/v1/rerank", "/v1/embeddings", "/v1/index"} <= set(
        described["paths"]
    )
    assert service.get("/metrics").status_code == 200


def test_every_route_shows_examples_that_hold(service: Service) -> None:
    described = service.get("/openapi.json").json()
    schemas = described["components"]["schemas"]
    names = {"search": "Result", "answer": "Answer", "rerank": "RerankResult", "search/batch": "BatchResult"}
    shown = {f"/v1/{path}": schemas[name] for path, name in names.items()}
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            if path == "/metrics":
                continue
            example = operation["responses"]["200"]["content"]["application/json"]["example"]
            if path in shown:
                schema = {**shown[path], "components": described["components"]}
                jsonschema.validate(example, schema)
            if "requestBody" in operation:
                body = operation["requestBody"]["content"]["application/json"]["schema"]
                for asked in schemas[body["$ref"].rpartition("/")[2]]["examples"]:
                    assert service.post(path, asked).status_code == 200, (path, method, asked)
    real = service.post("/v1/search", {"query": "bees", "k": 1}).json()
    example = described["paths"]["/v1/search"]["post"]["responses"]["200"]["content"]["application/json"]
    assert set(real) - {"matching"} == set(example["example"])
    index = described["paths"]["/v1/index"]["get"]["responses"]["200"]["content"]["application/json"]
    assert set(index["example"]) <= set(service.get("/v1/index").json())


BAD: list[tuple[str, Any, int, str]] = [
    ("/v1/search", {}, 422, "query"),
    ("/v1/search", {"query": ""}, 422, "query"),
    ("/v1/search", {"query": " \0 "}, 422, "empty"),
    ("/v1/search", {"query": "x" * 10_001}, 413, "limits.query_characters"),
    ("/v1/search", {"query": "x", "k": 0}, 422, "k"),
    ("/v1/search", {"query": "x", "k": 1_001}, 413, "limits.k"),
    ("/v1/search", {"query": "x", "k": True}, 422, "k"),
    ("/v1/search", {"query": "x", "k": "3"}, 422, "k"),
    ("/v1/search", {"query": "x", "mode": "magic"}, 422, "mode"),
    ("/v1/search", {"query": "x", "filter": "yaer = 3"}, 422, "year"),
    ("/v1/search", {"query": "x", "filter": "(" * 9_000}, 422, "filter"),
    ("/v1/search", {"query": "x", "filter": "x" * 10_001}, 413, "limits.filter_characters"),
    ("/v1/search", {"query": "x", "surprise": 1}, 422, "surprise"),
    ("/v1/search/batch", {"queries": []}, 422, "queries"),
    ("/v1/search/batch", {"queries": ["x"] * 257}, 413, "limits.batch"),
    ("/v1/search/batch", {"queries": ["x", ""]}, 422, "queries"),
    ("/v1/search/batch", {"queries": ["x"] * 11, "k": 1_000}, 413, "limits.hits"),
    ("/v1/search/batch", {"queries": ["x"] * 21, "explain": True}, 413, "limits.explained"),
    ("/v1/rerank", {"query": "x", "passages": []}, 422, "passages"),
    ("/v1/rerank", {"query": "x", "passages": [{"text": "y"}], "method": "magic"}, 422, "method"),
    ("/v1/embeddings", {"input": []}, 422, "input"),
    ("/v1/index/reload/x", {}, 404, "Not Found"),
]


@pytest.mark.parametrize(("path", "value", "status", "told"), BAD)
def test_bad_requests_are_told(service: Service, path: str, value: Any, status: int, told: str) -> None:
    answer = service.post(path, value)
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert told in error["message"] + error["hint"]
    assert error["request_id"] == answer.headers["x-request-id"]


def test_bytes_that_are_no_request(service: Service) -> None:
    for content in (
        b"",
        b"{",
        b"\xff\xfe",
        b'{"query": "\\ud800"}',
        b'{"query": NaN}',
        b"[" * 50_000,
        b"null",
    ):
        answer = _raw(service, content)
        assert answer.status_code in (400, 422), (content[:20], answer.text)
    assert _raw(service, b" " * 1_000_001).status_code == 413
    assert service.get("/v1/search").status_code == 405


def _raw(service: Service, content: bytes) -> Any:
    headers = {"content-type": "application/json"}
    return httpx.post(service.url + "/v1/search", content=content, headers=headers, timeout=60)


def test_safety_headers_and_request_ids(service: Service) -> None:
    answer = service.get("/readyz", headers={"x-request-id": "mine-1", "origin": "https://example.org"})
    assert answer.headers["x-request-id"] == "mine-1"
    assert "access-control-allow-origin" not in answer.headers
    assert answer.headers["x-content-type-options"] == "nosniff"
