"""Late interaction: milliseconds of MaxSim from stored codes on one core, and what the codes cost in quality.

Speed: 100 candidates of 150 tokens for a query of 32 tokens, at 128 and at 384 dimensions, over random
vectors; the contenders take turns in one process. Our kernel reads codes through tables; the others decode
(our codec, FAISS's standalone codec) and multiply (numpy, sentence-transformers' maxsim).

Quality (--beir FOLDER): nDCG@10 of the top 50 of exact dense search, re-ranked by MaxSim alone, with token
vectors as they are and from codes; the codec is trained on a sample of the corpus as the build does.

    python benchmarks/search/maxsim.py --beir SCIFACT --json maxsim.json
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import faiss
import ir_measures
import numpy as np
import torch
from sentence_transformers.util import maxsim as library_maxsim

from retrieval.models.encoders import Encoder
from retrieval.models.late_interaction import (
    TokenEncoder,
    TokenVectors,
    maxsim,
    open_token_encoder,
    ragged_offsets,
)
from retrieval.settings import LateInteractionSettings, ModelSettings
from retrieval.token_codes import ShardTokens, TokenCodec, write_tokens

CANDIDATES, TOKENS, QUERY_TOKENS = 100, 150, 32
STORED = 400  # passages of the stored shard, so that candidates lie apart
DEPTH = 50
TRAIN_TOKENS = 150_000
AT_ONCE = 256


def unit(vectors: np.ndarray) -> np.ndarray:
    """Rows scaled to length 1, float32."""
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def speed(dimension: int, rounds: int) -> dict[str, float]:
    """Median milliseconds of each contender on one core."""
    rng = np.random.default_rng(0)
    centres = unit(rng.standard_normal((4_000, dimension)))
    vectors = unit(
        centres[rng.integers(0, len(centres), STORED * TOKENS)]
        + 0.7 * unit(rng.standard_normal((STORED * TOKENS, dimension)))
    )
    query = unit(rng.standard_normal((QUERY_TOKENS, dimension)))
    codec = TokenCodec.train(vectors, nlist=1024)
    codes = codec.encode(vectors)
    faiss_codec = faiss.index_factory(dimension, f"IVF{codec.nlist},PQ{codec.groups}x8")
    faiss_codec.train(vectors)
    faiss_codes = faiss_codec.sa_encode(vectors)
    offsets = ragged_offsets(np.full(STORED, TOKENS))
    rows = np.sort(rng.choice(STORED, CANDIDATES, replace=False))
    own = (rows[:, None] * TOKENS + np.arange(TOKENS)).reshape(-1)
    whole = TokenVectors(vectors, offsets).take(rows)

    def by_numpy(decoded: np.ndarray) -> np.ndarray:
        products = decoded @ query.T
        return products.reshape(CANDIDATES, TOKENS, QUERY_TOKENS).max(axis=1).sum(axis=1)

    def by_library(decoded: np.ndarray) -> np.ndarray:
        documents = list(torch.from_numpy(decoded).view(CANDIDATES, TOKENS, dimension))
        return library_maxsim([torch.from_numpy(query)], documents)[0].numpy()

    with tempfile.TemporaryDirectory() as folder:
        write_tokens(Path(folder), codes, offsets)
        shard = ShardTokens([Path(folder)], [STORED], codec)
        contenders: dict[str, Callable[[], np.ndarray]] = {
            "codes, by tables (ours)": lambda: shard.scores(query, rows),
            "codes decoded by us, numpy": lambda: by_numpy(codec.decode(codes[own])),
            "codes decoded by FAISS, numpy": lambda: by_numpy(faiss_codec.sa_decode(faiss_codes[own])),
            "codes decoded by FAISS, sentence-transformers": lambda: by_library(
                faiss_codec.sa_decode(faiss_codes[own])
            ),
            "vectors as they are (ours)": lambda: maxsim(query, whole),
            "vectors as they are, sentence-transformers": lambda: by_library(whole.vectors),
        }
        return timed(contenders, rounds)


def timed(contenders: dict[str, Callable[[], np.ndarray]], rounds: int) -> dict[str, float]:
    """Median milliseconds; the contenders take turns."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds + 3):
        for name, run in contenders.items():
            began = time.perf_counter()
            run()
            if number >= 3:
                seconds[name].append(time.perf_counter() - began)
    return {name: round(1e3 * statistics.median(values), 2) for name, values in seconds.items()}


