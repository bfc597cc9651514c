"""How the hits of a search are printed, for programs and for people."""

import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from jobs.terminal import safe
from retrieval.searcher import Hit

WIDTH = 100


def as_json(query: str, version: int, hits: Sequence[Hit]) -> dict[str, Any]:
    """The object that `search --json` prints."""
    return {
        "query": query,
        "version": version,
        "hits": [
            {
                "rank": hit.rank,
                "score": hit.score,
                "passage_id": hit.passage.passage_id,
                "doc_id": hit.passage.doc_id,
                "title": hit.passage.title,
                "text": hit.passage.text,
                "start": hit.passage.start,
                "end": hit.passage.end,
                "source": hit.passage.source,
                "metadata": hit.passage.metadata,
            }
            for hit in hits
        ],
    }


def as_lines(hits: Sequence[Hit]) -> Iterator[str]:
    """Hits with their exact text, which is made harmless for a terminal and wrapped."""
    for hit in hits:
        passage = hit.passage
        yield safe(f"{hit.rank}. {passage.title or passage.doc_id}  score {hit.score:.4f}")
        yield safe(f"   document {passage.doc_id}, characters {passage.start}-{passage.end}")
        for line in safe(passage.text).splitlines():
            yield textwrap.fill(line, WIDTH, initial_indent="   ", subsequent_indent="   ")
        yield ""
