"""Examples of requests and answers, as the interface's own description shows them."""

from typing import Any

QUERY = "when are tides highest?"
FIRST = "The Moon pulls on the water of the oceans. "
BEST = "When Sun, Moon and Earth stand in a line, the tides are highest: these are spring tides."
PASSAGE: dict[str, Any] = {
    "passage_id": "a1#0",
    "doc_id": "a1",
    "title": "Tides",
    "text": FIRST + BEST,
    "start": 0,
    "end": len(FIRST + BEST),
    "source": "articles.jsonl",
    "metadata": {"year": 2019},
}
COVERAGE = {"passages": 110_000, "searched": 110_000, "full": True, "missing": []}
HIT = {
    "rank": 1,
    "score": 0.0328,
    **PASSAGE,
    "stages": {"dense": {"rank": 1, "score": 0.71}, "lexical": {"rank": 1, "score": 12.4}},
}
RESULT = {
    "query": QUERY,
    "version": 3,
    "truncated": False,
    "coverage": COVERAGE,
    "timings_ms": {"encode": 5.1, "dense": 1.4, "lexical": 1.2, "fusion": 0.2, "total": 8.3},
    "hits": [HIT],
}
ANSWER: dict[str, Any] = {
    "question": QUERY,
    "answer": f"{BEST} [1]",
    "supported": True,
    "support": 0.94,
    "generator": "extractive",
    "extractive": True,
    "citations": [
        {
            "number": 1,
            "passage_id": "a1#0",
            "doc_id": "a1",
            "title": "Tides",
            "quote": BEST,
            "start": len(FIRST),
            "end": len(FIRST + BEST),
        }
    ],
    "removed_citations": 0,
    "left_out": 0,
    "tokens": 0,
    "version": 3,
    "coverage": COVERAGE,
    "timings_ms": {"total": 74.2},
}
RERANKED = {"version": 3, "results": [{"index": 1, "score": 21.6}, {"index": 0, "score": 9.3}]}
USAGE = {"prompt_tokens": 6, "total_tokens": 6}
EMBEDDINGS = {
    "object": "list",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.012, -0.034]}],
    "model": "corpusmill",
    "usage": USAGE,
}
CHAT = {
    "id": "chatcmpl-1",
    "created": 1_767_225_600,
    "model": "corpusmill",
    "object": "chat.completion",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": ANSWER["answer"]},
            "finish_reason": "stop",
            "logprobs": None,
        }
    ],
    "usage": {**USAGE, "completion_tokens": 24, "total_tokens": 30},
    "citations": ANSWER["citations"],
    "corpusmill": ANSWER,
}
STATE = {"ready": True, "version": 3, "problems": [], "refused": None}
REFUSED = {
    "ready": True,
    "version": 3,
    "problems": ["version 4 is refused: the index is damaged"],
    "refused": {"version": 4, "why": "the index is damaged"},
}
FAILING = {**STATE, "ready": False, "problems": ["every search fails: the index is damaged"]}
INDEX = {
    "version": 3,
    "created": "2026-01-01T00:00:00Z",
    "documents": 41_000,
    "passages": 110_000,
    "shards": 2,
    "model": "all-MiniLM-L6-v2",
    "dimension": 384,
    "late_interaction": "all-MiniLM-L6-v2",
    "cross_encoder": "ms-marco-MiniLM-L-12-v2-int8",
    "stored_tokens": False,
    "lexical": True,
    "recall": {"k": 10, "target": 0.95, "chosen": {"nprobe": 16}, "table": [{"nprobe": 16, "recall": 0.957}]},
    "metadata": {"year": "integer"},
    "generator": "extractive",
}


def responses(example: dict[str, Any], *, streamed: bool = False) -> dict[int | str, dict[str, Any]]:
    """What a route answers, for its description. streamed: or the same as server-sent events."""
    content: dict[str, Any] = {"application/json": {"example": example}}
    if streamed:
        content["text/event-stream"] = {}
    return {200: {"description": "The answer", "content": content}}


def not_ready(example: dict[str, Any]) -> dict[str, Any]:
    """What a route answers that is no error although its status is 503, for its description."""
    return {"description": "Not ready", "content": {"application/json": {"example": example}}}
