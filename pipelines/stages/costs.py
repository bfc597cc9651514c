"""What the build of a version cost, by stage: of the artefacts that the version before did not have."""

from typing import Any

from pipelines.runtime import Progress, total_usage
from pipelines.stages.build_results import BuildResults
from retrieval.format import StageCost


def stage_costs(work: BuildResults, progress: Progress) -> list[StageCost]:
    """Cost of each stage before verification. Markers tell it, so that interrupted runs are counted."""
    previous, lexical, tokens, trained = work.plan.previous, work.lexical, work.tokens, work.trained
    old = {file.key for file in previous.files()} if previous else set()
    read = [result for result in work.results if result.marker.key not in old]
    embedded = {part.content: part.vectors for part in work.parts if part.vectors.marker.key not in old}
    arrow = [marker for marker in work.passages if marker["marker"]["key"] not in old]
    lists = [marker for marker in work.dense if marker["marker"]["key"] not in old]
    terms = [marker for marker in lexical.shards if marker["marker"]["key"] not in old] if lexical else []
    merged = [lexical.statistics] if lexical and lexical.statistics["marker"]["key"] not in old else []
    codes = [marker for marker in tokens.markers if marker["marker"]["key"] not in old] if tokens else []
    sampled = [marker for marker in [work.background] if marker["marker"]["key"] not in old]
    codec = [tokens] if tokens and not any(file.key in old for file in tokens.codec) else []
    quantizer = [] if any(file.key in old for file in trained.files) else [trained]
    read_bytes = sum(file.bytes for result in read for file in result.files)
    read_bytes += sum(part["file"]["bytes"] for result in read for part in result.parts)
    pieces = [usage for marker in lists for usage in marker["pieces_usage"]]
    return [
        cost(progress, "read", [result.usage for result in read], read_bytes),
        cost(progress, "duplicates", [], 0),
        cost(
            progress,
            "embed",
            [v.usage for v in embedded.values()],
            sum(v.file.bytes for v in embedded.values()),
        ),
        cost(progress, "passages", [marker["usage"] for marker in arrow], _bytes(arrow)),
        cost(progress, "lexical", [marker["usage"] for marker in terms], _bytes(terms)),
        cost(progress, "statistics", [marker["usage"] for marker in merged], _bytes(merged)),
        cost(progress, "codec", [c.usage for c in codec], sum(f.bytes for c in codec for f in c.codec)),
        cost(progress, "tokens", [marker["usage"] for marker in codes], _bytes(codes)),
        cost(progress, "background", [marker["usage"] for marker in sampled], _bytes(sampled)),
        cost(
            progress, "train", [t.usage for t in quantizer], sum(f.bytes for t in quantizer for f in t.files)
        ),
        cost(progress, "pieces", pieces, 0),
        cost(progress, "merge", [marker["usage"] for marker in lists], _bytes(lists)),
        cost(progress, "tune", [], 0),
    ]


def cost(progress: Progress, stage: str, usages: list[dict[str, Any]], written: int) -> StageCost:
    """One stage: rows and wall time of all runs of this build, usages of markers or of this run."""
    wall, rows = progress.walls.get(stage, 0.0), progress.rows.get(stage, 0)
    usages = usages or progress.usages.get(stage, [])  # a stage without markers is done whole in one run
    return StageCost(
        stage=stage,
        wall_seconds=round(wall, 3),
        rows=rows,
        rows_per_second=round(rows / wall, 1) if wall > 0 else 0.0,
        bytes_written=written,
        **total_usage(usages),
    )


def _bytes(markers: list[dict[str, Any]]) -> int:
    return sum(file["bytes"] for marker in markers for file in marker["files"])
