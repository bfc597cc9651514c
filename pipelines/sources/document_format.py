"""What a format of documents offers: how its files are known, cut into slices, and read as records."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import ValidationError

from pipelines.config import CorpusSettings
from pipelines.extraction import Limits
from pipelines.sources.documents import Note, Reject, reject
from pipelines.sources.files import InputFile
from retrieval.errors import ConfigError, CorpusmillError
from retrieval.settings import Settings
from retrieval.storage import first_error

EMPTY = "empty file"
MAX_FILES = 1000  # in a slice of small files

Cut = tuple[Sequence[InputFile], int, int]  # files of a slice, start, end
Record = tuple[str, int, dict[str, Any]]  # file's name, position in it, fields


@dataclass(frozen=True)
class Reading:
    """How records are read: the corpus's settings, the format's own, the fields wanted (None: all)."""

    corpus: CorpusSettings
    options: Any
    columns: set[str] | None

    @property
    def max_bytes(self) -> int:
        """Most bytes that a document may have."""
        return int(self.corpus.max_document_bytes)


class DocumentFormat(ABC):
    """A format of documents; an object without state. docs/extending.md goes through it step by step.

    Most derive from `RecordFormat`, a file of many records, or from `WholeFileFormat`, a file that is one
    document.
    """

    name: ClassVar[str]  # `corpus.format` in a configuration, and its module's or entry point's name
    summary: ClassVar[str]  # a few words for the reference page
    suffixes: ClassVar[tuple[str, ...]]  # extensions in small letters, without the dot
    label: ClassVar[str] = ""  # in messages, where it is not `name`
    code: ClassVar[int] = 1  # raised when the same file gives other records: they are read again
    options: ClassVar[type[Settings]] = Settings  # `corpus.options.<name>` in a configuration

    compressible: ClassVar[bool] = True  # files of it may be compressed as a whole
    has_fields: ClassVar[bool] = True  # its records may have metadata
    only_text: ClassVar[bool] = False  # its values are strings that stand for other types, as in CSV
    cut_by_bytes: ClassVar[bool] = False  # start and end of its slices are bytes of the file

    def cut(
        self, files: Sequence[InputFile], slice_bytes: int, storage_options: Mapping[str, Any]
    ) -> Iterator[Cut]:
        """Slices of about `slice_bytes` bytes, in the order of `files`; what start and end mean is its own.

        0 and -1 stand for whole files. Raises StorageError.
        """
        for file in files:
            yield (file,), 0, -1

    @abstractmethod
    def records(
        self, files: Sequence[InputFile], start: int, end: int, reading: Reading
    ) -> Iterator[Record | Reject | Note]:
        """Every record of a slice, in order, in bounded memory; what is wrong with the data is a reject.

        What was guessed, replaced or left out of records is a note. A record may have more
        fields than are wanted. Raises StorageError.
        """

    def own(self, corpus: CorpusSettings) -> Any:
        """The format's own settings. Raises ConfigError."""
        try:
            return self.options.model_validate(corpus.options.get(self.name, {}))
        except ValidationError as error:
            raise ConfigError(
                f"corpus.options.{self.name}: {first_error(error)}",
                hint="Its settings: " + (", ".join(self.options.model_fields) or "none"),
            ) from error


class RecordFormat(DocumentFormat):
    """A file of many records: `read` gives those of one file or of a range of it."""

    @abstractmethod
    def read(
        self, file: InputFile, start: int, end: int, reading: Reading
    ) -> Iterator[tuple[int, dict[str, Any]] | Reject | Note]:
        """(position, record), a reject or a note, for each record of a file between start and end."""

    def records(
        self, files: Sequence[InputFile], start: int, end: int, reading: Reading
    ) -> Iterator[Record | Reject | Note]:
        for file in files:
            if file.size == 0:
                yield reject(file.name, 0, EMPTY)
                continue
            for item in refusing(file.name, self.read(file, start, end, reading)):
                yield (file.name, *item) if isinstance(item, tuple) else item


def refusing(
    source: str, items: Iterator[tuple[int, dict[str, Any]] | Reject | Note]
) -> Iterator[tuple[int, dict[str, Any]] | Reject | Note]:
    """The items; what a library did not foresee in the data costs the rest of them, and names the file."""
    position = 0
    try:
        for item in items:
            position = item[0] if isinstance(item, tuple) else item.position
            yield item
    except CorpusmillError:
        raise
    except Exception as error:
        yield reject(source, position, f"cannot be read from here on: {type(error).__name__}: {error}")


def grouped(files: Sequence[InputFile], slice_bytes: int) -> Iterator[Cut]:
    """Whole files put together to slices of about `slice_bytes` bytes."""
    together: list[InputFile] = []
    filled = 0
    for file in files:
        if together and (filled + file.size > slice_bytes or len(together) == MAX_FILES):
            yield tuple(together), 0, -1
            together, filled = [], 0
        together.append(file)
        filled += max(0, file.size)
    if together:
        yield tuple(together), 0, -1


def limits(corpus: CorpusSettings) -> Limits:
    """What a document of `corpus` may cost in the process that parses it."""
    return Limits(int(corpus.extract_memory), corpus.extract_seconds, int(corpus.max_document_bytes))
