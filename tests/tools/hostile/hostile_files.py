"""Files that cost much more than they weigh, by name: what a corpus from elsewhere may hold."""

import io
import os
import zlib

import pyarrow as pa
import pyarrow.parquet as pq

from tests.tools.samples.pdf_samples import pdf_file


def stream(data: bytes, layers: int = 1, extra: bytes = b"") -> bytes:
    """A stream object, deflated once or more often."""
    for _ in range(layers):
        data = zlib.compress(data, 9)
    filters = b"/FlateDecode " * layers
    return b"<< /Length %d /Filter [ %s] %s >>\nstream\n%s\nendstream" % (len(data), filters, extra, data)


def pdf_pages(content: bytes, pages: int = 1, *more: bytes) -> bytes:
    """A PDF whose pages, all of them the same object, draw `content`; `more` are objects from 6 on."""
    return pdf_file(
        [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Kids [ %s] /Count %d >>" % (b"3 0 R " * pages, pages),
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources "
            b"<< /Font << /F1 5 0 R >> /XObject << /X0 6 0 R >> >> >>",
            content,
            b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
            *more,
        ]
    )


def _shown(line: bytes, count: int) -> bytes:
    return b"BT /F1 1 Tf 1 TL 50 700 Td " + (b"(" + line + b") Tj T*\n") * count + b"ET"


def _form(calls: bytes, resource: bytes) -> bytes:
    head = b"<< /Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << %s >> /Length %d >>"
    return head % (resource, len(calls)) + b"\nstream\n%s\nendstream" % calls


def laughs(levels: int, width: int) -> bytes:
    """A page that draws forms inside forms: width ** levels texts."""
    forms = [_form(b"/X0 Do " * width, b"/XObject << /X0 %d 0 R >>" % (7 + level)) for level in range(levels)]
    forms.append(_form(b"BT /F1 1 Tf (ha) Tj ET", b"/Font << /F1 5 0 R >>"))
    return pdf_pages(stream(b"/X0 Do"), 1, *forms)


def text_bomb(count: int = 1_000_000) -> bytes:
    return pdf_pages(stream(_shown(b"word " * 16, count)))


def page_bomb(pages: int = 50_000) -> bytes:
    """Each page draws 40 kB of text."""
    return pdf_pages(stream(_shown(b"word " * 16, 500)), pages)


def zeros_bomb() -> bytes:
    return pdf_pages(stream(b" " * 1_000_000_000, 2))


def parquet_bomb(characters: int = 20_000_000, rows: int = 3) -> bytes:
    """One long value in every row, stored once."""
    text = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array(["x" * characters]))
    sink = io.BytesIO()
    room = [os.urandom(characters // 1000).hex()] * rows  # so that the bound of expansion allows it
    table = pa.table({"text": text, "room": room})
    pq.write_table(table, sink, compression="zstd", store_schema=False)
    return sink.getvalue()
