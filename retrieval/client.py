"""A client of the service: typed answers, errors with their hints, and patience where it is overloaded."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import quote

import httpx2 as httpx

from retrieval.errors import CorpusmillError
from retrieval.results import Answer, BatchResult, Record, RerankResult, Result
from retrieval.text import Event, EventReader

M = TypeVar("M", bound=Record)
KEY_VARIABLE = "CORPUSMILL_KEY"
MOST_PATIENCE_S = 10.0  # that a Retry-After may ask for


class ServiceError(CorpusmillError):
    """An answer that is no success. `status`: of HTTP, 0 where there was none; `kind`: the error's type."""

    def __init__(self, message: str, *, hint: str = "", status: int = 0, kind: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.kind = kind

    def __reduce__(self) -> tuple:
        return _again, (self.message, self.hint, self.status, self.kind)


def _again(message: str, hint: str, status: int, kind: str) -> ServiceError:
    return ServiceError(message, hint=hint, status=status, kind=kind)


class Client:
    """Talks to one service; a context manager.

    with Client("http://127.0.0.1:8000") as service:
        for hit in service.search("who wrote the origin of species", k=5).hits: ...
    """

    def __init__(self, url: str, *, key: str | None = None, timeout_s: float = 60, retries: int = 2) -> None:
        """key: default, that of CORPUSMILL_KEY. retries: of requests that a busy service refused."""
        key = key or os.environ.get(KEY_VARIABLE)
        headers = {"authorization": f"Bearer {key}"} if key else {}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout_s)
        self._retries = retries

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def search(self, query: str, k: int = 10, **options: Any) -> Result:
        """Hits of a query. options: mode, rerank, filter, per_document, explain, require_full, timeout_ms.

        Raises ServiceError, as all methods do.
        """
        return self._post(Result, "/v1/search", {"query": query, "k": k, **options})

    def batch(self, queries: list[str], k: int = 10, **options: Any) -> list[Result]:
        """Hits of several queries."""
        asked = {"queries": queries, "k": k, **options}
        return self._post(BatchResult, "/v1/search/batch", asked).results

    def rerank(self, query: str, passages: list[dict[str, str]], **options: Any) -> RerankResult:
        """Order texts by how well they answer a query. passages: `text`, and `title` if there is one."""
        return self._post(RerankResult, "/v1/rerank", {"query": query, "passages": passages, **options})

    def answer(self, question: str, k: int = 5, **options: Any) -> Answer:
        """An answer with citations. options: as of a search, and those of POST /v1/answer, such as decode."""
        return self._post(Answer, "/v1/answer", {"question": question, "k": k, **options})

    def stream(self, question: str, k: int = 5, **options: Any) -> Iterator[str | Answer]:
        """An answer piece by piece, then the whole of it. Leaving the loop ends the work."""
        asked = {"question": question, "k": k, "stream": True, **options}
        for attempt in range(self._retries + 1):
            with self._connected(), self._http.stream("POST", "/v1/answer", json=asked) as response:
                if self._wait(response, attempt):
                    continue
                if response.status_code != 200:
                    response.read()
                    raise _error(response)
                yield from _pieces(response)
                return

    def index(self) -> dict[str, Any]:
        """What is served: version, counts, models, recall."""
        return self._json("GET", "/v1/index")

    def passage(self, passage_id: str) -> dict[str, Any]:
        """A passage by its id."""
        return self._json("GET", f"/v1/passages/{quote(passage_id, safe='')}")

    def _post(self, model: type[M], path: str, value: dict[str, Any]) -> M:
        return model.from_json(self._json("POST", path, value))

    def _json(self, method: str, path: str, value: dict[str, Any] | None = None) -> dict[str, Any]:
        for attempt in range(self._retries + 1):
            with self._connected():
                response = self._http.request(method, path, json=value)
            if self._wait(response, attempt):
                continue
            if response.status_code != 200:
                raise _error(response)
            found: dict[str, Any] = response.json()
            return found
        raise AssertionError("not reached")

    @contextmanager
    def _connected(self) -> Iterator[None]:
        try:
            yield
        except httpx.HTTPError as error:
            raise ServiceError(f"{self._http.base_url} does not answer: {error}") from error

    def _wait(self, response: httpx.Response, attempt: int) -> bool:
        """Wait as a busy service asks for; whether to ask again."""
        wait = response.headers.get("retry-after", "")
        if response.status_code not in (429, 503) or not wait.isdecimal() or attempt == self._retries:
            return False
        time.sleep(min(float(wait), MOST_PATIENCE_S))
        return True


def _error(response: httpx.Response) -> ServiceError:
    try:
        found = response.json()["error"]
        message, hint, kind = found["message"], found.get("hint", ""), found.get("type", "")
    except (ValueError, KeyError, TypeError):
        message, hint, kind = f"status {response.status_code}: {response.text[:200]}", "", ""
    return ServiceError(message, hint=hint, status=response.status_code, kind=kind)


def _pieces(response: httpx.Response) -> Iterator[str | Answer]:
    try:
        for event in _events(response):
            if event.name == "token":
                yield str(json.loads(event.data)["text"])
            elif event.name == "answer":
                yield Answer.from_json(json.loads(event.data))
                return
            elif event.name == "error":
                found = json.loads(event.data)["error"]
                raise ServiceError(found["message"], hint=found["hint"], status=200, kind=found["type"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ServiceError(f"the service sent what is no event of an answer: {error}") from error
    raise ServiceError("the stream ended without an answer", hint="Ask again.")


def _events(response: httpx.Response) -> Iterator[Event]:
    reader = EventReader()
    for data in response.iter_bytes():
        yield from reader.feed(data)
