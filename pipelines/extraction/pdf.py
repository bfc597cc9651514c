"""Text of a PDF, page after page, until there is more of it than a document may have."""

import re
from collections.abc import Iterator

import pypdfium2

from pipelines.extraction.answers import BadData

_TITLE_CHARACTERS = 1200
_BROKEN_WORD = re.compile("[\ufffe\x02](?:\r?\n)?")  # PDFium's marks of a word broken at the end of a line


def extract(data: bytes, max_bytes: int) -> tuple[str, str]:
    """(title, text); raises BadData, also for a text of more than `max_bytes` bytes of UTF-8."""
    try:
        pdf = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        encrypted = "password" in str(error).lower()
        raise BadData("an encrypted PDF" if encrypted else f"a PDF that cannot be read: {error}") from error
    try:
        title = pdf.get_metadata_value("Title")[:_TITLE_CHARACTERS]
        text = "\n\n".join(_pages(pdf, max_bytes))
    except pypdfium2.PdfiumError as error:
        raise BadData(f"a PDF that cannot be read: {error}") from error
    finally:
        pdf.close()
    if not text:
        raise BadData("a PDF without text (scanned pages need OCR first)")
    return title, text


def _pages(pdf: pypdfium2.PdfDocument, max_bytes: int) -> Iterator[str]:
    left = max_bytes
    for number in range(len(pdf)):
        page = pdf[number]
        try:
            text = _page_text(page, left)
        finally:
            page.close()
        if text is not None:
            left -= len(text.encode("utf-8", "replace"))
        if text is None or left < 0:
            raise BadData(f"the text is longer than max_document_bytes ({max_bytes})")
        if text:
            yield text


def _page_text(page: pypdfium2.PdfPage, most: int) -> str | None:
    """None for a page of more than `most` characters."""
    text_page = page.get_textpage()
    try:
        if text_page.count_chars() > most:
            return None
        text = str(text_page.get_text_bounded())
    finally:
        text_page.close()
    return _BROKEN_WORD.sub("", text).replace("\r\n", "\n").strip()
