"""The command `evaluate`: its arguments, its progress, and where its results go."""

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from jobs.arguments import AllowPickle, Plugins, TrustCode, open_store, run, show_json
from jobs.extras import require
from jobs.terminal import PLAIN_SECONDS, duration, err, show, tell
from retrieval.errors import ConfigError
from retrieval.models import Trust
from retrieval.rerankers import RERANKERS

_RERANKED = [one.stage for one in RERANKERS.values() if one.rank is not None]
_OPTIONAL = [one.stage for one in RERANKERS.values() if one.optional]
EXAMPLE = "Example: corpusmill evaluate indexes/scifact --beir data/scifact --runs runs --plot quality.png"


def evaluate(
    where: Annotated[
        str, typer.Argument(metavar="INDEX|CONFIG", help="Folder or URL of an index, or a configuration.")
    ],
    beir: Annotated[
        Path | None, typer.Option(help="Folder in BEIR layout: queries.jsonl, qrels/<split>.tsv.")
    ] = None,
    queries: Annotated[
        Path | None, typer.Option(help="Questions with answers instead: JSONL with question and answers.")
    ] = None,
    split: Annotated[str, typer.Option(help="Which judgements to take.")] = "test",
    stages: Annotated[
        str | None,
        typer.Option(
            help=f"dense_exact, dense, lexical, hybrid, {', '.join(_RERANKED)}, parted by commas, or all. "
            f"Default: all but {', '.join(_OPTIONAL)}."
        ),
    ] = None,
    sample: Annotated[
        int | None, typer.Option(min=1, help="Evaluate so many queries, drawn with a fixed seed.")
    ] = None,
    runs: Annotated[Path | None, typer.Option(help="Folder for the run files, in TREC format.")] = None,
    plot: Annotated[Path | None, typer.Option(help="File for a plot of quality against latency.")] = None,
    trust_remote_code: TrustCode = False,
    allow_pickle: AllowPickle = False,
    plugin: Plugins = None,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure each stage of a search and test which differences are real; the first line says what helped."""
    trust = Trust(trust_remote_code, allow_pickle)
    run(
        lambda: _evaluate(where, beir, queries, split, stages, sample, runs, plot, json_, trust, plugin or [])
    )


def _evaluate(
    where: str, beir: Path | None, questions: Path | None, split: str, wanted: str | None,
    sample: int | None, runs: Path | None, plot: Path | None, json_: bool,
    trust: Trust, plugins: list[str],
) -> None:  # fmt: skip
    require("evaluate", "ir_measures", "regex")
    from jobs.evaluation import plot as plots
    from jobs.evaluation.dataset import read_beir, read_questions
    from jobs.evaluation.evaluate import evaluate as run_evaluation
    from jobs.evaluation.report import as_json, as_lines, stage_values
    from jobs.evaluation.stages import choose
    from retrieval.search import Searcher

    if (beir is None) == (questions is None):
        raise ConfigError(
            "nothing says what to evaluate with" if beir is None else "give --beir or --queries, not both",
            hint="corpusmill evaluate INDEX --beir FOLDER, or --queries FILE for questions with answers",
        )
    store = open_store(where)
    dataset = read_questions(questions) if questions else read_beir(beir, split)  # type: ignore[arg-type]
    if sample is not None:
        dataset = dataset.sample(sample)
    if plot is not None:
        plots.check(plot)
    if runs is not None:
        try:
            runs.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"{runs} cannot be a folder for run files: {error.strerror}") from error
    opened = Searcher.open(
        store.url, options=store.options, say=tell, trust_remote_code=trust.remote_code,
        allow_pickle=trust.pickle, plugins=plugins,
    )  # fmt: skip
    with opened as searcher, QueryView() as view:
        chosen, notes = choose(wanted, searcher.manifest, searcher.settings)
        for note in notes:
            tell(note)
        found = run_evaluation(searcher, store, dataset, chosen, runs=runs, say=tell, progress=view)
    if json_:
        show_json(as_json(found))
    else:
        for line in as_lines(found):
            show(line)
    if plot is not None:
        measures = list(dict.fromkeys(comparison.measure for comparison in found.comparisons))
        title = f"{dataset.name}, {len(dataset.queries):,} queries"
        plots.draw(plot, title, measures or [found.measure], stage_values(found))
        tell(f"The plot is in {plot}.")
    if runs is not None:
        tell(f"The run files are in {runs}.")


class QueryView:
    """Progress of a stage in queries; silent on one of less than two seconds."""

    def __init__(self) -> None:
        self._stage = ""
        self._began = self._said = 0.0
        self._open = False  # a line on the terminal is not ended yet

    def __enter__(self) -> "QueryView":
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """`done` of `total` queries are ranked by a stage."""
        now = time.monotonic()
        if stage != self._stage:
            self._end()
            self._stage, self._began, self._said = stage, now, now
        if now - self._said < (2.0 if err.is_terminal else PLAIN_SECONDS):
            return
        self._said = now
        left = duration((now - self._began) / done * (total - done) if done else None)
        line = f"{stage}: {done:,} of {total:,} queries, ETA {left}"
        self._open = err.is_terminal
        print(
            f"\r{line}" if self._open else line, end="" if self._open else "\n", file=sys.stderr, flush=True
        )

    def _end(self) -> None:
        if self._open:
            print(file=sys.stderr)
            self._open = False
