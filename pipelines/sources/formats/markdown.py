"""Markdown: the text as it stands, its title from the front matter or the first heading."""

import re

from pipelines.extraction import Extracted
from pipelines.sources.document_format import Reading
from pipelines.sources.whole_files import WholeFileFormat, text_of

_FRONT_MATTER = re.compile(r"(---|\+\+\+)[ \t]*\r?\n(.{0,20000}?)^\1[ \t]*\r?$", re.DOTALL | re.MULTILINE)
_FRONT_TITLE = re.compile(r"^title[ \t]*[:=][ \t]*(\S[^\r\n]*)", re.MULTILINE)
_HEADING = re.compile(r" {0,3}#{1,6}[ \t]")
_UNDERLINE = re.compile(r" {0,3}(=+|-+)[ \t]*$")
_FENCE = re.compile(r" {0,3}(```|~~~)")
_HEADING_LINES = 2000  # of a Markdown file that are searched for a heading
_LINE_CHARACTERS = 1200  # of a line that may be a heading


class Markdown(WholeFileFormat):
    name = "markdown"
    summary = "a file is a document, its title in the front matter or a heading"
    suffixes = ("md", "markdown")
    code = 2

    def extract(self, data: bytes, reading: Reading) -> Extracted:
        text, notes = text_of(data, reading)
        return Extracted(_front_title(text) or _heading(text), text, notes)


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
        if fenced or len(line) > _LINE_CHARACTERS:
            before = ""
            continue
        heading = _HEADING.match(line)
        if heading and (found := _without_closing(line[heading.end() :].strip(" \t"))):
            return found
        if before and _UNDERLINE.match(line):
            return before
        before = line.strip()
    return ""


def _without_closing(heading: str) -> str:
    """A heading without the number signs that may end it after a blank."""
    bare = heading.rstrip("#")
    return heading if bare and not bare[-1].isspace() else bare.strip()


FORMAT = Markdown()
