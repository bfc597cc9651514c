"""Pictures: quality against latency, and collections by stage. Needs matplotlib (the extra `plot`)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def draw(path: Path, title: str, measures: Sequence[str], stages: Mapping[str, Mapping[str, Any]]) -> None:
    """Write the picture: milliseconds a query in a batch, on a logarithmic axis, against each measure."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.0 * len(measures), 4.5), layout="constrained")
    figure.suptitle(title)
    for number, measure in enumerate(measures, start=1):
        axes = figure.add_subplot(1, len(measures), number)
        for name, values in stages.items():
            milliseconds = 1000 / values["queries_per_second"]
            axes.plot(milliseconds, values[measure], "o")
            axes.annotate(
                name.replace("_", " "), (milliseconds, values[measure]), xytext=(0, 6),
                textcoords="offset points", ha="center",
            )  # fmt: skip
        axes.set_xscale("log")
        axes.margins(x=0.2, y=0.15)
        axes.set_xlabel("ms a query, in batches, encoding included")
        axes.set_ylabel(measure)
        axes.grid(True, which="both", alpha=0.2)
    figure.savefig(path, dpi=150)


def draw_collections(path: Path, measure: str, values: Mapping[str, Mapping[str, float]]) -> None:
    """Write the picture: a column a collection, a point a stage. `values`: by collection and stage."""
    from matplotlib.figure import Figure

    names = list(values)
    stages = list(dict.fromkeys(stage for own in values.values() for stage in own))
    figure = Figure(figsize=(max(6.0, 1.2 * len(names)), 4.5), layout="constrained")
    axes = figure.add_subplot(1, 1, 1)
    for stage in stages:
        points = [(place, values[name][stage]) for place, name in enumerate(names) if stage in values[name]]
        axes.plot(*zip(*points, strict=True), "o", label=stage.replace("_", " "))
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right")
    axes.set_ylabel(measure)
    axes.grid(True, axis="y", alpha=0.2)
    axes.legend()
    figure.savefig(path, dpi=150)
