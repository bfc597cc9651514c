"""Markdown: the text as it stands, its title from the front matter or the first heading."""

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


def _heading(text: str) -> str:
    """The first heading that says something, without its markup: by a parser, which knows what is code."""
    for most in _LOOKED_AT:
        part = text[:most]
        blocks = _parser().parse(part)
        last = len(blocks) if len(part) == len(text) else len(blocks) - 3  # the last one may be cut
        for i in range(last):
            if blocks[i].type == "heading_open":
                inline = blocks[i + 1].children or []
                words = "".join(t.content or " " for t in inline if t.type in _TEXTS)
                if found := meaning(_ATTRIBUTES.sub("", words)):
                    return found
        if len(part) == len(text):
            break
    return ""


FORMAT = Markdown()
