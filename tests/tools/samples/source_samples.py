"""Small corpora for the tests of sources: writers of the formats, and one call that reads everything."""

import bz2
import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.config.corpus_settings import CorpusSettings
from pipelines.sources.documents import Document, Note, Reject
from pipelines.sources.files.listing import list_files
from pipelines.sources.files.streams import zstd
from pipelines.sources.kinds import widened
from pipelines.sources.metadata import infer_schema
from pipelines.sources.slice_reader import read_slice
from pipelines.sources.slices import cut_slices
from tests.tools.samples.pdf_samples import pdf_file

COMPRESS = {".gz": gzip.compress, ".bz2": bz2.compress, ".zst": zstd.compress, "": bytes}

ROWS = [{"id": f"d{i}", "title": f"Title {i}", "text": f"Text of {i}, naïve ☃"} for i in range(10)]


def jsonl(rows: list[Any]) -> bytes:
    return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)


def parquet(path: Path, rows: list[dict[str, Any]] | pa.Table, **options: Any) -> Path:
    pq.write_table(rows if isinstance(rows, pa.Table) else pa.Table.from_pylist(rows), path, **options)
    return path


def pdf(lines: list[str], title: str = "", encrypted: bool = False) -> bytes:
    """A PDF of one page; encrypted: with a password that nobody has."""
    drawn = "".join(f"({line}) Tj 0 -20 Td " for line in lines)
    content = f"BT /F1 12 Tf 50 700 Td {drawn}ET".encode()
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R "
        b"/Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        b"<< /Title (%s) >>" % title.encode(),
    ]
    trailer = b"/Root 1 0 R /Info 6 0 R"
    if encrypted:
        objects.append(b"<< /Filter /Standard /V 1 /R 2 /P -4 /O <%s> /U <%s> >>" % (b"ab" * 32, b"cd" * 32))
        trailer += b" /Encrypt 7 0 R /ID [<00> <00>]"
    return pdf_file(objects, trailer)


def read_all(paths: Any, **settings: Any) -> tuple[list[Document], list[Reject]]:
    """Documents and rejects of a corpus, by the way a build goes: list, cut, infer, read."""
    return read_noted(paths, **settings)[:2]


def read_noted(paths: Any, **settings: Any) -> tuple[list[Document], list[Reject], list[str]]:
    """The same, and what the notes say."""
    corpus = CorpusSettings(
        paths=[str(p) for p in (paths if isinstance(paths, list) else [paths])], **settings
    )
    slices = list(cut_slices(list_files(corpus).files, int(corpus.slice_bytes), corpus.storage_options))
    wider = infer_schema(slices, corpus)
    schema: dict[str, Any] | None = None
    while schema != wider:  # values after the sample may widen it
        schema, seen = wider, [{} for _ in slices]
        items = [
            i for s, kinds in zip(slices, seen, strict=True) for i in read_slice(s, corpus, schema, kinds)
        ]
        wider = widened(schema, seen)
    return (
        [item for item in items if isinstance(item, Document)],
        [item for item in items if isinstance(item, Reject)],
        [item.reason for item in items if isinstance(item, Note)],
    )
