"""Text of a PDF, page after page, until there is more of it than a document may have."""

import ctypes
import math
import re
from collections.abc import Iterator
from typing import Any

import pypdfium2
import pypdfium2.raw as pdfium

from pipelines.extraction.answers import BadData, Extracted
from pipelines.extraction.columns import Piece, in_columns
from pipelines.extraction.titles import meaning

_TITLE_CHARACTERS = 1200
_BROKEN_WORD = re.compile("[\ufffe\x02](?:\r?\n)?")  # PDFium's marks of a word broken at the end of a line
_ANGLES = 20  # characters of a page whose direction is looked at
_MOST_PIECES = 4_000  # of a page that are looked at for columns
_MOST_LOOKS = 20_000_000  # pieces times characters: PDFium looks at all of these for each of those
_MOST_ANNOTATIONS = 10_000  # of a page: fields and comments
_MOST_VALUE = 100_000  # characters of a field
_WITH_VALUES = (
    pdfium.FPDF_FORMFIELD_TEXTFIELD,
    pdfium.FPDF_FORMFIELD_COMBOBOX,
    pdfium.FPDF_FORMFIELD_LISTBOX,
)
_COMMENTS = (
    pdfium.FPDF_ANNOT_TEXT, pdfium.FPDF_ANNOT_FREETEXT, pdfium.FPDF_ANNOT_HIGHLIGHT,
    pdfium.FPDF_ANNOT_UNDERLINE,
    pdfium.FPDF_ANNOT_SQUIGGLY, pdfium.FPDF_ANNOT_STRIKEOUT, pdfium.FPDF_ANNOT_CARET, pdfium.FPDF_ANNOT_STAMP,
)  # fmt: skip
_CHOSEN = (pdfium.FPDF_FORMFIELD_CHECKBOX, pdfium.FPDF_FORMFIELD_RADIOBUTTON)


def extract(data: bytes, max_bytes: int) -> Extracted:
    """Title, text and notes; raises BadData, also for a text of more than `max_bytes` bytes of UTF-8.

    A page that cannot be read costs that page. What people have written into a form, and their comments,
    stand below the text of their page.
    """
    try:
        pdf = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        encrypted = "password" in str(error).lower()
        raise BadData("an encrypted PDF" if encrypted else f"a PDF that cannot be read: {error}") from error
    try:
        if pdf.get_formtype() != pdfium.FORMTYPE_NONE:
            pdf.init_forms()
        title = meaning(pdf.get_metadata_value("Title")[:_TITLE_CHARACTERS])
        reader = _Pages(pdf, max_bytes)
        text = "\n\n".join(reader.texts())
    except pypdfium2.PdfiumError as error:
        raise BadData(f"a PDF that cannot be read: {error}") from error
    finally:
        pdf.close()
    if not text and reader.bad:
        raise BadData(f"a PDF whose pages cannot be read: {reader.why}")
    if not text:
        raise BadData("a PDF without text (scanned pages need OCR first)")
    return Extracted(title, text, tuple(reader.notes()))


class _Pages:
    """The pages' texts; `bad` and `scanned` hold the numbers, from 1, of pages that gave none."""

    def __init__(self, pdf: pypdfium2.PdfDocument, max_bytes: int) -> None:
        self._pdf = pdf
        self._max_bytes = max_bytes
        self.bad: list[int] = []
        self.scanned: list[int] = []
        self.why = ""

    def texts(self) -> Iterator[str]:
        left = self._max_bytes
        for number in range(len(self._pdf)):
            try:
                text = self._text(number, left)
            except pypdfium2.PdfiumError as error:
                self.bad.append(number + 1)
                self.why = str(error)
                continue
            if text is not None:
                left -= len(text.encode("utf-8", "replace"))
            if text is None or left < 0:
                raise BadData(f"the text is longer than max_document_bytes ({self._max_bytes})")
            if text:
                yield text

    def notes(self) -> Iterator[str]:
        if self.bad:
            yield f"pages of a PDF that cannot be read were left out: {_listed(self.bad)}"
        if self.scanned:
            yield f"pages of a PDF with a picture and no text, which OCR would read: {_listed(self.scanned)}"

    def _text(self, number: int, most: int) -> str | None:
        """None for a page of more than `most` characters."""
        page = self._pdf[number]
        try:
            text = _page_text(page, most)
            if text is None:
                return None
            values = [value for value in dict.fromkeys(_written(page)) if value not in text]
            text = "\n".join([*([text] if text else []), *values])
            if (
                not text
                and next(page.get_objects([pdfium.FPDF_PAGEOBJ_IMAGE], max_depth=2), None) is not None
            ):
                self.scanned.append(number + 1)
            return text
        finally:
            page.close()


