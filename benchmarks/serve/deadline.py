"""What it costs that every stage looks whether its time is over: CPU time with and without the looks.

A hybrid search with its query encoder, and 50 pairs of the packaged cross-encoder. Both ways take turns in
one process, question by question, on one thread: its CPU time changes least on a busy machine. "Without"
takes the looks out of the code, not only the deadline away.

    python benchmarks/serve/deadline.py INDEX --rounds 300 --pair-rounds 20
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from synthetic import sentences

from retrieval import deadline as deadlines
from retrieval.deadline import Deadline, within
from retrieval.rerankers import full_text
from retrieval.search import Searcher

PAIRS = 50
BOUND = 0.03
LIMIT_S = 3_600


@contextmanager
def without_looks(models: list[nn.Module]) -> Iterator[None]:
    """Take them out of every module that has them, and out of the models' layers."""
    names = {"look": lambda: None, "hurried": lambda: False}
    held = [
        (module, name, vars(module)[name])
        for module in list(sys.modules.values())
        for name in names
        if vars(module).get(name) is getattr(deadlines, name)
    ]
    hooks = [(part, part._forward_pre_hooks.copy()) for model in models for part in model.modules()]
    try:
        for module, name, _ in held:
            setattr(module, name, names[name])
        for part, _ in hooks:
            part._forward_pre_hooks.clear()
        yield
    finally:
        for module, name, work in held:
            setattr(module, name, work)
        for part, found in hooks:
            part._forward_pre_hooks.update(found)


def compare(
    work: Callable[[int], object], models: list[nn.Module], rounds: int
) -> tuple[float, float, float]:
    """Median CPU milliseconds with looks and without, and the median of their ratios, less one."""
    times = np.empty((rounds, 2))

    def timed(number: int) -> float:
        work(number)  # taking looks out or putting them back empties the caches
        start = time.process_time()
        work(number)
        return 1000 * (time.process_time() - start)

    for number in range(-2, rounds):  # the first two are not counted
        ways = (0, 1) if number % 2 else (1, 0)
        for way in ways:
            if way:
                with without_looks(models):
                    times[number, 1] = timed(number)
            else:
                with within(Deadline.after(LIMIT_S)):
                    times[number, 0] = timed(number)
    with_looks, plain = np.median(times, axis=0).tolist()
    return with_looks, plain, float(np.median(times[:, 0] / times[:, 1])) - 1


def main() -> None:
    """Measure and print; the exit status is 1 where the looks cost more than the bound."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("index")
    parser.add_argument("--rounds", type=int, default=300, help="hybrid searches each way")
    parser.add_argument("--pair-rounds", type=int, default=20, help="re-rankings each way")
    options = parser.parse_args()
    queries = sentences(2_000)
    with Searcher.open(options.index, threads=1) as searcher:
        best = searcher(queries[0], mode="dense").hits[0]
        text = full_text(best.title, best.text)
        models = [side.transformer for side in searcher.models.encoder._sides.values()]
        works: dict[str, tuple[Callable[[int], object], int]] = {
            "hybrid search": (
                lambda number: searcher(queries[number % len(queries)], mode="hybrid", rerank="none"),
                options.rounds,
            ),
            f"{PAIRS} pairs": (
                lambda number: searcher.models.cross_scores(
                    [(query, text) for query in queries[abs(number) : abs(number) + PAIRS]]
                ),
                options.pair_rounds,
            ),
        }
        worst = 0.0
        for name, (work, rounds) in works.items():
            with_looks, plain, cost = compare(work, models, rounds)
            worst = max(worst, cost)
            told = f"{with_looks:8.2f} ms with looks, {plain:8.2f} ms without: {100 * cost:+.2f} %"
            print(f"{name:16} {told}", flush=True)
    sys.exit(worst > BOUND)


if __name__ == "__main__":
    main()
