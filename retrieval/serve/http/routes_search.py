"""Search, batches, re-ranking and embeddings."""

import base64
from functools import partial
from typing import Any

import numpy as np
from fastapi import APIRouter, Request
from starlette.responses import Response

from retrieval.deadline import Deadline
from retrieval.results import RERANKED, RESULT, BatchResult, Reranked, RerankResult, Result
from retrieval.search import QueryModels, to_read
from retrieval.serve.http.disconnects import unless_left
from retrieval.serve.http.examples import EMBEDDINGS, responses
from retrieval.serve.http.guard import json_response
from retrieval.serve.http.requests import DOCUMENTED, allow, at_most, check_options, check_text, seconds_of
from retrieval.serve.http.schemas import (
    RERANK_METHODS,
    BatchRequest,
    EmbeddingsRequest,
    Options,
    RerankRequest,
    SearchRequest,
)
from retrieval.serve.runtime import Service

router = APIRouter(prefix="/v1", responses=DOCUMENTED, redirect_slashes=False)


@router.post(
    "/search", response_model=Result, responses=responses(RESULT.as_json()),
    summary="Find the passages that answer a query best",
)  # fmt: skip
async def search(request: Request, asked: SearchRequest) -> Response:
    """Hits of one query."""
    service = allow(request, "search")
    return json_response((await _search(request, service, [asked.query], asked))[0].as_json())


@router.post(
    "/search/batch", response_model=BatchResult, responses=responses(BatchResult([RESULT]).as_json()),
    summary="Search for several queries together",
)  # fmt: skip
async def batch(request: Request, asked: BatchRequest) -> Response:
    """Hits of each query."""
    service = allow(request, "search")
    at_most(len(asked.queries), service.settings.limits.batch, "queries", "limits.batch")
    return json_response(BatchResult(await _search(request, service, asked.queries, asked)).as_json())


@router.post(
    "/rerank", response_model=RerankResult, responses=responses(RERANKED.as_json()),
    summary="Order texts by how well they answer a query",
)  # fmt: skip
async def rerank(request: Request, asked: RerankRequest) -> Response:
    """Scores of a re-ranker, best first."""
    service = allow(request, "search")
    limits = service.settings.limits
    at_most(len(asked.passages), limits.batch, "passages", "limits.batch")
    at_most(len(asked.passages), limits.reranked, "passages", "limits.reranked")
    texts = [asked.query, *(passage.title + passage.text for passage in asked.passages)]
    check_text(service, texts)
    passages = [to_read(one.title, one.text) for one in asked.passages]

    def score(models: QueryModels) -> np.ndarray:
        return RERANK_METHODS[asked.method](models, asked.query, passages)

    async def work(deadline: Deadline) -> tuple[int, np.ndarray]:
        version = service.version
        with service.backend.models(version, deadline) as models:
            return version, await service.in_thread(deadline, partial(score, models), slow=True)

    found = service.run(work, seconds_of(asked.timeout_ms))
    version, scores = await unless_left(request, found)
    order = np.argsort(-scores, kind="stable")[: asked.k]
    results = [Reranked(int(place), float(scores[place])) for place in order]
    return json_response(RerankResult(version, results).as_json())


@router.post("/embeddings", responses=responses(EMBEDDINGS), summary="Embed queries, in OpenAI's shape")
async def embeddings(request: Request, asked: EmbeddingsRequest) -> Response:
    """Vectors of the index's query encoder."""
    service = allow(request, "search")
    texts = [asked.input] if isinstance(asked.input, str) else asked.input
    at_most(len(texts), service.settings.limits.batch, "texts", "limits.batch")
    check_text(service, texts)

    async def work(deadline: Deadline) -> np.ndarray:
        with service.backend.models(service.version, deadline) as models:
            return (await service.in_thread(deadline, partial(models.encode, texts), slow=True))[0]

    vectors = await unless_left(request, service.run(work, seconds_of(asked.timeout_ms)))
    data = [
        {"object": "embedding", "index": place, "embedding": _embedding(vector, asked.encoding_format)}
        for place, vector in enumerate(vectors)
    ]
    used = sum(1 + len(text) // 4 for text in texts)  # about; nobody is billed by it
    return json_response({
        "object": "list", "data": data, "model": asked.model or "corpusmill",
        "usage": {"prompt_tokens": used, "total_tokens": used},
    })  # fmt: skip


async def _search(request: Request, service: Service, queries: list[str], asked: Options) -> list[Result]:
    check_text(service, queries)
    check_options(service, asked, len(queries))
    options = {"require_full": asked.require_full, **asked.asked()}
    work = service.run(
        lambda deadline: service.search(queries, deadline, **options), seconds_of(asked.timeout_ms)
    )
    return await unless_left(request, work)


def _embedding(vector: np.ndarray, encoding: str) -> Any:
    vector = np.ascontiguousarray(vector, "<f4")
    return base64.b64encode(vector.tobytes()).decode() if encoding == "base64" else vector.tolist()
