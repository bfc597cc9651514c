"""The systems that search_peers.py compares, behind one interface: ours, LanceDB, bm25s + faiss."""

import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import faiss
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from retrieval.format import open_vectors
from retrieval.fusions import RRF
from retrieval.search import Ranking, Searcher, fuse
from retrieval.storage import Store

K = 10
CANDIDATES = 100


class System(Protocol):
    """What is compared. `settings` is one point of its grid."""

    name: str

    def grid(self) -> list[dict[str, int]]:
        """Settings, cheap ones first."""

    def dense(self, vectors: np.ndarray, settings: dict[str, int]) -> np.ndarray:
        """Ids of the 10 nearest of the 100 candidates: int64 (q, 10)."""

    def hybrid(self, texts: Sequence[str], vectors: np.ndarray, settings: dict[str, int]) -> np.ndarray:
        """Ids of the top 10: int64 (q, 10). One query or many at a time."""


@dataclass
class Corpus:
    """Passages as every system gets them: vectors float32 (n, d), title and text in one string."""

    vectors: np.ndarray
    texts: list[str]

    @classmethod
    def of(cls, searcher: Searcher, store: Store) -> "Corpus":
        """All passages of an index, in the order of their ids."""
        blocks, texts = [], []
        for part in searcher.manifest.parts:
            path = Path(store.path(part.vectors.key))
            blocks.append(open_vectors(path, part.rows, searcher.spec.dimension).astype(np.float32))
            table = pq.read_table(store.path(part.passages.key), columns=["title", "text"])
            pairs = zip(table["title"].to_pylist(), table["text"].to_pylist(), strict=True)
            texts += [f"{title} {text}" if title else text for title, text in pairs]
        return cls(np.concatenate(blocks), texts)


class Ours:
    """corpusmill, as the index was built and tuned."""

    name = "corpusmill"

    def __init__(self, searcher: Searcher) -> None:
        self._searcher = searcher

    def grid(self) -> list[dict[str, int]]:
        """As tuned by the build."""
        return [{}]

    def dense(self, vectors: np.ndarray, settings: dict[str, int]) -> np.ndarray:
        """See System."""
        return self._searcher.search_vectors(vectors, CANDIDATES)[1][:, :K]

    def hybrid(self, texts: Sequence[str], vectors: np.ndarray, settings: dict[str, int]) -> np.ndarray:
        """See System."""
        return self._searcher.rank(texts, K, mode="hybrid", rerank="none", vectors=vectors).ids


class Lance:
    """LanceDB embedded: IVF_PQ over the vectors, its own full-text index, its RRFReranker."""

    name = f"LanceDB {version('lancedb')}"

    def __init__(self, corpus: Corpus, folder: Path, threads: int) -> None:
        os.environ["LANCE_LOG"] = os.environ["LANCEDB_LOG"] = "error"  # it warns of every query
        import lancedb

        rows, dimension = corpus.vectors.shape
        self._nlist = max(1, 1 << round(np.log2(rows / 128)))  # partitions of 128: finer than its default
        database = lancedb.connect(folder)
        self._table = database.create_table("passages", data=_batches(corpus))
        self._table.create_index(
            metric="dot", vector_column_name="vector", index_type="IVF_PQ",
            num_partitions=self._nlist, num_sub_vectors=dimension // 8,
        )  # fmt: skip
        self._table.create_fts_index(
            "text", language="English", stem=True, remove_stop_words=True, ascii_folding=True
        )
        self._pool = ThreadPoolExecutor(threads)

    def grid(self) -> list[dict[str, int]]:
        """Lists visited, and how many times 100 codes are re-scored exactly."""
        probes = [round(2 ** (half / 2)) for half in range(4, 2 * int(np.log2(self._nlist)) + 1)]
        return [{"nprobes": nprobe, "refine_factor": refine} for nprobe in probes for refine in (1, 2, 5)]

    def dense(self, vectors: np.ndarray, settings: dict[str, int]) -> np.ndarray:
        """See System."""

        def one(vector: np.ndarray) -> np.ndarray:
            query = self._table.search(vector).metric("dot").limit(CANDIDATES).select(["id"])
            found = query.nprobes(settings["nprobes"]).refine_factor(settings["refine_factor"]).to_arrow()
            return _padded(found["id"].to_numpy())

        return np.stack(list(self._pool.map(one, vectors)))

    def hybrid(self, texts: Sequence[str], vectors: np.ndarray, settings: dict[str, int]) -> np.ndarray:
        """See System. Many queries are spread over threads: there is no batch of hybrid queries."""
        from lancedb.rerankers import RRFReranker

        reranker = RRFReranker()

        def one(text: str, vector: np.ndarray) -> np.ndarray:
            query = self._table.search(query_type="hybrid").vector(vector).text(text).metric("dot")
            query = query.nprobes(settings["nprobes"]).refine_factor(settings["refine_factor"])
            found = query.rerank(reranker).limit(CANDIDATES).select(["id"]).to_arrow()
            return _padded(found["id"].to_numpy())

        if len(texts) == 1:
            return one(texts[0], vectors[0])[None]
        return np.stack(list(self._pool.map(one, texts, vectors)))


