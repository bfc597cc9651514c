"""Files that are one document each: plain text, Markdown, HTML and PDF."""

import codecs
import posixpath
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import lxml.etree
import lxml.html
import pypdfium2
from inscriptis import Inscriptis

from pipelines.config import FieldSettings
from pipelines.sources.documents import Reject, reject
from pipelines.sources.files import InputFile
from pipelines.sources.streams import BadData, read_whole

_BOMS = (  # UTF-32 before UTF-16, whose mark its own begins with
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_TITLE_CHARACTERS = 300  # a title found in a file stands before each of its passages
_FRONT_MATTER = re.compile(r"(---|\+\+\+)[ \t]*\r?\n(.{0,20000}?)^\1[ \t]*\r?$", re.DOTALL | re.MULTILINE)
_FRONT_TITLE = re.compile(r"^title[ \t]*[:=][ \t]*(\S[^\r\n]*)", re.MULTILINE)
_HEADING = re.compile(r" {0,3}#{1,6}[ \t]+(.*?)(?:[ \t]+#+)?[ \t]*$")
_UNDERLINE = re.compile(r" {0,3}(=+|-+)[ \t]*$")
_FENCE = re.compile(r" {0,3}(```|~~~)")
_HEADING_LINES = 2000  # of a Markdown file that are searched for a heading
_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_:.-]{2,40})", re.IGNORECASE)
_LEGACY = re.compile(r"(iso8859-\d+|cp125\d|koi8-[ru]|big5|gbk|gb2312|gb18030|shift_jis|cp932|euc_(jp|kr))\Z")


def records(
    file: InputFile, options: Mapping[str, Any], max_bytes: int, fields: FieldSettings
) -> Iterator[tuple[int, dict[str, Any]] | Reject]:
    """The one record of `file`: its name as id, its title, its text."""
    try:
        title, text = _READERS[file.format](read_whole(file, options, max_bytes))
    except BadData as error:
        yield reject(file.name, 0, str(error), file.name)
        return
    values = {"id": file.name, "title": _short(title) or _stem(file.name), "text": text}
    # under the names that the mapping looks for
    yield 0, {getattr(fields, kind)[0]: value for kind, value in values.items() if getattr(fields, kind)}


def _short(title: str) -> str:
    return " ".join(title[: 4 * _TITLE_CHARACTERS].split())[:_TITLE_CHARACTERS]


def _stem(name: str) -> str:
    return posixpath.basename(name).split(".")[0] or name


def _decoded(data: bytes) -> str:
    """Text by its byte order mark, else as UTF-8."""
    encoding = "utf-8"
    for mark, marked in _BOMS:
        if data.startswith(mark):
            data, encoding = data[len(mark) :], marked
            break
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise BadData(f"invalid {encoding.upper()} at byte {error.start}") from error


def _text(data: bytes) -> tuple[str, str]:
    return "", _decoded(data)


def _markdown(data: bytes) -> tuple[str, str]:
    text = _decoded(data)
    return _front_title(text) or _heading(text), text


def _front_title(text: str) -> str:
    front = _FRONT_MATTER.match(text)
    title = _FRONT_TITLE.search(front[2]) if front else None
    return title[1].strip().strip("\"'") if title else ""


def _heading(text: str) -> str:
    front = _FRONT_MATTER.match(text)
    fenced, before = False, ""
    for line in text[front.end() if front else 0 :][: 1 << 20].splitlines()[:_HEADING_LINES]:
        if _FENCE.match(line):
            fenced = not fenced
        if fenced or len(line) > 4 * _TITLE_CHARACTERS:
            before = ""
            continue
        heading = _HEADING.match(line)
        if heading and heading[1]:
            return heading[1]
        if before and _UNDERLINE.match(line):
            return before
        before = line.strip()
    return ""


def _html(data: bytes) -> tuple[str, str]:
    text = _decoded_html(data).replace("\0", "\ufffd")  # as the HTML standard reads NUL
    if not text.strip():
        return "", ""
    parser = lxml.html.HTMLParser(encoding="utf-8", huge_tree=True)
    try:
        tree = lxml.html.document_fromstring(text.encode(), parser=parser)
        return tree.findtext(".//title") or "", Inscriptis(tree).get_text()
    except RecursionError as error:
        raise BadData("the HTML is nested too deeply") from error
    except (lxml.etree.LxmlError, ValueError) as error:
        raise BadData(f"the HTML cannot be read: {error}") from error


def _decoded_html(data: bytes) -> str:
    """HTML by its byte order mark, else as UTF-8, else in the legacy encoding that it declares."""
    try:
        return _decoded(data)
    except BadData:
        declared = _CHARSET.search(data, 0, 4096)
        if declared is None:
            raise
        try:
            name = codecs.lookup(declared[1].decode()).name
        except LookupError:
            raise BadData(f"unknown charset {declared[1].decode()}") from None
        if not _LEGACY.match(name):
            raise
        # browsers read Latin-1 as Windows-1252, its superset for printable characters
        name = "cp1252" if name in ("iso8859-1", "ascii") else name
        try:
            return data.decode(name)
        except UnicodeDecodeError as error:
            raise BadData(f"invalid {name} at byte {error.start}") from error


def _pdf(data: bytes) -> tuple[str, str]:
    try:
        pdf = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        encrypted = "password" in str(error).lower()
        raise BadData("an encrypted PDF" if encrypted else f"a PDF that cannot be read: {error}") from error
    try:
        title = pdf.get_metadata_value("Title")
        text = "\n\n".join(filter(None, (_pdf_page(pdf, i) for i in range(len(pdf)))))
    except pypdfium2.PdfiumError as error:
        raise BadData(f"a PDF that cannot be read: {error}") from error
    finally:
        pdf.close()
    if not text:
        raise BadData("a PDF without text (scanned pages need OCR first)")
    return title, text


def _pdf_page(pdf: pypdfium2.PdfDocument, number: int) -> str:
    page = pdf[number]
    try:
        text_page = page.get_textpage()
        try:
            text = str(text_page.get_text_bounded())
        finally:
            text_page.close()
    finally:
        page.close()
    # U+FFFE and U+0002 are PDFium's marks of a word broken at the end of a line
    return re.sub("[\ufffe\x02](?:\r?\n)?", "", text).replace("\r\n", "\n").strip()


_READERS: dict[str, Callable[[bytes], tuple[str, str]]] = {
    "text": _text,
    "markdown": _markdown,
    "html": _html,
    "pdf": _pdf,
}
