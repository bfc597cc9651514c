"""The part of a build's configuration that says what the input is."""

from importlib import import_module
from typing import Annotated, Any, Literal

from pydantic import ByteSize, Field, ValidationInfo, WithJsonSchema, field_validator
from pydantic.json_schema import SkipJsonSchema

from pipelines.extraction import check_encoding
from retrieval.plugins import Registry
from retrieval.settings import Bytes, CountsFor, Settings

MetadataType = Literal[
    "string", "integer", "float", "boolean", "date", "datetime",
    "list[string]", "list[integer]", "list[float]", "list[boolean]", "list[date]",
    "list[datetime]",
]  # fmt: skip

FORMATS = Registry(
    "document format", "corpus.format", "pipelines.sources.formats", "FORMAT", "corpusmill.formats"
)
_BY_NAMES = {"auto": "by the files' names"}
_BEIR = {"beir": "the corpus.jsonl of a folder of BEIR"}
SELECTIONS = (*_BY_NAMES, *_BEIR)  # what corpus.format may say that is no format

MOST_METADATA_FIELDS = 1000  # each is a column of every passage, also where it has no value
MOST_NAME_CHARACTERS = 200

# One string or a list of them: what the validators below take, an editor must accept.
Strings = Annotated[
    list[str],
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]


def _document_formats(schema: dict[str, Any]) -> None:
    """The formats of this package, in the schema and on the reference page; imported when it is made."""
    told: dict[str, str] = {}
    for name in FORMATS.built_in():
        found = import_module(f"{FORMATS.room}.{name}").FORMAT
        told[name] = f"{found.summary} ({', '.join(f'.{suffix}' for suffix in found.suffixes)})"
    schema |= FORMATS.schema(told, _BY_NAMES | _BEIR)
    schema.pop("type")


def is_field_name(name: str) -> bool:
    """Whether a metadata field may have this name: it is shown, and typed in filters."""
    return 0 < len(name) <= MOST_NAME_CHARACTERS and name.isprintable() and not name.isspace()


class FieldSettings(Settings):
    """Which fields of a record are what: of each, the first name under which it has a value."""

    id: Strings = Field(
        ["_id", "id", "doc_id", "docid"], description="Field with the document's id, first match."
    )
    title: Strings = Field(["title"], description="Field with the title, first match.")
    text: Strings = Field(
        ["text", "contents", "content", "body"], min_length=1, description="Field with the text, first match."
    )

    @field_validator("id", "title", "text", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value


class CorpusSettings(Settings):
    """The input: where it lies, how its records are read, and what is done with bad ones."""

    paths: Annotated[Strings, CountsFor()] = Field(
        min_length=1,
        description="Files, folders, globs or URLs (s3://, gs://, http://, https://), read in this order.",
    )
    plugins: SkipJsonSchema[tuple[str, ...]] = Field((), exclude=True)  # of the whole build
    format: str = Field(
        "auto", description="Format of the files.", json_schema_extra=_document_formats, validate_default=True
    )
    encoding: str = Field(
        "",
        description="Encoding of files of text, by a label of the web or a name of Python (windows-1251, "
        "cp437, utf-16-le). A byte order mark, and what an HTML page declares, come first. Empty: UTF-8, "
        "else the one that is detected, which a note says.",
    )
    # They count where a format says so.
    options: Annotated[dict[str, dict[str, Any]], CountsFor()] = Field(
        default_factory=dict,
        description="Settings that formats have of their own, by the format's name: those of csv and tsv "
        "stand below, a plug-in's page says which it has.",
    )
    follow_links: Annotated[bool, CountsFor()] = Field(
        False,
        description="Whether symbolic links are followed that lead out of a folder of `paths`, and links to "
        "folders; otherwise they are left out.",
    )
    fields: FieldSettings = Field(default_factory=FieldSettings, description="Field mapping.")
    metadata: dict[str, MetadataType] | Literal["auto", "none"] = Field(
        "auto",
        description="Metadata fields and their types, for filters. auto: scalar fields beside id, "
        "title and text, also inside objects, with the types that a sample shows, which widen where later "
        "values ask for it; at most 1000, those that most of its records have, with printable names of at "
        "most 200 characters.",
    )
    on_type_mismatch: Literal["coerce", "reject"] = Field(
        "coerce",
        description="A metadata value of another type than is declared: coerce what converts without "
        "loss and reject the rest, or reject at once, also where a sample showed the type.",
    )
    max_reject_share: Annotated[float, CountsFor()] = Field(
        0.01, ge=0, le=1, description="Share of rejected documents beyond which the build fails."
    )
    duplicates: Annotated[Literal["fail", "keep_first", "keep_last"], CountsFor("version")] = Field(
        "fail", description="Two documents with one id: fail, or keep the first or the last one."
    )
    slice_bytes: Annotated[Bytes, CountsFor()] = Field(
        ByteSize(8_000_000),
        gt=0,
        description="Input that one task reads: a byte range, row groups, small files.",
    )
    max_document_bytes: Bytes = Field(
        ByteSize(256_000_000), gt=0, description="A longer record is rejected instead of held in memory."
    )
    extract_memory: Bytes = Field(
        ByteSize(1_000_000_000),
        ge=200_000_000,
        description="Memory of the process that parses foreign files (HTML, PDF, Parquet); a document that "
        "needs more is rejected.",
    )
    extract_seconds: float = Field(
        60, gt=0, description="Time for it; a document that needs longer is rejected."
    )
    storage_options: Annotated[dict[str, Any], CountsFor()] = Field(
        default_factory=dict,
        description="fsspec options of the corpus's file system (endpoint_url, ...); keep secrets in the "
        "environment.",
    )

    @field_validator("paths", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str) -> str:
        check_encoding(value)
        return value

    @field_validator("format")
    @classmethod
    def _known_format(cls, value: str, info: ValidationInfo) -> str:
        return FORMATS.check(value, info.data.get("plugins", ()), SELECTIONS)

    @field_validator("options")
    @classmethod
    def _of_known_formats(cls, value: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        for name in value:
            FORMATS.check(name, info.data.get("plugins", ()))
        return value

    @field_validator("metadata")
    @classmethod
    def _usable_names(cls, value: Any) -> Any:
        if isinstance(value, dict):
            for name in value:
                if not is_field_name(name):
                    raise ValueError(
                        f"{name[:40]!a} cannot be the name of a field: names are printable and have 1 to "
                        f"{MOST_NAME_CHARACTERS} characters"
                    )
            if len(value) > MOST_METADATA_FIELDS:
                raise ValueError(f"{len(value)} fields are too many: at most {MOST_METADATA_FIELDS}")
        return value