class Bm25sFaiss:
    """What one puts together by hand: bm25s and a faiss HNSW graph of float32 vectors, both in memory."""

    name = f"bm25s {version('bm25s')} + faiss {version('faiss-cpu')} HNSW32"

    def __init__(self, corpus: Corpus, threads: int) -> None:
        import bm25s
        import Stemmer

        self._bm25s, self._stemmer, self._threads = bm25s, Stemmer.Stemmer("english"), threads
        self._index = faiss.IndexHNSWFlat(corpus.vectors.shape[1], 32, faiss.METRIC_INNER_PRODUCT)
        self._index.add(corpus.vectors)
        self._lexical = bm25s.BM25(method="lucene", k1=1.2, b=0.75)
        self._lexical.index(self._tokens(corpus.texts), show_progress=False)

    def grid(self) -> list[dict[str, int]]:
        """Width of the search in the graph."""
        return [{"ef_search": width} for width in (100, 128, 160, 200, 256, 320, 400, 512, 768, 1024)]

    def dense(self, vectors: np.ndarray, settings: dict[str, int]) -> np.ndarray:
        """See System."""
        return self._nearest(vectors, settings)[1][:, :K]

    def hybrid(self, texts: Sequence[str], vectors: np.ndarray, settings: dict[str, int]) -> np.ndarray:
        """See System."""
        near = Ranking(*self._nearest(vectors, settings))
        ids, scores = self._lexical.retrieve(
            self._tokens(texts), k=CANDIDATES, show_progress=False,
            n_threads=self._threads if len(texts) > 1 else 0,
        )  # fmt: skip
        there = scores > 0
        words = Ranking(np.where(there, scores, -np.inf), np.where(there, ids, -1).astype(np.int64))
        return fuse(RRF, {"dense": near, "lexical": words}, (1.0, 1.0), {"rrf_k": 60}).ranking(K).ids

    def _nearest(self, vectors: np.ndarray, settings: dict[str, int]) -> tuple[np.ndarray, np.ndarray]:
        parameters = faiss.SearchParametersHNSW(efSearch=settings["ef_search"])
        return self._index.search(vectors, CANDIDATES, params=parameters)

    def _tokens(self, texts: Sequence[str]) -> Any:
        return self._bm25s.tokenize(list(texts), stopwords="en", stemmer=self._stemmer, show_progress=False)


def _batches(corpus: Corpus) -> Iterator[pa.RecordBatch]:
    dimension = corpus.vectors.shape[1]
    for first in range(0, len(corpus.texts), 8192):
        block = corpus.vectors[first : first + 8192]
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(block.reshape(-1)), dimension)
        ids = pa.array(np.arange(first, first + len(block)))
        texts = pa.array(corpus.texts[first : first + len(block)])
        yield pa.record_batch({"id": ids, "vector": vectors, "text": texts})


def _padded(ids: np.ndarray) -> np.ndarray:
    found = np.full(K, -1, np.int64)
    found[: min(K, len(ids))] = ids[:K]
    return found
