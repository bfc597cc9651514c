"""The plot of a training: loss by step, and the dev measure beside it."""

from pathlib import Path
from typing import Any

from pipelines.training.running import read_metrics
from retrieval.storage import Store


def draw(path: Path, output: str) -> None:
    """Draw the metrics of an output into a file."""
    from matplotlib.figure import Figure

    lines = read_metrics(Store(output))
    losses = [(line["step"], line["loss"]) for line in lines if "loss" in line]
    dev = [(line["step"], next(iter(line["dev"].values()))) for line in lines if "dev" in line]
    name = next((next(iter(line["dev"])) for line in lines if "dev" in line), "dev")
    figure = Figure(figsize=(7, 4), layout="constrained")
    left = figure.add_subplot()
    _curve(left, losses, "loss", "tab:blue")
    right = left.twinx()
    _curve(right, dev, name, "tab:orange")
    left.set_xlabel("step")
    figure.savefig(path)


def _curve(axes: Any, points: list[tuple[int, float]], name: str, colour: str) -> None:
    if points:
        axes.plot([step for step, _ in points], [value for _, value in points], color=colour)
    axes.set_ylabel(name, color=colour)
