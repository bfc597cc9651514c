"""Examples of answers that are no results, as the interface's own description shows them."""

from typing import Any

from retrieval.results import ANSWER

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
            "message": {"role": "assistant", "content": ANSWER.answer},
            "finish_reason": "stop",
            "logprobs": None,
        }
    ],
    "usage": {**USAGE, "completion_tokens": 24, "total_tokens": 30},
    "citations": ANSWER.as_json()["citations"],
    "corpusmill": ANSWER.as_json(),
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
    "model": "bge-small-en",
    "dimension": 384,
    "late_interaction": "answerai-colbert-small",
    "cross_encoder": "ms-marco-MiniLM-L-12-v2-int8",
    "stored_tokens": False,
    "lexical": True,
    "recall": {"k": 10, "target": 0.95, "chosen": {"nprobe": 16}, "table": [{"nprobe": 16, "recall": 0.957}]},
    "metadata": {"year": "integer"},
    "generator": "extractive",
    "decodes": ["prompt"],
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
