"""Answer recall on open questions: build an index over passages, then test hybrid against both its halves.

    python benchmarks/answering/openqa.py --corpus corpus-00.parquet --questions nq_dpr_dev.jsonl
        --work FOLDER

The corpus holds `_id`, `title`, `text`, one passage a record, so nothing is chunked. The build goes on where
it stopped. Ends with status 1 unless hybrid's answer recall@20 is significantly above dense and lexical.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
HALVES = {"dense", "lexical"}


def corpusmill(*words: object) -> str:
    """Run the command line; its standard output."""
    command = [sys.executable, "-m", "jobs", *map(str, words)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT).stdout


def main() -> None:
    """Build, evaluate, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", type=Path, nargs="+", required=True, help="Parquet or JSONL of passages")
    parser.add_argument("--questions", type=Path, required=True, help="JSONL with question and answers")
    parser.add_argument("--work", type=Path, required=True, help="folder of the index and its configuration")
    parser.add_argument("--sample", type=int, default=2000, help="questions, drawn with a fixed seed")
    parser.add_argument("--stages", default="dense_exact,dense,lexical,hybrid")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    config = {
        "corpus": {"paths": [str(path.resolve()) for path in args.corpus]},
        "index": {"path": str((args.work / "index").resolve())},
        "chunk": {"method": "none"},
        "dense": {"type": "ivf_pq"},
    }
    path = (args.work / "build.yaml").resolve()
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    built = json.loads(corpusmill("build", path, "--json"))
    found = json.loads(
        corpusmill(
            "evaluate", path, "--queries", args.questions.resolve(), "--sample", args.sample,
            "--stages", args.stages, "--json",
        )
    )  # fmt: skip
    print(found["summary"])
    print(f"{built['passages']:,} passages, {found['queries']:,} questions, {built['dense']}")
    for name, values in found["stages"].items():
        print(
            f"{name:<18} answer recall@20 {values['answer_recall@20']:.4f}, @100 "
            f"{values['answer_recall@100']:.4f}, {values['queries_per_second']:.0f} queries/s"
        )
    for test in found["significance"]["comparisons"]:
        print(
            f"{test['stage']} - {test['against']}: {test['difference']:+.4f}, p = {test['p']:.2g}, corrected "
            f"{test['p_corrected']:.2g}"
        )
    above = {
        test["against"]
        for test in found["significance"]["comparisons"]
        if test["stage"] == "hybrid" and test["significant"] and test["difference"] > 0
    }
    if not above >= HALVES:
        sys.exit(f"hybrid is not significantly above {' and '.join(sorted(HALVES - above))}")


if __name__ == "__main__":
    main()
