"""The peer of `benchmarks/build/index.py`: autofaiss builds and searches in its own environment.

It imports nothing of this project. Its environment: `numpy<2 pyarrow<18 faiss-cpu==1.8.0
autofaiss==2.18 packaging` (newer NumPy or pyarrow break autofaiss 2.18).
"""

import json
import sys
import time
from pathlib import Path

import faiss
import numpy as np
from autofaiss import build_index


def say(event: str, **values: object) -> None:
    """A line for the parent process."""
    print(json.dumps({"event": event, **values}), flush=True)


def main() -> None:
    """Arguments: folder with vectors, queries.npy, memory such as 9MB, threads, folder for results."""
    vectors, queries_path, memory, threads, out = sys.argv[1:6]
    faiss.omp_set_num_threads(int(threads))
    say("ready")
    sys.stdin.readline()
    start = time.perf_counter()
    index, _ = build_index(
        embeddings=vectors, index_path=f"{out}/knn.index", index_infos_path=f"{out}/infos.json",
        max_index_memory_usage=memory, current_memory_available="8G", metric_type="ip",
        nb_cores=int(threads), verbose=40,
    )  # fmt: skip
    seconds = time.perf_counter() - start
    size = Path(f"{out}/knn.index").stat().st_size
    infos = json.loads(Path(f"{out}/infos.json").read_text())
    say(
        "built", build_seconds=seconds, index_bytes=size, index=infos["index_key"], tuned=infos["index_param"]
    )
    queries = np.ascontiguousarray(np.load(queries_path), np.float32)
    index.search(queries[:32], 100)
    for k, name in ((10, "top"), (100, "shortlist")):
        start = time.perf_counter()
        _, rows = index.search(queries, k)
        say("searched", **{f"{name}_seconds": time.perf_counter() - start})
        np.save(f"{out}/{name}.npy", rows)


if __name__ == "__main__":
    main()
