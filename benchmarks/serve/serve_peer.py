"""What one writes by hand around LanceDB embedded: a FastAPI application with one search route.

    python benchmarks/serve/serve_peer.py --index INDEX --port 8001 --folder FOLDER --nprobes 91 --refine 2

Vectors and passages are those of INDEX, the query encoder is corpusmill's own, so the stores are compared.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from search_systems import CANDIDATES, Corpus, K, Lance

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from retrieval.search import Searcher
from retrieval.storage import Store


class Query(BaseModel):
    """A search."""

    query: str
    k: int = K


def make_app(index: str, folder: Path, nprobes: int, refine: int) -> FastAPI:
    """The application; it indexes first."""
    from lancedb.rerankers import RRFReranker

    searcher = Searcher.open(index)
    lance = Lance(Corpus.of(searcher, Store(index)), folder, 2)
    app, reranker = FastAPI(), RRFReranker()
    searcher.encode(["warm"])

    @app.get("/readyz")
    def ready() -> dict[str, bool]:
        return {"ready": True}

    @app.post("/v1/search")
    def search(asked: Query) -> dict[str, Any]:
        vector = searcher.encode([asked.query])[0]
        found = lance._table.search(query_type="hybrid").vector(vector).text(asked.query).metric("dot")
        found = found.nprobes(nprobes).refine_factor(refine).rerank(reranker).limit(CANDIDATES)
        return {"hits": found.select(["id", "text"]).to_arrow().slice(0, asked.k).to_pylist()}

    return app


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--index", required=True)
    parser.add_argument("--folder", type=Path, required=True, help="where LanceDB writes its table")
    parser.add_argument("--port", type=int, default=8001)
    parser.add_argument("--nprobes", type=int, default=91)
    parser.add_argument("--refine", type=int, default=2)
    given = parser.parse_args()
    application = make_app(given.index, given.folder, given.nprobes, given.refine)
    uvicorn.run(application, host="127.0.0.1", port=given.port, log_level="error")
