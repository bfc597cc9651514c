"""Text of an HTML page: a walk over its tree that writes at most as much as the page itself holds.

Styles are not followed, except for `display: none`: no padding, no indentation, no columns. Between
words lies one blank, between cells a tab, between lines a newline, between paragraphs an empty line, and
only the strongest of those that meet.
"""

import re
from itertools import islice
from typing import Any

import lxml.etree

from pipelines.extraction.answers import BadData
from pipelines.extraction.titles import meaning

_HEADING_BYTES = 2000
_MOST_LOOKED_AT = 50  # titles and headings
_MAX_DEPTH = 1000  # elements inside each other
_HIDDEN = frozenset("datalist head iframe noembed noframes noscript script style template".split())
_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
_LINES = frozenset(
    "address article aside body center dd details dialog dir div dl dt fieldset figcaption footer form "
    "header hgroup html layer legend li main menu nav ol option optgroup search section select summary "
    "tbody tfoot thead title tr ul".split()
)
_PARAGRAPHS = frozenset(
    "blockquote caption figure h1 h2 h3 h4 h5 h6 hr listing p plaintext pre table xmp".split()
)
_CELLS = frozenset(("td", "th"))
_PREFORMATTED = frozenset("listing plaintext pre textarea xmp".split())
_SPACE, _CELL, _LINE, _PARAGRAPH = 1, 2, 3, 4
_SEPARATORS = ("", " ", "\t", "\n", "\n\n")
_NOT_DISPLAYED = re.compile(
    r"(?:^|[;\s])(display\s{0,9}:\s{0,9}none|visibility\s{0,9}:\s{0,9}(?:hidden|collapse))", re.IGNORECASE
)


def extract(data: bytes, max_bytes: int) -> tuple[str, str]:
    """(title, text) of a page in UTF-8; raises BadData, also for a text of more than `max_bytes` bytes."""
    if b"\0" in data:  # which the HTML standard reads so
        data = data.replace(b"\0", "\ufffd".encode())
    parser = lxml.etree.HTMLParser(
        encoding="utf-8", huge_tree=True, remove_comments=True, remove_pis=True, no_network=True
    )
    try:
        tree = lxml.etree.fromstring(data, parser) if data.strip() else None
    except (lxml.etree.LxmlError, ValueError) as error:
        _check_memory(parser)
        raise BadData(f"the HTML cannot be read: {error}") from error
    _check_memory(parser)
    if tree is None:
        return "", ""
    return _title(tree) or _heading(tree), _text(tree, max_bytes)


def _title(tree: Any) -> str:
    """That of the page, not of a drawing in it."""
    for title in islice(tree.iter("title"), _MOST_LOOKED_AT):
        if next(title.iterancestors("svg"), None) is None and (found := meaning(title.text or "")):
            return found
    return ""


def _heading(tree: Any) -> str:
    """The first heading that is shown and says something."""
    for heading in islice(tree.iter(*_HEADINGS), _MOST_LOOKED_AT):
        hidden = any(map(_is_hidden, (heading, *heading.iterancestors())))
        if not hidden and (found := meaning(_text(heading, _HEADING_BYTES, whole=False))):
            return found
    return ""


def _is_hidden(element: Any) -> bool:
    """Whether browsers show nothing of it."""
    if element.tag in _HIDDEN or _NOT_DISPLAYED.search(element.get("style") or ""):
        return True
    hidden = element.get("hidden")
    if hidden is not None and hidden.lower() != "until-found":
        return True
    return element.tag == "dialog" and element.get("open") is None


def _check_memory(parser: lxml.etree.HTMLParser) -> None:
    """libxml2 that runs out of memory gives what it has."""
    if any(entry.type == lxml.etree.ErrorTypes.ERR_NO_MEMORY for entry in parser.error_log):
        raise MemoryError


def _text(tree: Any, max_bytes: int, whole: bool = True) -> str:
    """The text below an element. whole: False cuts it where it gets too long."""
    out = _Text()
    depth = preformatted = 0
    walk = lxml.etree.iterwalk(tree, events=("start", "end"))
    for event, element in walk:
        if out.length > max_bytes:
            break
        tag = element.tag
        if event == "end":
            depth -= 1
            preformatted -= tag in _PREFORMATTED
            _separate(out, tag)
            if element.tail and depth:
                out.add(element.tail, preformatted > 0)
            continue
        depth += 1
        if depth > _MAX_DEPTH:
            raise BadData(f"the HTML is nested too deeply (more than {_MAX_DEPTH} elements)")
        preformatted += tag in _PREFORMATTED
        if _is_hidden(element):
            walk.skip_subtree()
            continue
        _separate(out, tag)
        if tag == "br":
            out.line_break()
        elif tag == "li":
            out.bullet = True
        if element.text:
            out.add(element.text, preformatted > 0)
    if whole and out.length > max_bytes:
        raise BadData(f"the text is longer than max_document_bytes ({max_bytes})")
    return out.finish()


def _separate(out: "_Text", tag: str) -> None:
    if tag in _PARAGRAPHS:
        out.separate(_PARAGRAPH)
    elif tag in _LINES:
        out.separate(_LINE)
    elif tag in _CELLS:
        out.separate(_CELL)


class _Text:
    """Text as it is written: the separators that meet become the strongest of them."""

    def __init__(self) -> None:
        self.bullet = False
        self._parts: list[str] = []
        self._pending = 0
        self.length = 0

    def separate(self, strength: int) -> None:
        """What comes next is apart from what is there."""
        if strength > self._pending:
            self._pending = strength

    def line_break(self) -> None:
        """A `<br>`; a second one makes an empty line."""
        self._pending = _PARAGRAPH if self._pending >= _LINE else _LINE

    def add(self, text: str, preformatted: bool) -> None:
        """Text of one element; blanks and newlines are one blank unless it is preformatted."""
        words = text.split()
        if not words:
            self.separate(_LINE if preformatted and "\n" in text else _SPACE)
            return
        if preformatted:
            self._write(text.strip("\n"))
            self._pending = _LINE if text.endswith("\n") else 0
            return
        if text[0].isspace():
            self.separate(_SPACE)
        self._write(" ".join(words))
        self._pending = _SPACE if text[-1].isspace() else 0

    def _write(self, text: str) -> None:
        if self._parts:
            self._parts.append(_SEPARATORS[self._pending])
        if self.bullet:
            self._parts.append("* ")
            self.bullet = False
        self._parts.append(text)
        self.length += len(text)

    def finish(self) -> str:
        """All of it."""
        return "".join(self._parts)
