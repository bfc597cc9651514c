"""The table of answers: citations, what is not answered, questions of two hops, and decodings.

    python benchmarks/answers.py --work FOLDER --squad BEIR [--entityq BEIR CORPUS ...]
        [--hotpotqa BEIR CORPUS ...] [--rows citations,abstention,hops,decodings]

Folders are in BEIR layout; queries have answers, EntityQuestions' also subject and relation; its corpus and
that of HotpotQA are named beside, and made smaller by `benchmarks/answering/pool.py`. Everything is built and
asked by the command line, with all-MiniLM-L6-v2 and Gemma 3 270M, and kept in FOLDER: the same command goes
on where it was interrupted. `--before FILE` is an earlier run of the abstention set, which is then tested
against. The slower decodings are asked --slow-questions. Seconds are of one question at a time.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from pipelines.judged import read_beir

ROOT = Path(__file__).resolve().parents[1]
MODEL = "all-MiniLM-L6-v2"
SHOWN = (
    "exact_match",
    "f1",
    "holds",
    "answer_recall",
    "supporting_all",
    "citation_precision",
    "citation_recall",
)


def run(*words: object) -> str:
    """Run one of our scripts or commands; its standard output."""
    command = [sys.executable, *map(str, words)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT).stdout


def built(work: Path, name: str, corpus: Path) -> Path:
    """The index over a corpus, built where it is not."""
    config = work / f"{name}.yaml"
    values = {
        "corpus": {"paths": [str(corpus.resolve())]},
        "index": {"path": str((work / name).resolve())},
        "model": {"name": MODEL},
    }
    config.write_text(yaml.safe_dump(values), encoding="utf-8")
    run("-m", "jobs", "build", config, "--json")
    return work / name


def evaluated(title: str, index: Path, questions: Path, runs: Path, *more: object) -> dict[str, Any]:
    """Ask, and print the rows of the table."""
    found = json.loads(
        run("-m", "jobs", "evaluate", index, "--answers", questions, "--runs", runs, *more, "--json")
    )
    print(f"\n### {title}\n\n{found['questions']['count']:,} questions\n", flush=True)
    names = [name for name in SHOWN if any(name in one["measures"] for one in found["runs"].values())]
    curve = [name for name in ("risk_at_70", "aurc") if any(name in one for one in found["runs"].values())]
    print("| | " + " | ".join([*names, "answered", *curve, "s, median"]) + " |")
    print("| --- |" + " --- |" * (len(names) + len(curve) + 2))
    for way, one in found["runs"].items():
        values = [one["measures"].get(name, {}).get("mean") for name in names]
        values += [one["answered"], *(one.get(name) for name in curve)]
        told = ["" if value is None else f"{value:.3f}" for value in values]
        print("| " + " | ".join([way, *told, f"{one['seconds']['median']:.2f}"]) + " |")
    for one in found["differences"]:
        mark = ", real" if one["significant"] else ""
        print(
            f"- {one['measure']}: {one['run']} - {one['against']} {one['mean']:+.3f} (p {one['p']:.2g}{mark})"
        )
    sys.stdout.flush()
    return found


def decodings(args: argparse.Namespace) -> None:
    """Every way to decode against `prompt`, over the same passages."""
    index = built(args.work, "squad", args.squad / "corpus.jsonl")
    for title, ways, most in (
        ("Decodings, SQuAD, four passages", ["prompt", "token"], args.questions),
        ("All decodings, SQuAD, four passages",
         ["prompt", "sequence-fast", "sequence", "active"], args.slow_questions),
    ):  # fmt: skip
        chosen = [word for way in ways for word in ("--decode", way)]
        more = ("--generator", "local", *chosen, "--k", 4, "--sample", most)
        evaluated(title, index, args.squad, args.work / f"decodings-{len(ways)}", *more)


def hops(args: argparse.Namespace) -> None:
    """Two searches of five passages against one of ten, and active retrieval beside."""
    for name, given in (("entityq", args.entityq), ("hotpotqa", args.hotpotqa)):
        if not given:
            continue
        folder, corpus = given[0], args.work / f"{name}.jsonl"
        questions = args.work / f"{name}-questions.jsonl"
        if not corpus.exists():
            run("benchmarks/answering/pool.py", folder, *given[1:], "--out", corpus)
        if name == "entityq":
            run("benchmarks/answering/two_hops.py", folder, "--out", questions)
        else:
            questions.write_text("".join(judged_lines(folder)), encoding="utf-8")
        index, runs = built(args.work, f"{name}-index", corpus), args.work / f"{name}-runs"
        evaluated(f"{name}: one search, ten passages", index, questions, runs / "one", "--k", 10)
        against = ("--against", runs / "one" / "prompt.jsonl")
        evaluated(f"{name}: two hops", index, questions, runs / "two", "--k", 5, "--hops", 2, *against)
        more = ("--generator", "local", "--decode", "prompt", "--decode", "active", "--k", 5)
        evaluated(
            f"{name}: while writing",
            index,
            questions,
            runs / "active",
            *more,
            "--sample",
            args.slow_questions,
        )


def judged_lines(folder: Path) -> Iterator[str]:
    """Questions of a folder with the documents that they need, without answers."""
    found = read_beir(folder, "test")
    for one in found.queries:
        documents = [name for name, grade in found.qrels.get(one.query_id, {}).items() if grade > 0]
        yield json.dumps({"id": one.query_id, "question": one.text, "documents": documents}) + "\n"


def citations(args: argparse.Namespace) -> None:
    """What default answers cite, against the paragraph that the question was asked about."""
    index = built(args.work, "squad", args.squad / "corpus.jsonl")
    evaluated(
        "Citations of default answers, SQuAD", index, args.squad, args.work / "citations",
        "--sample", args.questions,
    )  # fmt: skip


def abstention(args: argparse.Namespace) -> None:
    """Half of the questions have no answer in the index."""
    out = args.work / "left_out"
    run("benchmarks/answering/left_out.py", args.squad, "--out", out, "--most", args.questions)
    index = built(args.work, "left_out_index", out / "corpus.jsonl")
    against = ("--against", args.before) if args.before else ()
    evaluated(
        "Half of the articles are left out",
        index,
        out / "questions.jsonl",
        args.work / "abstention",
        *against,
    )


ROWS = {"citations": citations, "abstention": abstention, "hops": hops, "decodings": decodings}


def main() -> None:
    """Make the rows that are asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--squad", type=Path, required=True)
    parser.add_argument("--entityq", type=Path, nargs="+")
    parser.add_argument("--hotpotqa", type=Path, nargs="+")
    parser.add_argument("--rows", default=",".join(ROWS))
    parser.add_argument("--questions", type=int, default=500)
    parser.add_argument("--slow-questions", type=int, default=200)
    parser.add_argument("--before", type=Path)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    for name in args.rows.split(","):
        if name not in ROWS:
            parser.error(f"--rows is of {', '.join(ROWS)}, not {name}")
        ROWS[name](args)


if __name__ == "__main__":
    main()
