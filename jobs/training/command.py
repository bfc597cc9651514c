"""The commands `train` and `mine`: their arguments, their progress, and what they print."""

import contextlib
import shlex
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobs.arguments import Json, fail, show_json
from jobs.drawing import check_picture
from jobs.extras import require
from jobs.terminal import show, tell
from jobs.training.view import TrainView
from retrieval.errors import ConfigError, CorpusmillError

if TYPE_CHECKING:
    from pipelines.training import TrainConfig

EXAMPLES = {
    "mine": "Example: corpusmill mine configs/train-dpr.yaml && head -1 models/mine/examples/train.jsonl",
    "dpr": "Example: corpusmill train dpr configs/train-dpr.yaml --towers query",
    "colbert": "Example: corpusmill train colbert configs/train-colbert.yaml",
    "rag": "Example: corpusmill train rag configs/train-rag.yaml --plot training.png",
}
_Config = Annotated[Path, typer.Argument(metavar="CONFIG", help="Configuration of a training (YAML).")]
_Plot = Annotated[Path | None, typer.Option(help="File for a plot of loss and dev measure.")]
_Towers = Annotated[
    str | None,
    typer.Option(
        help="shared: one encoder; both: two (DPR); query: the query side alone, nothing is embedded again. "
        "Default: as configured."
    ),
]

train_app = typer.Typer(
    help="Train what retrieves and what writes, on the passages of an index.", no_args_is_help=True,
    add_completion=False, rich_markup_mode=None,
)  # fmt: skip


@train_app.command(epilog=EXAMPLES["dpr"])
def dpr(config: _Config, towers: _Towers = None, plot: _Plot = None, json_: Json = False) -> None:
    """Train the encoder of an index: both sides, or the query side alone."""
    _train("dpr", config, towers, plot, json_)


@train_app.command(epilog=EXAMPLES["colbert"])
def colbert(config: _Config, plot: _Plot = None, json_: Json = False) -> None:
    """Train a late-interaction encoder of any width."""
    _train("colbert", config, None, plot, json_)


@train_app.command(epilog=EXAMPLES["rag"])
def rag(config: _Config, plot: _Plot = None, json_: Json = False) -> None:
    """Train query encoder and generator end to end, by the marginal likelihood of answers."""
    _train("rag", config, None, plot, json_)


def mine(config: _Config, json_: Json = False) -> None:
    """Find positives and hard negatives in an index, and write them as JSONL that people can read."""
    command = shlex.join(["corpusmill", "mine", str(config)])
    with _told(command):
        require("mine", "faiss")
        from pipelines.training import mine as mine_examples

        with TrainView() as view:
            found = mine_examples(_settings(config, None), view)
        if json_:
            show_json(found)
            return
        show(f"{found['train']:,} examples to train with: {found['train_file']}")
        show(f"{found['dev']:,} for dev: {found['dev_file']}")


def _train(kind: str, path: Path, towers: str | None, plot: Path | None, json_: bool) -> None:
    words = ["corpusmill", "train", kind, str(path)] + (["--towers", towers] if towers else [])
    with _told(shlex.join(words)):
        require("train", "faiss")
        from jobs.training.plot import draw
        from pipelines.training import train

        if plot is not None:
            check_picture(plot)
        config = _settings(path, towers)
        # Ray prints what befalls nodes and workers; standard output is for results alone.
        with TrainView() as view, contextlib.redirect_stdout(sys.stderr):
            trained = train(kind, config, view)
        if plot is not None:
            draw(plot, config.output)
            tell(f"The plot is in {plot}.")
        if json_:
            show_json({"output": config.output, "changed": trained.changed, **trained.outcome})
        else:
            _show(config, trained.outcome, trained.changed)


def _show(config: "TrainConfig", outcome: dict[str, Any], changed: bool) -> None:
    measure, best = outcome["measure"], outcome["best"]
    before = outcome["untrained"][measure]
    if not changed:
        show(f"{config.output} is up to date, nothing was done.")
    show(
        f"{measure} on dev: {before:.4f} untrained, {best:.4f} at step {outcome['best_step']} of "
        f"{outcome['steps']}, which is exported."
    )
    if outcome["best_step"] == 0:
        show("Training did not help: the model is the one it began as. Try more examples, or a lower rate.")
    for key, place in outcome["models"].items():
        show(f"{key}: {place}")
    show("To use it, write and build again:")
    for line in outcome["configuration"]:
        show(f"  {line}")


def _settings(path: Path, towers: str | None) -> "TrainConfig":
    from pipelines.training import load_train_config

    config = load_train_config(path)
    if towers is None:
        return config
    if towers not in ("shared", "both", "query"):
        raise ConfigError(f"--towers is {towers!r}; it may be shared, both or query")
    return config.model_copy(update={"towers": towers})


@contextlib.contextmanager
def _told(command: str) -> Iterator[None]:
    """Within the block errors are told without a traceback, with the command that goes on."""

    def interrupt(_signal: int, _frame: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    except CorpusmillError as error:
        fail(error, *(() if isinstance(error, ConfigError) else (f"To go on: {command}",)))
    except KeyboardInterrupt:
        tell(f"Stopped; the last checkpoint is kept. To go on: {command}")
        raise typer.Exit(130) from None
