"""Writes the model of a training: folders that others load, a card, and the lines that name them."""

import json
import shutil
from pathlib import Path
from typing import Any

from pipelines.training.examples import REPORT, TRAIN, local_copy, read_examples
from pipelines.training.settings import TrainConfig
from retrieval.format import Manifest
from retrieval.storage import Store

OUTCOME = "outcome.json"
SEEN = "trained_on.txt"  # groups of the positives that a model was trained with, one a line


def export(
    method: Any, config: TrainConfig, kind: str, manifest: Manifest, outcome: dict[str, Any], scratch: Path
) -> dict[str, Any]:
    """Write the models to `model/` of the output; where they lie, and the lines of a configuration."""
    output = Store(config.output)
    folder = scratch / "export"
    folder.mkdir()
    named = method.export(folder)
    seen = _seen(local_copy(output, TRAIN, scratch))
    report = output.read_json(REPORT) or {}
    card = _card(config, kind, manifest, outcome, report)
    for name in set(named.values()):
        (folder / name / "README.md").write_text(card, encoding="utf-8")
        if name != "generator":
            group = f"# {config.examples.group}\n"
            (folder / name / SEEN).write_text(group + "".join(f"{one}\n" for one in seen), encoding="utf-8")
    _upload(folder, output)
    places = {key: output.path(f"model/{name}") for key, name in named.items()}
    return {"models": places, "configuration": _lines(kind, manifest, places)}


def _seen(examples: Path) -> list[str]:
    """Groups of the positives, without line ends: no two of them become one by it but in odd corpora."""
    return sorted({" ".join(example.group.split()) for example in read_examples(examples)})


def _upload(folder: Path, output: Store) -> None:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with output.writing(f"model/{path.relative_to(folder).as_posix()}") as write:
                shutil.copyfile(path, write.path)


def _lines(kind: str, manifest: Manifest, places: dict[str, str]) -> list[str]:
    """What to write into the configuration of a build, or of a service."""
    lines = []
    encoders = {key: value for key, value in places.items() if key != "generator"}
    if encoders:
        if kind == "colbert":
            lines.append(f"late_interaction: {{model: {{name: {places['name']}}}}}")
        else:
            named = {"name": manifest.model["settings"]["name"], **encoders}
            lines.append("model: {" + ", ".join(f"{key}: {value}" for key, value in named.items()) + "}")
    if "generator" in places:
        lines.append(f"generation: {{kind: local, model: {places['generator']}}}")
    return lines


def _card(
    config: TrainConfig, kind: str, manifest: Manifest, outcome: dict[str, Any], report: dict[str, Any]
) -> str:
    """The model card, in Markdown: data, split, measure, seed, and what made it."""
    own = config.examples
    source = own.beir or own.questions or own.clicks or f"{own.titles:,} titles of the index"
    rows = {
        "Method": f"corpusmill train {kind} ({config.towers})"
        if kind == "dpr"
        else f"corpusmill train {kind}",
        "Began as": config.model.name if config.model else manifest.model["settings"]["name"],
        "Index": f"version {manifest.version}, {manifest.passages:,} passages, {manifest.fingerprint}",
        "Data": f"{Path(str(source)).name}, split {own.split}; {report.get('train')} examples",
        "Dev": f"{report.get('dev')} examples, no {own.group} of theirs in train",
        "Measure": f"{outcome['measure']} {outcome['best']:.4f} at step {outcome['best_step']} of "
        f"{outcome['steps']}; untrained {outcome['untrained'][outcome['measure']]:.4f}",
        "Seeds": f"examples {own.seed}, steps {config.training.seed}",
        "corpusmill": manifest.corpusmill,
    }
    table = "\n".join(f"| {name} | {_cell(value)} |" for name, value in rows.items())
    settings = json.dumps(config.training.model_dump(mode="json"), indent=1)
    return f"# A model trained by corpusmill\n\n| | |\n| --- | --- |\n{table}\n\n```json\n{settings}\n```\n"


def _cell(text: object) -> str:
    return " ".join(str(text).split()).replace("|", "\\|")