def _in_order(page: pypdfium2.PdfPage) -> Any:
    """The page's text: PDFium puts the lines in order for each direction of them but one, by the rotation.

    How the page is shown says nothing of that.
    """
    page.set_rotation(0)
    text_page = page.get_textpage()
    count = text_page.count_chars()
    looked_at = range(0, count, max(1, count // _ANGLES))
    angles = (pdfium.FPDFText_GetCharAngle(text_page.raw, i) for i in looked_at)
    if 2 * sum(abs(angle - math.pi / 2) < 0.1 for angle in angles) <= len(looked_at):
        return text_page
    text_page.close()
    page.set_rotation(180)
    return page.get_textpage()


def _listed(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers[:10])) + (f" and {len(numbers) - 10} more" if len(numbers) > 10 else "")


def _page_text(page: pypdfium2.PdfPage, most: int) -> str | None:
    text_page = _in_order(page)
    try:
        count = text_page.count_chars()
        if count > most:
            return None
        shown = str(text_page.get_text_bounded())
        # What lies outside the page is not shown. Where nothing does, the whole text has the ends of lines
        # that run upwards or downwards too.
        whole = str(text_page.get_text_range())
        text = whole if whole == shown or _bare(whole) == _bare(shown) else shown
        if lines := _columns(text_page, count, text.count("\n") + 1):
            rearranged = "\n".join(lines)
            text = rearranged if sorted(_bare(rearranged)) == sorted(_bare(text)) else text
    finally:
        text_page.close()
    return _BROKEN_WORD.sub("", text).replace("\r\n", "\n").strip()


def _bare(text: str) -> str:
    return "".join(text.split())


def _columns(text_page: Any, count: int, lines: int) -> list[str] | None:
    """The lines column by column, of a page of `lines` that is written across them; None for others."""
    rectangles = text_page.count_rects()
    if not max(6, lines + 3) <= rectangles <= _MOST_PIECES or rectangles * count > _MOST_LOOKS:
        return None
    pieces = []
    for i in range(rectangles):
        left, bottom, right, top = text_page.get_rect(i)
        pieces.append(Piece(left, bottom, right, top, i))
    order = in_columns(pieces)
    if order is None:
        return None

    def text_of(piece: Piece) -> str:
        found = str(text_page.get_text_bounded(piece.left, piece.bottom, piece.right, piece.top))
        return found.replace("\r\n", " ").strip()

    return [" ".join(map(text_of, line)) for line in order]


def _written(page: pypdfium2.PdfPage) -> Iterator[str]:
    """What people have written or chosen in the fields of a form, and their comments on the page."""
    for i in range(min(pdfium.FPDFPage_GetAnnotCount(page.raw), _MOST_ANNOTATIONS)):
        annotation = pdfium.FPDFPage_GetAnnot(page.raw, i)
        if not annotation:
            continue
        try:
            kind = pdfium.FPDFAnnot_GetSubtype(annotation)
            if kind in _COMMENTS:
                yield _string(pdfium.FPDFAnnot_GetStringValue, annotation, b"Contents")
            elif kind == pdfium.FPDF_ANNOT_WIDGET and page.pdf.formenv:
                yield _field_value(page.pdf.formenv.raw, annotation)
        finally:
            pdfium.FPDFPage_CloseAnnot(annotation)


def _field_value(form: Any, annotation: Any) -> str:
    kind = pdfium.FPDFAnnot_GetFormFieldType(form, annotation)
    if kind in _WITH_VALUES:
        return _string(pdfium.FPDFAnnot_GetFormFieldValue, form, annotation)
    if kind in _CHOSEN and pdfium.FPDFAnnot_IsChecked(form, annotation):
        name = _string(pdfium.FPDFAnnot_GetFormFieldAlternateName, form, annotation)
        return name or _string(pdfium.FPDFAnnot_GetFormFieldName, form, annotation)
    return ""


def _string(call: Any, *of: Any) -> str:
    """What a function of PDFium writes as UTF-16, if it has at most _MOST_VALUE characters."""
    size = call(*of, None, 0)
    if not 2 < size <= 2 * _MOST_VALUE:
        return ""
    buffer = (ctypes.c_ushort * (size // 2))()
    call(*of, buffer, size)
    text = bytes(buffer).decode("utf-16-le", "replace").rstrip("\0")
    return text.replace("\r\n", "\n").replace("\r", "\n").strip()
