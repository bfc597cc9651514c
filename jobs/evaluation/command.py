"""The command `evaluate`: its arguments, its progress, and where its results go."""

import contextlib
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jobs.arguments import AllowPickle, Json, Plugins, TrustCode, open_store, run, show_json
from jobs.drawing import check_picture
from jobs.evaluation import options
from jobs.evaluation.view import QueryView
from jobs.extras import require
from jobs.terminal import BuildView, show, tell
from pipelines.config import BuildConfig
from retrieval.errors import ConfigError
from retrieval.models import Trust
from retrieval.storage import Store

if TYPE_CHECKING:
    from jobs.evaluation.answers import Measured, Writer
    from jobs.evaluation.evaluate import Evaluation
    from pipelines.judged import Dataset
    from retrieval.search import Searcher

EXAMPLE = """Examples:
corpusmill evaluate indexes/scifact --beir data/scifact --runs runs --plot quality.png
corpusmill evaluate --beir data/scifact --beir data/fiqa --indexes indexes
corpusmill evaluate indexes/mine --compare 1 2 --beir data/scifact
corpusmill evaluate indexes/mine --answers questions.jsonl --generator local --decode prompt --decode token"""


@dataclass(frozen=True)
class _Asked:
    """What the command line says."""

    where: str | None
    beir: list[str]
    queries: Path | None
    indexes: Path
    split: str
    stages: str | None
    sample: int | None
    runs: Path | None
    plot: Path | None
    trust: Trust
    plugins: list[str]
    json: bool
    fit: bool
    compared: list[str]

    @property
    def several(self) -> bool:
        """Whether collections are named, rather than one index and what it is evaluated with."""
        own = any("=" in entry and not Path(entry).is_dir() for entry in self.beir)
        return self.queries is None and (len(self.beir) > 1 or self.where is None or own)


def evaluate(
    where: options.Index = None, compare: options.Compare = False, beir: options.Beir = None,
    queries: options.Queries = None,
    indexes: options.Indexes = Path("indexes"), split: options.Split = "test", stages: options.Stages = None,
    sample: options.Sample = None, runs: options.Runs = None, plot: options.Plot = None,
    fit_fusion: options.Fit = False, answers: options.Answers = None, decode: options.Decodes = None,
    hops: options.Hops = None, k: options.Read = 5, generator: options.GeneratorKind = None,
    model: options.GeneratorModel = None, base_url: options.BaseUrl = None,
    api_key_env: options.ApiKeyEnv = None, price_hour: options.PriceHour = None,
    price_tokens: options.PriceTokens = None, judge_url: options.JudgeUrl = None,
    judge_model: options.JudgeModel = None, against: options.Against = None,
    trust_remote_code: TrustCode = False, allow_pickle: AllowPickle = False, plugin: Plugins = None,
    json_: Json = False,
) -> None:  # fmt: skip
    """Measure each stage of a search and test which differences are real; the first line says what helped."""
    first, more = (where[0], where[1:]) if where else (None, [])
    asked = _Asked(
        where=first, compared=more if compare else [], beir=beir or [], queries=queries, indexes=indexes,
        split=split, stages=stages, sample=sample, runs=runs, plot=plot,
        trust=Trust(trust_remote_code, allow_pickle), plugins=plugin or [], json=json_, fit=fit_fusion,
    )  # fmt: skip

    def work() -> None:
        require("evaluate", "ir_measures")
        from jobs.evaluation.answers import Measured, Price, Writer

        writer = Writer(generator, model, base_url, api_key_env, decode or [], hops, k)
        measured = Measured(Price(price_hour, price_tokens), judge_url, judge_model, against)
        if answers is not None:
            _answers(asked, answers, writer, measured)
            return
        writer.refuse_without_answers()
        if more and not compare:
            raise ConfigError(
                f"one index is evaluated, and {more[0]} is named too",
                hint="corpusmill evaluate INDEX --compare BEFORE AFTER --beir FOLDER",
            )
        _evaluate(asked, compare)

    run(work)


def _answers(asked: _Asked, file: Path, writer: "Writer", measured: "Measured") -> None:
    """Of answers, not of searches."""
    from jobs.evaluation.answers import evaluate_answers, print_answers

    other = {
        "--beir": asked.beir, "--queries": asked.queries, "--compare": asked.compared,
        "--fit-fusion": asked.fit, "--stages": asked.stages,
    }  # fmt: skip
    if named := [name for name, value in other.items() if value]:
        raise ConfigError(f"--answers measures answers alone, and {named[0]} is given too")
    if asked.where is None:
        raise ConfigError("no index is named", hint="corpusmill evaluate INDEX --answers FILE")
    evaluating = measured.of(file, writer, asked.sample, asked.runs, asked.plot, asked.split)
    with _searcher(asked, open_store(asked.where)) as searcher:
        print_answers(evaluate_answers(searcher, evaluating), asked.json)


def _print(asked: _Asked, values: dict[str, Any], lines: Iterable[str]) -> None:
    """One JSON object, or lines for people."""
    if asked.json:
        show_json(values)
        return
    for line in lines:
        show(line)


