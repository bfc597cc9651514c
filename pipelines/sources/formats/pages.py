"""Files that are one document each: plain text, Markdown, HTML and PDF."""

import posixpath
import re
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from functools import partial
from typing import Any, TypeVar

from pipelines.config import CorpusSettings
from pipelines.extraction import BadData, Limits, decoded, thread_extractor
from pipelines.sources.documents import Reject, reject
from pipelines.sources.files import InputFile, read_whole
from retrieval.errors import CorpusmillError

EMPTY = "empty file"
FORMATS = ("text", "markdown", "html", "pdf")
_PARSED_ELSEWHERE = ("html", "pdf")
_Found = TypeVar("_Found")
_Texts = Generator[tuple[str, str] | BadData, None, None]

_TITLE_CHARACTERS = 300  # a title found in a file stands before each of its passages
_FRONT_MATTER = re.compile(r"(---|\+\+\+)[ \t]*\r?\n(.{0,20000}?)^\1[ \t]*\r?$", re.DOTALL | re.MULTILINE)
_FRONT_TITLE = re.compile(r"^title[ \t]*[:=][ \t]*(\S[^\r\n]*)", re.MULTILINE)
_HEADING = re.compile(r" {0,3}#{1,6}[ \t]")
_UNDERLINE = re.compile(r" {0,3}(=+|-+)[ \t]*$")
_FENCE = re.compile(r" {0,3}(```|~~~)")
_HEADING_LINES = 2000  # of a Markdown file that are searched for a heading


def records(
    files: Sequence[InputFile], corpus: CorpusSettings
) -> Iterator[tuple[str, int, dict[str, Any]] | Reject]:
    """(source, 0, record) of each file: its name as id, its title, its text; or why it has none."""
    found = _parsed(files, corpus) if files[0].format in _PARSED_ELSEWHERE else _read(files, corpus)
    fields = corpus.fields
    with closing(found):
        for file, answer in zip(files, found, strict=True):
            if isinstance(answer, BadData):
                yield reject(file.name, 0, str(answer), file.name)
                continue
            title, text = answer
            values = {"id": file.name, "title": _short(title) or _stem(file.name), "text": text}
            # under the names that the mapping looks for
            yield file.name, 0, {getattr(fields, k)[0]: v for k, v in values.items() if getattr(fields, k)}


def _parsed(files: Sequence[InputFile], corpus: CorpusSettings) -> _Texts:
    fetched = (_fetched(file, corpus) for file in files)
    return thread_extractor(limits(corpus)).extract_all(files[0].format, fetched)


def _read(files: Sequence[InputFile], corpus: CorpusSettings) -> _Texts:
    for file in files:
        data = _fetched(file, corpus)
        yield data if isinstance(data, BadData) else _or_bad(partial(_READERS[file.format], data))


def _fetched(file: InputFile, corpus: CorpusSettings) -> bytes | BadData:
    if file.size == 0:
        return BadData(EMPTY)
    return _or_bad(partial(read_whole, file, corpus.storage_options, int(corpus.max_document_bytes)))


def _or_bad(call: Callable[[], _Found]) -> _Found | BadData:
    """What the call gives; whatever the data make a library raise is about the data."""
    try:
        return call()
    except CorpusmillError:
        raise
    except BadData as error:
        return error
    except Exception as error:
        return BadData(f"cannot be read: {type(error).__name__}: {error}")


def limits(corpus: CorpusSettings) -> Limits:
    """What a document of `corpus` may cost in the process that parses it."""
    return Limits(int(corpus.extract_memory), corpus.extract_seconds, int(corpus.max_document_bytes))


def _short(title: str) -> str:
    return " ".join(title[: 4 * _TITLE_CHARACTERS].split())[:_TITLE_CHARACTERS]


def _stem(name: str) -> str:
    return posixpath.basename(name).split(".")[0] or name


def _text(data: bytes) -> tuple[str, str]:
    return "", decoded(data)


def _markdown(data: bytes) -> tuple[str, str]:
    text = decoded(data)
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


_READERS: dict[str, Callable[[bytes], tuple[str, str]]] = {"text": _text, "markdown": _markdown}
