"""PDFs of any contents: a page for each content stream, and more objects where a test needs them."""

from collections.abc import Sequence

FIRST_FREE = 4  # number of the first of `more`


def pdf_of(
    contents: Sequence[bytes | None],
    *,
    rotate: int = 0,
    title: str = "",
    page: bytes = b"",
    resources: bytes = b"",
    catalog: bytes = b"",
    more: Sequence[bytes] = (),
) -> bytes:
    """Pages of 600 by 800 points with Helvetica as /F1. None: a page that is not there.

    page, resources, catalog: more entries of these. more: further objects, numbered from FIRST_FREE.
    """
    first = FIRST_FREE + len(more)
    kids = [first + 2 * i if content is not None else 900 + i for i, content in enumerate(contents)]
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R %s >>" % catalog,
        b"<< /Type /Pages /Count %d /Kids [%s] >>" % (len(kids), b" ".join(b"%d 0 R" % kid for kid in kids)),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        *more,
    ]
    for i, content in enumerate(contents):
        objects += [
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Rotate %d /Contents %d 0 R %s "
            b"/Resources << /Font << /F1 3 0 R >> %s >> >>" % (rotate, first + 2 * i + 1, page, resources),
            b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content or b""), content or b""),
        ]
    objects.append(b"<< /Title (%s) >>" % title.encode())
    return pdf_file(objects, b"/Root 1 0 R /Info %d 0 R" % len(objects))


def text_at(*places: tuple[float, float, str], turn: bytes = b"1 0 0 1") -> bytes:
    """A content stream that writes texts at (x, y), in this order. turn: their matrix without its place."""
    drawn = (b"%s %g %g Tm (%s) Tj" % (turn, x, y, text.encode("latin-1")) for x, y, text in places)
    return b"BT /F1 12 Tf %s ET" % b" ".join(drawn)


def pdf_file(objects: Sequence[bytes], trailer: bytes = b"/Root 1 0 R") -> bytes:
    """A PDF of these objects, numbered from 1."""
    out, offsets = b"%PDF-1.5\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    size = len(objects) + 1
    return out + (
        b"xref\n0 %d\n0000000000 65535 f \n%strailer\n<< /Size %d %s >>\nstartxref\n%d\n%%%%EOF"
        % (size, table, size, trailer, len(out))
    )
