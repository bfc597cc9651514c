"""Formats whose files are one document each."""

import posixpath
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from typing import Any, ClassVar, TypeVar

from pipelines.config import CorpusSettings
from pipelines.extraction import BadData, Extracted, decode, thread_extractor
from pipelines.sources.document_format import EMPTY, Cut, DocumentFormat, Reading, Record, grouped, limits
from pipelines.sources.documents import Note, Reject, note, reject
from pipelines.sources.files import InputFile, read_whole
from retrieval.errors import CorpusmillError

_Found = TypeVar("_Found")
_Texts = Generator[Extracted | BadData, None, None]

_TITLE_CHARACTERS = 300  # a title found in a file stands before each of its passages


class WholeFileFormat(DocumentFormat):
    """A file that is one document, whose id is its name. Its text comes from `extract`, or from `parser`.

    parser: the module whose `extract(data, max_bytes)` gives (title, text), in the process for foreign
    bytes, which keeps to the corpus's limits. It is imported there alone, by a process without secrets.
    A subclass has the one or the other: a class that has neither raises TypeError as it is made.
    """

    parser: ClassVar[str] = ""
    has_fields = False

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if not cls.parser and cls.extract is WholeFileFormat.extract:
            raise TypeError(f"{cls.__name__} has neither a `parser` nor `extract`")

    def extract(self, data: bytes, reading: Reading) -> Extracted | tuple[str, str]:
        """(title, text) of a file of at most `max_document_bytes`; the title may be "". Raises BadData.

        An `Extracted` may have notes too. Of a subclass only for what takes no parser that
        hostile bytes could harm.
        """
        return thread_extractor(limits(reading.corpus)).extract(self.parser, data)

    def prepared(self, data: bytes, reading: Reading) -> tuple[bytes, tuple[str, ...]]:
        """What `parser` gets of a file, and notes on it. Raises BadData."""
        return data, ()

    def cut(
        self, files: Sequence[InputFile], slice_bytes: int, storage_options: Mapping[str, Any]
    ) -> Iterator[Cut]:
        """Files put together."""
        return grouped(files, slice_bytes)

    def records(
        self, files: Sequence[InputFile], start: int, end: int, reading: Reading
    ) -> Iterator[Record | Reject | Note]:
        """A record for each file: its name as id, its title, its text."""
        fields = reading.corpus.fields
        fetched = (_fetched(file, reading.corpus) for file in files)
        found = self._parsed(fetched, reading) if self.parser else self._extracted(fetched, reading)
        with closing(found):
            for file, answer in zip(files, found, strict=True):
                if isinstance(answer, BadData):
                    yield reject(file.name, 0, str(answer), file.name)
                    continue
                title, text, *more = answer
                yield from (note(file.name, 0, told) for told in (more[0] if more else ()))
                values = {"id": file.name, "title": _short(title) or _stem(file), "text": text}
                # under the names that the mapping looks for
                found_names = {k: getattr(fields, k) for k in values}
                yield file.name, 0, {found_names[k][0]: v for k, v in values.items() if found_names[k]}

    def _parsed(self, fetched: Iterator[bytes | BadData], reading: Reading) -> _Texts:
        notes: deque[tuple[str, ...]] = deque()  # of the files that the process is given ahead of its answers

        def prepared() -> Iterator[bytes | BadData]:
            for data in fetched:
                found = data if isinstance(data, BadData) else _or_bad(partial(self.prepared, data, reading))
                notes.append(() if isinstance(found, BadData) else found[1])
                yield found if isinstance(found, BadData) else found[0]

        with closing(
            thread_extractor(limits(reading.corpus)).extract_all(self.parser, prepared())
        ) as answers:
            for answer in answers:
                own = notes.popleft()
                if own and not isinstance(answer, BadData):
                    answer = answer._replace(notes=(*own, *answer.notes))
                yield answer

    def _extracted(self, fetched: Iterator[bytes | BadData], reading: Reading) -> _Texts:
        for data in fetched:
            found = data if isinstance(data, BadData) else _or_bad(partial(self.extract, data, reading))
            yield found if isinstance(found, BadData) else Extracted(*found)


def text_of(data: bytes, reading: Reading, declared: str = "") -> tuple[str, tuple[str, ...]]:
    """The characters of a file, and notes on how they were found. Raises BadData."""
    text, told = decode(data, declared, reading.corpus.encoding)
    return text, (told,) if told else ()


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


def _short(title: str) -> str:
    return " ".join(title[: 4 * _TITLE_CHARACTERS].split())[:_TITLE_CHARACTERS]


def _stem(file: InputFile) -> str:
    """The file's name without what says its format: dots in it are part of a title."""
    stem = posixpath.basename(file.name)
    for _ in range(2 if file.compression else 1):
        stem = stem.rpartition(".")[0] or stem
    return stem
