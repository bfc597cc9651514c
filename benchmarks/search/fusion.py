"""Fusions beside each other over judged collections, in one run: nDCG@10 with paired tests, and milliseconds.

    python benchmarks/search/fusion.py INDEX=BEIR [INDEX=BEIR ...] [--sample N]

The halves and the candidates are the same for all; what differs is how two lists become one. A significant
difference from reciprocal ranks, or from the better half, is marked (+ or -). Times are of single queries
whose vectors are known, the fusions taking turns query by query.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from jobs.evaluation.measuring import ALPHA, document_measures, holm, randomisation_test
from jobs.evaluation.ranking import rank_queries
from jobs.evaluation.stages import Stage
from pipelines.judged import Dataset, read_beir
from retrieval.fusions import FUSIONS
from retrieval.search import Searcher

MEASURE = "nDCG@10"
TIMED = 200  # queries


def quality(index: str, dataset: Dataset) -> dict[str, np.ndarray]:
    """The measure by query (q,), of the halves and of every fusion."""
    found = {}
    with Searcher.open(index) as searcher:
        own = searcher.settings
        for name in ("dense", "lexical", *FUSIONS):
            mode = "hybrid" if name in FUSIONS else name
            searcher.settings = own.model_copy(update={"fusion": name if name in FUSIONS else own.fusion})
            stage = Stage(name, mode)  # type: ignore[arg-type]
            ranked = rank_queries(searcher, stage, dataset.queries, documents=True)
            values = document_measures(dataset.queries, dataset.qrels, ranked.documents)
            found[name] = values[MEASURE]
    return found


def milliseconds(index: str, dataset: Dataset) -> dict[str, float]:
    """Median of a hybrid search by fusion, encoding excluded."""
    queries = [query.text for query in dataset.queries[:TIMED]]
    times: dict[str, list[float]] = {name: [] for name in FUSIONS}
    with Searcher.open(index) as searcher:
        vectors = searcher.encode(queries)
        settings = {name: searcher.settings.model_copy(update={"fusion": name}) for name in FUSIONS}
        for first in (True, False):
            for place, query in enumerate(queries):
                for name in FUSIONS:
                    began = time.perf_counter()
                    searcher.batch([query], 10, vectors=vectors[[place]], settings=settings[name])
                    if not first:  # the first time maps files
                        times[name].append(time.perf_counter() - began)
    return {name: 1000 * float(np.median(spent)) for name, spent in times.items()}


def marks(values: dict[str, np.ndarray]) -> dict[str, str]:
    """By fusion, how it differs from reciprocal ranks and from the better half; corrected together (Holm)."""
    better = max(("dense", "lexical"), key=lambda name: float(values[name].mean()))
    pairs = [(name, other) for name in FUSIONS for other in ("rrf", better) if name != other]
    differences = [values[name] - values[other] for name, other in pairs]
    corrected = holm([randomisation_test(difference) for difference in differences])
    found = dict.fromkeys(FUSIONS, "")
    for (name, _other), difference, p in zip(pairs, differences, corrected, strict=True):
        found[name] += "." if p >= ALPHA else "+" if difference.mean() > 0 else "-"
    return found


def main() -> None:
    """A row a collection, and the means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("collections", nargs="+", metavar="INDEX=BEIR")
    parser.add_argument("--sample", type=int, help="queries of each, drawn with a fixed seed")
    asked = parser.parse_args()
    names = ["dense", "lexical", *FUSIONS]
    print(f"{'collection':<20}{'queries':>8}" + "".join(f"{name:>14}" for name in names) + "   ms")
    rows = []
    for entry in asked.collections:
        index, _, folder = entry.partition("=")
        dataset = read_beir(Path(folder))
        dataset = dataset.sample(asked.sample) if asked.sample else dataset
        values, spent = quality(index, dataset), milliseconds(index, dataset)
        signs = marks(values)
        rows.append([float(values[name].mean()) for name in names])
        cells = [f"{mean:.4f}{signs.get(name, ''):<2}" for name, mean in zip(names, rows[-1], strict=True)]
        times = ", ".join(f"{name} {value:.2f}" for name, value in spent.items())
        line = f"{Path(folder).name:<20}{len(dataset.queries):>8,}" + "".join(f"{cell:>14}" for cell in cells)
        print(f"{line}   {times}", flush=True)
    if len(rows) > 1:
        print(f"{'mean':<28}" + "".join(f"{value:>12.4f}  " for value in np.mean(rows, axis=0)))
    print("after a figure: against rrf, then against the better half; + or - is significant, . is not")


if __name__ == "__main__":
    main()
