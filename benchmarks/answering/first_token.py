"""Answers end to end: a question to `corpusmill serve`, streamed, its first token and its last.

    python benchmarks/answering/first_token.py --index INDEX --queries QUERIES.jsonl [--generator local]

One client, one question at a time, on the cores that serve. Without a generator the answer is extractive: its
first delta is all of it. Tokens/s count from the first token on.
"""

import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.serve.serve import arguments, running, texts_of, words_of
from retrieval.client import Client
from retrieval.results import Answer

PORT = 8000
WARM = 3


def asked(client: Client, question: str) -> tuple[float, float, Answer]:
    """Milliseconds until the first delta and until the whole answer, and the answer."""
    start, first = time.perf_counter(), 0.0
    for delta in client.stream(question):
        first = first or 1000 * (time.perf_counter() - start)
        if isinstance(delta, Answer):
            return first, 1000 * (time.perf_counter() - start), delta
    raise AssertionError("a stream ends with the whole answer or an error")


def spread(times: list[float]) -> str:
    """Of milliseconds."""
    return f"median {np.median(times):.1f} ms, p95 {np.percentile(times, 95):.1f}"


def main() -> None:
    """Start the service, ask, print."""
    parser = arguments(__doc__, 100)
    parser.add_argument("--generator", default="none", help="none or local")
    args = parser.parse_args()
    texts = texts_of(args.queries, args.most + WARM)
    words = [*words_of(args.index, PORT), "--generator", args.generator]
    with running(words, PORT), Client(f"http://127.0.0.1:{PORT}", timeout_s=300) as client:
        found = [asked(client, text) for text in texts][WARM:]
    supported = [one for one in found if one[2].supported]
    print(f"generator {args.generator}: {len(found)} questions, passages support {len(supported)} of them")
    for name, some in (("all", found), ("with support", supported)):
        if some:
            first, whole = (spread([one[place] for one in some]) for place in (0, 1))
            print(f"{name:<13} first token: {first}; whole answer: {whole}")
    stages = {name for one in found for name in one[2].timings_ms}
    for name in sorted(stages):
        times = [one[2].timings_ms[name] for one in supported if name in one[2].timings_ms]
        if times:
            print(f"    {name:<12} median {np.median(times):7.1f} ms")
    speeds = []
    for _, _, answer in supported:
        ms = answer.timings_ms.get("generation", 0) - answer.timings_ms.get("first_token", 0)
        if answer.tokens > 1 and ms > 0:
            speeds.append(1000 * (answer.tokens - 1) / ms)
    if speeds:
        tokens = np.median([answer.tokens for _, _, answer in supported])
        print(f"tokens/s after the first: median {np.median(speeds):.1f}; median answer {tokens:.0f} tokens")


if __name__ == "__main__":
    main()
