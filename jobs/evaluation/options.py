"""Options of the command `evaluate`."""

from pathlib import Path
from typing import Annotated

import typer

from retrieval.generation.decodings import LINES
from retrieval.rerankers import RERANKERS

_RERANKED = [one.stage for one in RERANKERS.values() if one.rank is not None]
_OPTIONAL = [one.stage for one in RERANKERS.values() if one.optional]
Index = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="INDEX|CONFIG [BEFORE AFTER ...]",
        help="Folder or URL of an index, or a configuration; with several collections a configuration, "
        "whose settings hold for all that are built. With --compare: then its versions, or other indexes.",
    ),
]
Compare = Annotated[
    bool,
    typer.Option(
        "--compare", help="Compare versions of the index by their numbers, or indexes, on the same queries."
    ),
]
Beir = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FOLDER[=INDEX]",
        help="Folder in BEIR layout: queries.jsonl, qrels/<split>.tsv. Repeatable: each is built from "
        "its corpus.jsonl where it is not, unless its index is named, and one table tells of all.",
    ),
]
Queries = Annotated[
    Path | None, typer.Option(help="Questions with answers instead: JSONL with question and answers.")
]
Indexes = Annotated[Path, typer.Option(help="Folder of the indexes of several collections.")]
Split = Annotated[str, typer.Option(help="Which judgements to take.")]
Stages = Annotated[
    str | None,
    typer.Option(
        help=f"dense_exact, dense, lexical, hybrid, {', '.join(_RERANKED)}, parted by commas, or all. "
        f"Default: all but {', '.join(_OPTIONAL)}."
    ),
]
Sample = Annotated[int | None, typer.Option(min=1, help="Evaluate so many queries, drawn with a fixed seed.")]
Runs = Annotated[Path | None, typer.Option(help="Folder for the run files, in TREC format.")]
Plot = Annotated[
    Path | None,
    typer.Option(help="File for a plot: quality against latency, or of several collections by stage."),
]
Fit = Annotated[
    bool,
    typer.Option(
        "--fit-fusion",
        help="Fit the weights of dense and lexical scores to the judgements instead, by "
        "cross-validation; a gain that may be chance is refused.",
    ),
]


Answers = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE|FOLDER",
        help="Measure answers instead of searches: JSONL with question, answers and documents, or a folder "
        "in BEIR layout whose queries have answers.",
    ),
]
Decodes = Annotated[
    list[str] | None,
    typer.Option(
        "--decode",
        help="With --answers, how they are made; repeatable, the others are compared with the first. "
        + " ".join(f"{name}: {line}." for name, line in LINES.items()),
    ),
]
Against = Annotated[
    Path | None,
    typer.Option(
        help="With --answers: a file of --runs on the same questions, made with whatever settings, that all "
        "are compared with."
    ),
]
Hops = Annotated[int | None, typer.Option(min=1, max=6, help="With --answers: most searches in a row.")]
Read = Annotated[int, typer.Option("--k", "-k", min=1, max=20, help="With --answers: passages of a search.")]
GeneratorKind = Annotated[str | None, typer.Option("--generator", help="With --answers: what writes them.")]
GeneratorModel = Annotated[str | None, typer.Option("--model", help="With --answers: its model.")]
BaseUrl = Annotated[str | None, typer.Option(help="With --answers: address of an endpoint, for openai.")]
ApiKeyEnv = Annotated[str | None, typer.Option(help="With --answers: the variable with its key.")]
PriceHour = Annotated[
    float | None, typer.Option(min=0, help="With --answers: dollars an hour of what answers.")
]
PriceTokens = Annotated[
    float | None, typer.Option(min=0, help="With --answers: dollars a million tokens that are written.")
]
JudgeUrl = Annotated[
    str | None, typer.Option(help="With --answers: an endpoint whose model judges them too; key as above.")
]
JudgeModel = Annotated[str | None, typer.Option(help="With --judge-url: the model's name there.")]
