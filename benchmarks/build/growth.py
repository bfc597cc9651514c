"""Growth: build time per passage at several sizes, start-up taken off, beside the encoder alone.

Start-up is the time of the same build over 512 passages: Ray, the model, tuning. The encoder runs alone,
in this process, before and after each build, on passages from the middle of what the build reads, so
that a machine whose speed drifts does not decide the ratio.

    python benchmarks/build/growth.py --corpus CORPUS.parquet --sizes 10000,40000,160000 --json growth.json
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from retrieval.format import read_manifest
from retrieval.models.encoders import Encoder
from retrieval.settings import ModelSettings
from retrieval.storage import Store

STARTUP_PASSAGES = 512
ALONE_PASSAGES = 3000


def timed_build(folder: Path, table: pa.Table, dense: str, max_tokens: int | None) -> dict[str, Any]:
    """Build an index over `table` as a user would, by the command line; seconds, by stage too."""
    folder.mkdir()
    pq.write_table(table, folder / "corpus.parquet", row_group_size=10_000)
    config = {
        "corpus": {"paths": "corpus.parquet"},
        "index": {"path": "index"},
        "chunk": {"method": "none"},
        "dense": {"type": dense},
        "model": {"max_tokens": max_tokens},
    }
    (folder / "build.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "jobs", "build", str(folder / "build.yaml")],
        check=True,
        stderr=subprocess.DEVNULL,
    )
    seconds = time.perf_counter() - began
    manifest = read_manifest(Store(str(folder / "index")))
    stages = {cost.stage: cost.wall_seconds for cost in manifest.costs}
    return {
        "passages": manifest.passages,
        "seconds": seconds,
        "stages": stages,
        "dense": manifest.dense_reason,
    }


def alone(encoder: Encoder, table: pa.Table) -> float:
    """Passages/s of the encoder without a pipeline, tokenizing counted."""
    middle = table.slice(max(0, len(table) // 2 - ALONE_PASSAGES // 2), ALONE_PASSAGES)
    titles, texts = middle["title"].to_pylist(), middle["text"].to_pylist()
    began = time.perf_counter()
    encoder.encode_passages(titles, texts)
    return len(texts) / (time.perf_counter() - began)


def one_size(
    folder: Path, table: pa.Table, encoder: Encoder, startup: float, options: argparse.Namespace
) -> dict[str, Any]:
    """Figures of one build, with the encoder alone measured before and after it. `startup`: seconds."""
    before = alone(encoder, table)
    row = timed_build(folder, table, options.dense, options.max_tokens)
    rate = (before + alone(encoder, table)) / 2
    net, more = row["seconds"] - startup, len(table) - STARTUP_PASSAGES
    return row | {
        "ms_per_passage": 1000 * net / more,
        "encoder_alone_per_second": rate,
        "pipeline_of_encoder": more / net / rate,
        "embed_of_encoder": len(table) / row["stages"]["embed"] / rate,
    }


def main() -> None:
    """Parse arguments, build at every size, print the table and write it as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", type=Path, nargs="+", required=True, help="Parquet with title and text")
    parser.add_argument("--sizes", default="10000,40000,160000")
    parser.add_argument("--dense", default="ivf_pq")
    parser.add_argument("--max-tokens", type=int, help="a shorter window, so that other stages weigh more")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    sizes = [int(size) for size in options.sizes.split(",")]
    tables = [pq.read_table(path, columns=["title", "text"]) for path in options.corpus]
    plain = pa.schema([("title", pa.string()), ("text", pa.string())])
    table = pa.concat_tables([part.cast(plain) for part in tables])
    encoder = Encoder.open(
        ModelSettings(max_tokens=options.max_tokens), sides={"passage"}, threads=os.cpu_count()
    )
    alone(encoder, table.slice(0, 500))
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        startup = timed_build(
            root / "startup", table.slice(0, STARTUP_PASSAGES), options.dense, options.max_tokens
        )["seconds"]
        print(f"start-up: {startup:.1f} s", flush=True)
        for size in sizes:
            row = one_size(root / str(size), table.slice(0, size), encoder, startup, options)
            rows.append(row)
            print(
                f"{size:>8,} passages: {row['seconds']:7.1f} s, {row['ms_per_passage']:.3f} ms a passage "
                f"after start-up; encoder alone {row['encoder_alone_per_second']:.1f}/s, the whole build "
                f"reaches {row['pipeline_of_encoder']:.0%} of it, the embedding stage "
                f"{row['embed_of_encoder']:.0%}",
                flush=True,
            )
    costs = [row["ms_per_passage"] for row in rows]
    relative = [1 / row["pipeline_of_encoder"] for row in rows]
    print(f"spread of ms a passage: {max(costs) / min(costs) - 1:.1%}", end="; ")
    print(f"in units of the encoder measured beside each build: {max(relative) / min(relative) - 1:.1%}")
    if options.json:
        options.json.write_text(
            json.dumps({"startup": startup, "rows": rows}, indent=2) + "\n", encoding="utf-8"
        )


if __name__ == "__main__":
    main()
