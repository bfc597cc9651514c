"""How the result of a search is printed for people; `Result.as_json` is for programs."""

from collections.abc import Iterator

from rich.text import Text

from jobs.harmless import MOST_FIELD, block, field
from jobs.terminal import columns
from retrieval.results import Hit, Result

WIDTH = 100
BAR = 20
INDENT = "   "
NAMES = {
    "dense": "dense", "lexical": "lexical (BM25)", "hybrid": "hybrid (fused)",
    "late_interaction": "late interaction", "cross_encoder": "cross-encoder",
}  # fmt: skip


def as_lines(result: Result) -> Iterator[Text]:
    """Hits with their exact text, which is made harmless for a terminal and wrapped."""
    for hit in result:
        line = Text(f"{hit.rank}. {_name(hit.title or hit.doc_id, 24)}", style="bold")
        yield line.append(f"  score {hit.score:.4f}", style="not bold cyan")
        yield Text(f"   document {_name(hit.doc_id, 44)}, characters {hit.start}-{hit.end}", style="dim")
        yield from _explained(hit, result)
        yield from _block(hit.text)
        yield Text()
    yield from _footer(result)


def _explained(hit: Hit, result: Result) -> Iterator[Text]:
    why = hit.explanation
    if why is None:
        return
    metadata = "".join(f", {field(name)} {field(value)}" for name, value in hit.metadata.items())
    yield from _block(f"shard {field(why.shard)}, version {why.version}{metadata}", "dim")
    for name, stage in hit.stages.items():
        best = max((other.stages[name].score for other in result if name in other.stages), default=0.0)
        line = Text(f"   {NAMES[name]:<17}#{stage.rank:<5}{stage.score:>9.4f}  ")
        line.append(_bar(stage.score, best), style="green")
        if name == "dense" and why.dense_quantized is not None:
            line.append(f"  by its code alone {why.dense_quantized:.4f}", style="dim")
        yield line
    if "dense" not in hit.stages and why.dense_exact is not None:
        yield Text(f"   {'dense':<17}{'-':<6}{why.dense_exact:>9.4f}  not among its candidates", style="dim")
    for name, one in why.signals.items():
        line = Text(f"   {NAMES[name]:<17} adds {one.share:.4f}", style="cyan")
        yield line.append(f"  {one.calibrated:.4f} calibrated, weight {one.weight:.2f}", style="dim")
    most = max((term.score for term in why.terms), default=0.0)
    for term in why.terms:
        line = Text(f"   term {field(term.term):<20} {term.count:>3} times, idf {term.idf:>6.2f}  ")
        yield line.append(f"{_bar(term.score, most)} {term.score:.2f}", style="yellow")
    for token in why.tokens:
        place = f"characters {token.start}-{token.end}" if token.start >= 0 else "title"
        line = Text(f"   token {field(token.query_token):<16} ~ {field(token.passage_token):<20} ")
        yield line.append(f"{_bar(token.score, 1.0)} {token.score:.2f}  {place}", style="magenta")


def _footer(result: Result) -> Iterator[Text]:
    if result.truncated:
        yield Text("The query is longer than the encoder's window; its end was not seen.", style="yellow")
    if result.only_stop_words:
        yield Text("The query has stop words only: the lexical search looked for them.", style="yellow")
    if not result.coverage.full:
        yield Text(
            f"Only {result.coverage.searched:,} of {result.coverage.passages:,} passages were searched.",
            style="yellow",
        )
    if not result.hits:
        filtered = " that the filter keeps" if result.matching is not None else ""
        yield Text(f"No passage{filtered} was found.")
    if any(hit.explanation for hit in result):
        spent = ", ".join(f"{name} {value:.1f}" for name, value in result.timings_ms.items())
        kept = f", filter kept {result.matching:,}" if result.matching is not None else ""
        share = result.coverage.searched / max(1, result.coverage.passages)
        yield Text(
            f"version {result.version}, {share:.0%} of the index searched{kept}; ms: {spent}", style="dim"
        )


def _name(text: str, taken: int) -> str:
    return field(text, columns(taken, MOST_FIELD))


def _block(text: str, style: str = "") -> Iterator[Text]:
    for line in block(text, INDENT, columns(0, WIDTH)):
        yield Text(line, style)


def _bar(value: float, most: float) -> str:
    filled = round(BAR * max(0.0, min(1.0, value / most))) if most > 0 else 0
    return "█" * filled + "░" * (BAR - filled)
