"""What the process that parses costs: HTML, PDF and Parquet read in it, beside the same code called here.

    python benchmarks/build/extraction.py                 # made-up files: pages of 20 kB, PDFs of 5 pages
    python benchmarks/build/extraction.py --files FOLDER  # .html and .pdf files of a folder instead

Prints files (Parquet: rows) a second for both ways, and the share of the speed that the process keeps: the
median over rounds in which both ways take turns. Rows of Parquet are hardly parsed at all, so moving them to
another process shows; "chunked" is what the reading of a build does with them at the least, cutting the text
into passages of so many characters.
"""

import argparse
import io
import random
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.chunking import Chunker, ChunkSettings
from pipelines.extraction import Extractor, Limits, html, pdf, tables

WORDS = "harbour vessel captain berth quay tide lantern ledger cargo receipt town copy entry book".split()


def prose(rng: random.Random, words: int) -> str:
    """Words with some punctuation."""
    return " ".join(rng.choice(WORDS) + rng.choice(["", "", "", ",", "."]) for _ in range(words))


def page(rng: random.Random) -> bytes:
    """HTML of about 20 kB: headings, paragraphs with links, lists, a table."""
    blocks = []
    for _ in range(12):
        blocks.append(f"<h2 class='head'>{prose(rng, 4)}</h2>")
        blocks.append(
            f"<p>{prose(rng, 100)} <a href='/x/{rng.random()}'>{prose(rng, 3)}</a> {prose(rng, 60)}</p>"
        )
        items = "".join(f"<li><b>{prose(rng, 2)}</b> {prose(rng, 6)}</li>" for _ in range(5))
        blocks.append(f"<ul>{items}</ul>")
    rows = "".join(f"<tr><td>{prose(rng, 2)}</td><td>{rng.random()}</td></tr>" for _ in range(40))
    return f"<html><head><title>A page</title></head><body>{''.join(blocks)}<table>{rows}</table>".encode()


def paper(rng: random.Random) -> bytes:
    """A PDF of 5 pages, 45 lines each."""
    pages = 5
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [%s] /Count %d >>"
        % (b" ".join(b"%d 0 R" % (4 + 2 * i) for i in range(pages)), pages),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for i in range(pages):
        lines = "".join(f"({prose(rng, 11)}) Tj 0 -15 Td " for _ in range(45))
        content = f"BT /F1 9 Tf 50 750 Td {lines}ET".encode()
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents %d 0 R "
            b"/Resources << /Font << /F1 3 0 R >> >> >>" % (5 + 2 * i)
        )
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content))
    out, offsets = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    size = len(objects) + 1
    return out + (
        b"xref\n0 %d\n0000000000 65535 f \n%strailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF"
        % (size, table, size, len(out))
    )


def parquet_file(rng: random.Random) -> bytes:
    """5,000 rows of about 1 kB."""
    sink = io.BytesIO()
    texts = [prose(rng, 150) for _ in range(5000)]
    pq.write_table(pa.table({"id": [str(i) for i in range(5000)], "text": texts}), sink)
    return sink.getvalue()


def parsed_here(parse: Callable[[bytes, int], object], limit: int, files: list[bytes]) -> list[object]:
    """The documents' titles and texts, by a call."""
    return [parse(data, limit) for data in files]


def parsed_there(extractor: Extractor, format: str, files: list[bytes]) -> list[object]:
    """The same by the process that parses."""
    return list(extractor.extract_all(format, files))


def rows_here(files: list[bytes]) -> int:
    """Rows of Parquet files as records, read by this process."""
    return sum(
        len(batch.to_pylist())
        for data in files
        for batch in pq.ParquetFile(io.BytesIO(data)).iter_batches(tables.BATCH_ROWS, use_threads=False)
    )


def rows_there(extractor: Extractor, files: list[bytes]) -> int:
    """The same by the process that parses."""
    return sum(
        len(batch.to_pylist())
        for data in files
        for _, rows in extractor.row_batches(io.BytesIO(data), start=0, end=-1, columns=None)  # type: ignore[arg-type]
        for batch in pa.ipc.open_stream(rows)
    )


def chunked_here(chunker: Chunker, files: list[bytes]) -> int:
    """Passages of the rows of Parquet files, read by this process."""
    return sum(
        passages_of(chunker, batch)
        for data in files
        for batch in pq.ParquetFile(io.BytesIO(data)).iter_batches(tables.BATCH_ROWS, use_threads=False)
    )


def chunked_there(chunker: Chunker, extractor: Extractor, files: list[bytes]) -> int:
    """The same, read by the process that parses."""
    return sum(
        passages_of(chunker, batch)
        for data in files
        for _, rows in extractor.row_batches(io.BytesIO(data), start=0, end=-1, columns=None)  # type: ignore[arg-type]
        for batch in pa.ipc.open_stream(rows)
    )


def passages_of(chunker: Chunker, batch: pa.RecordBatch) -> int:
    texts = [row["text"] for row in batch.to_pylist()]
    return sum(map(len, chunker.split([""] * len(texts), texts)))


def seconds(function: Callable[[list[bytes]], object], files: list[bytes]) -> float:
    before = time.perf_counter()
    function(files)
    return time.perf_counter() - before


def compare(
    name: str, here: Callable[[list[bytes]], object], there: Callable[[list[bytes]], object],
    files: list[bytes], count: int, rounds: int,
) -> None:  # fmt: skip
    """Print one line."""
    for way in (here, there):
        seconds(way, files[:10])  # starts the process, warms both
    times = [(seconds(here, files), seconds(there, files)) for _ in range(rounds)]
    kept = statistics.median(a / b for a, b in times)
    best = [count / min(time[way] for time in times) for way in (0, 1)]
    print(f"{name:8} here {best[0]:9.1f}/s   process {best[1]:9.1f}/s   keeps {kept:.1%}", flush=True)


def found(folder: Path, suffix: str) -> Iterator[bytes]:
    yield from (path.read_bytes() for path in sorted(folder.rglob(f"*{suffix}")))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=Path, help="folder with .html and .pdf files")
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    rng = random.Random(0)
    limits = Limits()
    extractor = Extractor(limits)
    pages = list(found(args.files, ".html")) if args.files else [page(rng) for _ in range(300)]
    papers = list(found(args.files, ".pdf")) if args.files else [paper(rng) for _ in range(100)]
    for name, module, files in (("html", html, pages), ("pdf", pdf, papers)):
        if files:
            here = partial(parsed_here, module.extract, limits.text_bytes)
            compare(
                name, here, partial(parsed_there, extractor, module.__name__), files, len(files), args.rounds
            )
    tables_here = [parquet_file(rng)] * 4
    compare("parquet", rows_here, partial(rows_there, extractor), tables_here, 20_000, args.rounds)
    chunker = Chunker.open(
        ChunkSettings(unit="characters", size=1000), tokenizer_file=None, max_tokens=None, special_tokens=0,
        prompt="", embed_sentences=None,
    )  # fmt: skip
    ways = partial(chunked_here, chunker), partial(chunked_there, chunker, extractor)
    compare("chunked", *ways, tables_here, 20_000, args.rounds)
    extractor.close()


if __name__ == "__main__":
    main()
