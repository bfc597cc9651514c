"""Markdown: the text as it stands, its title from the front matter or the first heading."""

import html
import re
import tomllib
from functools import cache

import yaml
from markdown_it import MarkdownIt

from pipelines.extraction import Extracted, meaning
from pipelines.sources.document_format import Reading
from pipelines.sources.whole_files import WholeFileFormat, text_of

_MOST = 20_000  # characters of front matter
_FRONT_MATTER = re.compile(
    rf"(?:---[ \t]*\r?\n(?P<yaml>.{{0,{_MOST}}}?)^(?:---|\.\.\.)|"
    rf"\+\+\+[ \t]*\r?\n(?P<toml>.{{0,{_MOST}}}?)^\+\+\+)"
    r"[ \t]*\r?$",
    re.DOTALL | re.MULTILINE,
)
_TITLE_LINE = re.compile(r"^title[ \t]*[:=][ \t]*(\S[^\r\n]*)", re.MULTILINE | re.IGNORECASE)
_LOOKED_AT = (4_000, 64_000)  # characters that a heading is looked for in, more where there is none in fewer
_FIRST = re.compile(r"\s{0,999}^ {0,3}#{1,6}[ \t]+([^\r\n]{1,1000}?)(?:[ \t]+#+)?[ \t]*$", re.MULTILINE)
_MAY_BE_HEADING = re.compile(
    r"^[ \t>*+\-\d.)]{0,99}(?:#{1,6}(?:[ \t]|$)|(?:=+|-+)[ \t]*$|<h[1-6])", re.MULTILINE | re.IGNORECASE
)
_ELEMENT = re.compile(r"<h([1-6])\b[^>]{0,500}>(.{1,1000}?)</h\1>", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<[^>]{0,1000}>")
_MARKUP = re.compile(r"[\\`*_\[\]<>&!{}#~\r\n]")
_MOST_HEADING = 2_000  # characters
_ATTRIBUTES = re.compile(r"\s*\{[#.:][^}]*\}\s*$")
_TEXTS = ("text", "code_inline", "softbreak", "hardbreak")


class Markdown(WholeFileFormat):
    name = "markdown"
    summary = "a file is a document, its title in the front matter or a heading"
    suffixes = ("md", "markdown")
    code = 2

    def extract(self, data: bytes, reading: Reading) -> Extracted:
        text, notes = text_of(data, reading)
        front = _FRONT_MATTER.match(text)
        title = _front_title(front) if front else None
        begins = front.end() if front and title is not None else 0  # lines around no keys are rules
        return Extracted(meaning(title or "") or _heading(text[begins:]), text, notes)


def _front_title(front: re.Match[str]) -> str | None:
    """The title as YAML or TOML reads it; where they cannot read, the line with the title; None: no keys."""
    try:
        if front["toml"] is not None:
            value = tomllib.loads(front["toml"].replace("\r\n", "\n")).get("title")
            return value if isinstance(value, str) else ""
        return _yaml_title(front["yaml"])
    except (yaml.YAMLError, ValueError, RecursionError):  # such as a colon that should have been quoted
        found = _TITLE_LINE.search(front["toml"] or front["yaml"] or "")
        return found[1].strip().strip("\"'") if found else ""


def _yaml_title(text: str) -> str | None:
    """The value of the key `title` as it is written: nothing is made of it, neither dates nor numbers."""
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    if not isinstance(node, yaml.MappingNode):
        return None
    found = {key.value: value for key, value in node.value if isinstance(key, yaml.ScalarNode)}
    for key in ("title", "Title", "TITLE"):
        value = found.get(key)
        if isinstance(value, yaml.ScalarNode) and not value.tag.endswith(":null"):
            return str(value.value)
    return ""


@cache
def _parser() -> MarkdownIt:
    return MarkdownIt("commonmark")


@cache
def _block_parser() -> MarkdownIt:
    return MarkdownIt("commonmark").disable("inline")


def _plain(heading: str) -> str:
    """A heading without its markup; "" where it says nothing."""
    heading = heading[:_MOST_HEADING]
    if heading.isascii() and not _MARKUP.search(heading):
        return meaning(heading)
    (block,) = _parser().parseInline(heading)
    words = "".join(token.content or " " for token in block.children or [] if token.type in _TEXTS)
    return meaning(_ATTRIBUTES.sub("", words))


def _heading(text: str) -> str:
    """The first heading that says something, without its markup: by a parser, which knows what is code."""
    # A heading before all else needs no parser, nor a text without one: nothing can make them code.
    if (first := _FIRST.match(text)) and (found := _plain(first[1])):
        return found
    if not _MAY_BE_HEADING.search(text[: _LOOKED_AT[-1]]):
        return ""
    for most in _LOOKED_AT:
        part = text[:most]
        blocks = _block_parser().parse(part)
        last = len(blocks) if len(part) == len(text) else len(blocks) - 3  # the last one may be cut
        for i in range(last):
            found = ""
            if blocks[i].type == "heading_open":
                found = _plain(blocks[i + 1].content)
            elif blocks[i].type == "html_block" and (element := _ELEMENT.search(blocks[i].content)):
                found = meaning(html.unescape(_TAG.sub("", element[2])))
            if found:
                return found
        if len(part) == len(text):
            break
    return ""


FORMAT = Markdown()
