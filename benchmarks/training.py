"""What training gains: before and after on the same queries, with tests, seconds a step and memory.

    python benchmarks/training.py --index INDEX --beir FOLDER --work FOLDER [--methods query,shared,colbert]
        [--seeds 0,1,2] [--set training.epochs=3 ...]

INDEX is built over the collection of FOLDER, which has the splits train and test. The query tower is compared
on a version of a copy of the index that embeds nothing again; the others are embedded again. Figures are of
the seed with the median gain on test queries with unseen positives, where there are any, else on all. Ends
with status 1 where that gain is negative and significant.
"""

import argparse
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import yaml

ROOT = Path(__file__).resolve().parents[1]
METHODS = {
    "query": ("dpr", {"towers": "query"}),
    "shared": ("dpr", {"towers": "shared"}),
    "both": ("dpr", {"towers": "both"}),
    "colbert": ("colbert", {}),
    "rag": ("rag", {"towers": "query"}),  # of benchmarks/training_rag.py
}
STAGES = {"colbert": "late_interaction"}


def corpusmill(*words: object) -> Any:
    """Run the command line; what it prints as JSON."""
    command = [sys.executable, "-m", "jobs", *map(str, words), "--json"]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT).stdout)


class Peak:
    """The most memory that all processes below this one held at once, looked at every half second."""

    def __init__(self) -> None:
        self.bytes = 0

    def watch(self, process: subprocess.Popen[str]) -> None:
        """Until the process ends."""
        while process.poll() is None:
            found = 0
            for one in psutil.Process(process.pid).children(recursive=True):
                try:
                    if "RayTrainWorker" in " ".join(one.cmdline()):
                        found += one.memory_info().rss
                except psutil.Error:
                    continue
            self.bytes = max(self.bytes, found)
            time.sleep(0.5)


def place_settings(config: dict[str, Any], entries: list[str]) -> None:
    """Put `key=value` of the command line into a configuration."""
    for entry in entries:
        key, _, value = entry.partition("=")
        *sections, name = key.split(".")
        place = config
        for section in sections:
            place = place.setdefault(section, {})
        place[name] = yaml.safe_load(value)


def trained(method: str, config: dict[str, Any], work: Path) -> dict[str, Any]:
    """Train; the outcome with seconds and memory."""
    kind, own = METHODS[method]
    path = work / "train.yaml"
    path.write_text(yaml.safe_dump({**config, **own, "output": str(work / "out")}))
    peak, began = Peak(), time.monotonic()
    command = [sys.executable, "-m", "jobs", "train", kind, str(path), "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    peak.watch(process)
    output, _ = process.communicate()
    if process.returncode:
        sys.exit(f"training {method} failed")
    lines = [json.loads(line) for line in (work / "out/metrics.jsonl").read_text().splitlines()]
    rate = [line["steps_per_second"] for line in lines if "steps_per_second" in line][-1]
    return {**json.loads(output), "seconds": time.monotonic() - began, "step": 1 / rate, "peak": peak.bytes}


def build_config(index: Path, target: Path, models: dict[str, str], method: str) -> Path:
    """The configuration that `index` was built with, for `target` and the trained model."""
    manifests = sorted((index / "versions").glob("*.json"))
    config = json.loads(manifests[-1].read_text())["config"]
    config["index"]["path"] = str(target)
    if method == "colbert":
        config.setdefault("late_interaction", {})["model"] = {"name": models["name"]}
    else:
        config["model"] = {**config["model"], **models}
    path = target.with_suffix(".yaml")
    path.write_text(yaml.safe_dump(config))
    return path


def measured(method: str, args: argparse.Namespace, seed: int) -> dict[str, Any]:
    """One training, and before and after, if they are asked for."""
    work = args.work / f"{method}-{seed}"
    work.mkdir(parents=True, exist_ok=True)
    config: dict[str, Any] = {"index": {"path": str(args.index)}, "examples": {"beir": str(args.beir)}}
    config["training"] = {"seed": seed}
    place_settings(config, args.set)
    found = trained(method, config, work)
    if args.speed:
        return found
    target = work / "index"
    if method in ("query", "colbert") and not target.exists():
        shutil.copytree(args.index, target)  # vectors stay
    began = time.monotonic()
    corpusmill("build", build_config(args.index, target, found["models"], method))
    found["build_seconds"] = time.monotonic() - began
    stages = "hybrid,late_interaction" if method == "colbert" else "dense,hybrid"
    found["compared"] = corpusmill(
        "evaluate", args.index, "--compare", args.index, target, "--beir", args.beir, "--stages", stages
    )
    return found


def rows(method: str, found: dict[str, Any]) -> list[str]:
    """Lines of the table."""
    before, after = found["compared"]["compared"].values()
    lines = []
    for one in next(iter(found["compared"]["differences"].values())):
        stage, measure = one["stage"], one["measure"]
        if measure != found["compared"]["measure"]:
            continue
        for part in after["positives"] or ["all"]:
            pair = [value_of(side, stage, measure, part) for side in (before, after)]
            cells = [method, stage, part, *(f"{value:.4f}" for value in pair), f"{one['p']:.2g}"]
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def value_of(side: dict[str, Any], stage: str, measure: str, part: str) -> float:
    """The measure of a stage over seen, unseen, or all queries."""
    if side["positives"]:
        return float(side["positives"][part]["stages"][stage])
    return float(side["stages"][stage][measure])


def deciding(method: str, found: dict[str, Any]) -> dict[str, Any]:
    """The difference of the method's own stage."""
    stage = STAGES.get(method, "dense")
    return next(
        one
        for own in found["compared"]["differences"].values()
        for one in own
        if one["stage"] == stage and one["measure"] == found["compared"]["measure"]
    )


def main() -> None:
    """Train, compare, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--index", type=Path, required=True)
    parser.add_argument("--beir", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--methods", default="query,shared,colbert")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--speed", action="store_true", help="seconds a step and memory alone")
    parser.add_argument("--set", action="append", default=[], help="key of the configuration and its value")
    args = parser.parse_args()
    args.work, args.index, args.beir = (path.resolve() for path in (args.work, args.index, args.beir))
    if args.speed:
        for method in args.methods.split(","):
            one = measured(method, args, int(args.seeds.split(",")[0]))
            print(
                f"{method}: {one['step']:.2f} s a step, workers held {one['peak'] / 1e9:.1f} GB", flush=True
            )
        return
    print("| method | stage | positives | before | after | p |\n| --- | --- | --- | --- | --- | --- |")
    worse = []
    for method in args.methods.split(","):
        found = [measured(method, args, int(seed)) for seed in args.seeds.split(",")]
        found.sort(key=lambda one: deciding(method, one)["difference"])
        middle = found[len(found) // 2]
        print("\n".join(rows(method, middle)), flush=True)
        gains = ", ".join(f"{deciding(method, one)['difference']:+.4f}" for one in found)
        print(
            f"{method}: {middle['seconds']:.0f} s in all, {middle['step']:.2f} s a step, workers held "
            f"{middle['peak'] / 1e9:.1f} GB; the new version took {middle['build_seconds']:.0f} s; "
            f"gains of the seeds {gains}",
            file=sys.stderr,
        )
        if deciding(method, middle)["difference"] < 0 and deciding(method, middle)["significant"]:
            worse.append(method)
    if worse:
        sys.exit(f"significantly worse: {', '.join(worse)}")


if __name__ == "__main__":
    main()
