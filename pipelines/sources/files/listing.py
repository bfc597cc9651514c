"""Input files: what `corpus.paths` names, listed in a deterministic order with stable names."""

import os
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from pipelines.config import CorpusSettings
from pipelines.sources.files.file_systems import version_of
from pipelines.sources.files.find import Found, find
from pipelines.sources.files.input_file import InputFile
from pipelines.sources.files.left_out import UNREADABLE, LeftOut, describe_left_out
from pipelines.sources.registry import format_named, format_of_suffix, known_suffixes
from retrieval.errors import InputError

_COMPRESSIONS = {"gz": "gzip", "zst": "zstd", "zstd": "zstd", "bz2": "bz2"}
_BREAKS_LINES = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029]")
_MARKERS = {"_SUCCESS", "_metadata", "_common_metadata"}


@dataclass(frozen=True)
class Listing:
    """Input files in order, and what was found but left out: counts by reason, and the first ones."""

    files: list[InputFile]
    left_out: dict[str, int]
    skipped: list[tuple[str, str]]  # (URL, reason)


@dataclass
class _Selection:
    corpus: CorpusSettings
    files: list[InputFile] = field(default_factory=list)
    left_out: LeftOut = field(default_factory=LeftOut)
    urls: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)


def list_files(corpus: CorpusSettings) -> Listing:
    """The input files: paths in the order given, files under a path in the order of their names.

    A file that two paths reach is listed once. A folder is taken with its subfolders; in a BEIR folder
    only corpus.jsonl is. Links out of a folder are left out unless `corpus.follow_links`, and indexes of
    corpusmill always. Raises InputError where a path does not exist, is no file or lies in an index, or
    nothing usable is found, StorageError where the storage cannot be listed, ConfigError for a URL that no
    file system serves.
    """
    selection = _Selection(corpus)
    for given in corpus.paths:
        found = find(given, corpus)
        if corpus.format in ("auto", "beir"):
            found = _without_beir_queries(found, given, selection)
        for item in found:
            _take(item, selection)
    if not selection.files:
        raise InputError(
            f"no input files in {', '.join(corpus.paths)}"
            + (
                f"; left out: {left_out}"
                if (left_out := describe_left_out(selection.left_out.counts))
                else ": it is empty"
            ),
            hint=f"Files are known by their extensions ({', '.join(known_suffixes(corpus.plugins))}, "
            "with .gz, .zst or .bz2); set corpus.format for others.",
        )
    return Listing(selection.files, selection.left_out.counts, selection.left_out.first)


def _beir_corpus(name: str) -> bool:
    return posixpath.basename(name).split(".", 2)[:2] == ["corpus", "jsonl"]


def _without_beir_queries(found: list[Found], given: str, selection: _Selection) -> list[Found]:
    """`found` without what lies beside the corpus file in a BEIR folder."""
    whole = [item for item in found if not item.named and not item.reason]
    corpora: dict[str, str] = {}
    for item in whole:
        if _beir_corpus(item.name):
            corpora.setdefault(posixpath.dirname(item.name), item.name)
    beside = {
        posixpath.dirname(i.name) for i in whole if posixpath.basename(i.name).startswith("queries.jsonl")
    }
    beside |= {
        posixpath.dirname(posixpath.dirname(i.name))
        for i in whole
        if posixpath.basename(posixpath.dirname(i.name)) == "qrels"
    }
    folders = {folder: corpus for folder, corpus in corpora.items() if folder in beside}
    if selection.corpus.format == "beir":
        folders = corpora
        if whole and not corpora:
            raise InputError(
                f"corpus.paths: {given} is not a BEIR folder: it has no corpus.jsonl",
                hint="Name the folder that holds corpus.jsonl, or set corpus.format to the files' format.",
            )
    kept = []
    for item in found:
        folder = next((f for f in _ancestors(item.name) if f in folders), None)
        if item.named or folder is None or item.name == folders[folder]:
            kept.append(item)
        else:
            selection.left_out.add(
                item.url, "beside the corpus file of a BEIR folder", "beside a BEIR corpus"
            )
    return kept


def _ancestors(name: str) -> Iterator[str]:
    while name:
        name = posixpath.dirname(name)
        yield name


def _take(item: Found, selection: _Selection) -> None:
    if item.reason:
        selection.left_out.add(item.url, item.reason, item.label)
        return
    if item.url in selection.urls:
        selection.left_out.add(item.url, "named by two of corpus.paths", "named twice")
        return
    format, compression, reason, label = _format_of(item, selection.corpus)
    if reason:
        selection.left_out.add(item.url, reason, label)
        return
    try:
        version = version_of(item.fs, item.path, item.info)
    except FileNotFoundError:
        selection.left_out.add(item.url, "gone since it was listed", "gone")
        return
    except PermissionError as error:
        selection.left_out.add(item.url, f"it cannot be read: {error.strerror}", UNREADABLE)
        return
    selection.urls.add(item.url)
    size = item.info.get("size")
    # Bytes that are not UTF-8 stand as \xNN: a name is the id of a document, and has to be text.
    readable = os.fsencode(item.name).decode("utf-8", "backslashreplace") if item.on_disk else item.name
    name = _unique(readable, selection.names)
    selection.files.append(
        InputFile(item.url, name, -1 if size is None else int(size), version, format, compression)
    )


def _format_of(item: Found, corpus: CorpusSettings) -> tuple[str, str | None, str, str]:
    """(format, compression, "", "") of a file, or last why it is left out, in full and in a word."""
    base = posixpath.basename(item.name)
    if not item.named and any(name.startswith(".") for name in item.name.split("/")):
        return "", None, "hidden", "hidden"
    if base in _MARKERS:
        return "", None, "a marker of the program that wrote the folder", "marker of another program"
    if _BREAKS_LINES.search(item.path) or "::" in item.path:
        return "", None, "its name has control characters, ends of lines or `::`", "odd name"
    stem, _, extension = base.rpartition(".")
    compression = _COMPRESSIONS.get(extension.lower()) if stem else None
    if compression:
        stem, _, extension = stem.rpartition(".")
    wanted = corpus.format
    reads = format_of_suffix(extension, corpus.plugins) if stem else None
    known = reads.name if reads else ""
    format = {"auto": known, "beir": "jsonl"}.get(wanted, wanted)
    if not format and stem:
        return "", None, f"unknown extension .{extension}", f".{extension}"
    if not format:
        return "", None, "no extension", "no extension"
    chosen = format_named(format, corpus.plugins)
    if not item.named and known not in ("", format) and extension.lower() not in chosen.suffixes:
        return "", None, f"{known} by its name, and corpus.format is {wanted}", "of another format"
    if compression and not chosen.compressible:
        label = chosen.label or chosen.name
        return "", None, f"a compressed file around {label}: unpack it", f"compressed {label}"
    return format, compression, "", ""


def _unique(name: str, names: set[str]) -> str:
    """`name`, or with the first free number behind it; the first file of a name keeps it."""
    unique, number = name, 2
    while unique in names:
        unique, number = f"{name}~{number}", number + 1
    names.add(unique)
    return unique