def read_beir(folder: Path) -> tuple[dict[str, tuple[str, str]], dict[str, str], list[ir_measures.Qrel]]:
    """Corpus (id -> title, text), the queries of the test split, and its judgements."""
    corpus = {}
    for line in (folder / "corpus.jsonl").read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        corpus[entry["_id"]] = (entry.get("title", ""), entry["text"])
    rows = [line.split("\t") for line in (folder / "qrels" / "test.tsv").read_text().splitlines()[1:]]
    qrels = [ir_measures.Qrel(query, document, int(grade)) for query, document, grade in rows]
    wanted = {qrel.query_id for qrel in qrels}
    lines = (folder / "queries.jsonl").read_text(encoding="utf-8").splitlines()
    queries = {entry["_id"]: entry["text"] for entry in map(json.loads, lines) if entry["_id"] in wanted}
    return corpus, queries, qrels


def quality(folder: Path, settings: LateInteractionSettings, embedding: ModelSettings) -> dict[str, float]:
    """nDCG@10 by kind of token vectors, bytes a token, and tokens encoded a second."""
    corpus, queries, qrels = read_beir(folder)
    ids, query_ids = list(corpus), list(queries)
    titles, texts = zip(*corpus.values(), strict=True)
    dense = Encoder.open(embedding)
    products = dense.encode_queries(list(queries.values())) @ dense.encode_passages(titles, texts).T
    order = np.argsort(-products, axis=1, kind="stable")[:, :DEPTH]
    encoder = open_token_encoder(settings, embedding)
    query_vectors = encoder.encode_queries(list(queries.values()))
    used = np.unique(order)
    began = time.perf_counter()
    plain = encode(encoder, titles, texts, used)
    seconds = time.perf_counter() - began
    rng = np.random.default_rng(settings.seed)
    sample = np.sort(rng.permutation(len(ids))[: TRAIN_TOKENS // 64])
    training = encode(encoder, titles, texts, sample).vectors
    training = training[np.sort(rng.permutation(len(training))[:TRAIN_TOKENS])]
    codec = TokenCodec.train(training, nlist=settings.nlist, code_bytes=settings.code_bytes)
    decoded = TokenVectors(codec.decode(codec.encode(plain.vectors)), plain.offsets)

    def rerank(passages: TokenVectors) -> list[ir_measures.ScoredDoc]:
        run = []
        for number, query in enumerate(query_vectors):
            scores = maxsim(query, passages.take(np.searchsorted(used, order[number])))
            run += [
                ir_measures.ScoredDoc(query_ids[number], ids[row], float(score))
                for row, score in zip(order[number], scores, strict=True)
            ]
        return run

    first = [
        ir_measures.ScoredDoc(query_ids[number], ids[row], float(products[number, row]))
        for number in range(len(query_ids))
        for row in order[number]
    ]
    runs = {"dense": first, "uncompressed": rerank(plain), "codes": rerank(decoded)}
    measure = ir_measures.nDCG @ 10
    found = {name: ir_measures.calc_aggregate([measure], qrels, run)[measure] for name, run in runs.items()}
    return {
        **{f"nDCG@10 {name}": round(value, 4) for name, value in found.items()},
        "bytes a token": codec.code_bytes,
        "tokens a passage": round(len(plain.vectors) / len(plain), 1),
        "passages encoded a second": round(len(plain) / seconds, 1),
    }


def encode(encoder: TokenEncoder, titles: tuple, texts: tuple, rows: np.ndarray) -> TokenVectors:
    """Token vectors of some passages."""
    pieces = [
        encoder.encode_passages([titles[row] for row in part], [texts[row] for row in part])
        for part in np.split(rows, range(AT_ONCE, len(rows), AT_ONCE))
    ]
    counts = np.concatenate([np.diff(piece.offsets) for piece in pieces])
    return TokenVectors(np.concatenate([piece.vectors for piece in pieces]), ragged_offsets(counts))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--beir", type=Path, help="folder with corpus.jsonl, queries.jsonl, qrels/test.tsv")
    parser.add_argument("--model", help="ColBERT checkpoint or encoder; default: the packaged one")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--no-speed", action="store_true", help="measure quality alone")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    options = parser.parse_args()
    report: dict[str, dict[str, float]] = {}
    if not options.no_speed:
        torch.set_num_threads(1)
        faiss.omp_set_num_threads(1)
        for dimension in (128, 384):
            report[f"{dimension} dimensions, ms on one core"] = speed(dimension, options.rounds)
    if options.beir:
        threads = len(os.sched_getaffinity(0))
        torch.set_num_threads(threads)
        faiss.omp_set_num_threads(threads)
        model = ModelSettings(name=options.model) if options.model else None
        report["quality"] = quality(options.beir, LateInteractionSettings(model=model), ModelSettings())
    for title, rows in report.items():
        print(title)
        for name, value in rows.items():
            print(f"  {name:48} {value:>10}")
    for title, rows in report.items():
        if title.endswith("core"):
            values = list(rows.values())
            print(
                f"{title}: tables {min(values[1:4]) / values[0]:.1f} times as fast as the best that decodes"
            )
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