def _evaluate(asked: _Asked, compare: bool) -> None:
    from pipelines.judged import read_beir, read_questions

    if bool(asked.beir) == (asked.queries is not None):
        raise ConfigError(
            "give --beir or --queries, not both" if asked.beir else "nothing says what to evaluate with",
            hint="corpusmill evaluate INDEX --beir FOLDER, or --queries FILE for questions with answers",
        )
    if asked.plot is not None:
        check_picture(asked.plot)
    if asked.several:
        if asked.fit:
            raise ConfigError(
                "weights are fitted to one collection", hint="corpusmill evaluate INDEX --beir FOLDER"
            )
        _over_collections(asked)
        return
    if asked.where is None:
        raise ConfigError("no index is named", hint="corpusmill evaluate INDEX --queries FILE")
    dataset = read_questions(asked.queries) if asked.queries else read_beir(Path(asked.beir[0]), asked.split)
    if compare:
        _compare_all(asked, dataset)
        return
    store = open_store(asked.where)
    if asked.fit:
        _fit(asked, store, dataset)
    else:
        _show(asked, _evaluated(asked, store, dataset, asked.runs))


def _compare_all(asked: _Asked, dataset: "Dataset") -> None:
    from jobs.evaluation import compare as comparing
    from jobs.evaluation.seen import seen_queries

    if asked.sample is not None:
        dataset = dataset.sample(asked.sample)
        asked = replace(asked, sample=None)
    named = comparing.contenders(str(asked.where), asked.compared)

    def seen(one: comparing.Contender) -> np.ndarray:
        store = open_store(one.index)
        with _searcher(asked, store, one.version) as searcher:
            return seen_queries(searcher, store, dataset)

    def evaluated(one: comparing.Contender, known: np.ndarray) -> "Evaluation":
        tell(f"{one.name}:")
        runs = asked.runs / one.name.replace("/", "_") if asked.runs is not None else None
        return _evaluated(asked, open_store(one.index), dataset, runs, one.version, known)

    found = comparing.compare(named, seen, evaluated)
    _print(asked, comparing.compared_json(found), comparing.compared_lines(found))


def _evaluated(
    asked: _Asked, store: Store, dataset: "Dataset", runs: Path | None, version: int | None = None,
    seen: "np.ndarray | None" = None,
) -> "Evaluation":  # fmt: skip
    """One collection by the stages that are asked for."""
    from jobs.evaluation.evaluate import evaluate as run_evaluation
    from jobs.evaluation.stages import choose

    if asked.sample is not None:
        dataset = dataset.sample(asked.sample)
    if runs is not None:
        try:
            runs.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"{runs} cannot be a folder for run files: {error.strerror}") from error
    with _searcher(asked, store, version) as searcher, QueryView() as view:
        chosen, notes = choose(asked.stages, searcher.manifest, searcher.settings)
        for note in notes:
            tell(note)
        return run_evaluation(searcher, store, dataset, chosen, runs=runs, say=tell, progress=view, seen=seen)


def _fit(asked: _Asked, store: Store, dataset: "Dataset") -> None:
    from jobs.evaluation.fit_fusion import fit_fusion
    from jobs.evaluation.report import fit_lines

    with _searcher(asked, store) as searcher, QueryView() as view:
        found = fit_fusion(searcher, dataset.sample(asked.sample) if asked.sample else dataset, view)
    _print(asked, found.as_json(), fit_lines(found))


def _searcher(asked: _Asked, store: Store, version: int | None = None) -> "Searcher":
    from retrieval.search import Searcher

    return Searcher.open(
        store.url, options=store.options, version=version, say=tell,
        trust_remote_code=asked.trust.remote_code, allow_pickle=asked.trust.pickle, plugins=asked.plugins,
    )  # fmt: skip


def _show(asked: _Asked, found: "Evaluation") -> None:
    from jobs.evaluation import plot as plots
    from jobs.evaluation.report import as_json, as_lines, stage_values

    _print(asked, as_json(found), as_lines(found))
    if asked.plot is not None:
        measures = list(dict.fromkeys(comparison.measure for comparison in found.comparisons))
        title = f"{found.dataset.name}, {len(found.dataset.queries):,} queries"
        plots.draw(asked.plot, title, measures or [found.measure], stage_values(found))
        tell(f"The plot is in {asked.plot}.")
    if asked.runs is not None:
        tell(f"The run files are in {asked.runs}.")


def _over_collections(asked: _Asked) -> None:
    """Each collection in turn, and what holds over all of them."""
    from jobs.evaluation import collections as many
    from jobs.evaluation import plot as plots
    from jobs.evaluation.report import collections_json, collections_lines
    from pipelines.judged import read_beir

    named = many.collections_of(asked.beir, asked.indexes, asked.where)
    # Wrong ones are told before hours of work.
    datasets = {one.name: read_beir(one.folder, asked.split) for one in named}
    found = {}
    for one in named:
        store = many.index_of(one, _build)
        tell(f"{one.name}: {len(datasets[one.name].queries):,} queries over {store.url}")
        own = asked.runs / one.name if asked.runs is not None else None
        found[one.name] = _evaluated(asked, store, datasets[one.name], own)
    every = many.compare_over_all(found)
    _print(asked, collections_json(every), collections_lines(every))
    if asked.plot is not None:
        values = {
            name: {stage: result.mean(every.measure) for stage, result in one.stages.items()}
            for name, one in found.items()
        }
        plots.draw_collections(asked.plot, every.measure, values)
        tell(f"The plot is in {asked.plot}.")
    if asked.runs is not None:
        tell(f"The run files are in {asked.runs}, a folder a collection.")


def _build(config: BuildConfig) -> None:
    """Build an index, or find that it is there. Standard output is for results alone."""
    require("build", "faiss")
    with BuildView() as view, contextlib.redirect_stdout(sys.stderr):
        from pipelines.index import build

        build(config, "corpusmill evaluate ..., as before", view)
