"""Input files: what `corpus.paths` names, listed in a deterministic order with stable names."""

import difflib
import os
import posixpath
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from fsspec.implementations.local import LocalFileSystem

from pipelines.config import CorpusSettings
from pipelines.sources.storage import file_system, storage_error, version_of
from retrieval.errors import CorpusmillError, InputError

_FORMATS = {
    "jsonl": "jsonl", "ndjson": "jsonl", "jsonlines": "jsonl",
    "parquet": "parquet", "pq": "parquet", "parq": "parquet",
    "csv": "csv", "tsv": "tsv", "tab": "tsv",
    "txt": "text", "text": "text", "md": "markdown", "markdown": "markdown",
    "html": "html", "htm": "html", "xhtml": "html", "pdf": "pdf",
}  # fmt: skip
_COMPRESSIONS = {"gz": "gzip", "zst": "zstd", "zstd": "zstd", "bz2": "bz2"}
_MARKERS = {"_SUCCESS", "_metadata", "_common_metadata"}
_MAGIC = frozenset("*?[")


@dataclass(frozen=True)
class InputFile:
    """A file of the corpus. `name` is unique in the listing and the same wherever the corpus lies."""

    url: str
    name: str
    size: int  # bytes as stored, -1 where the file system does not say
    version: str
    format: str  # jsonl, parquet, csv, tsv, text, markdown, html or pdf
    compression: str | None  # gzip, zstd or bz2


@dataclass(frozen=True)
class Listing:
    """Input files in order, and what was found but left out: (URL, reason)."""

    files: list[InputFile]
    skipped: list[tuple[str, str]]


@dataclass(frozen=True)
class _Found:
    """A file as its file system lists it; `name` is relative to `given`, the path the user named."""

    fs: Any
    path: str
    name: str
    info: dict[str, Any]
    named: bool  # by itself or by a glob, so that it is taken whatever its name ends in


@dataclass
class _Selection:
    corpus: CorpusSettings
    files: list[InputFile] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    urls: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)


def list_files(corpus: CorpusSettings) -> Listing:
    """The input files: paths in the order given, files under a path in the order of their names.

    A file that two paths reach is listed once. A folder is taken with its subfolders; in a BEIR folder
    only corpus.jsonl is. Raises InputError where a path does not exist or nothing usable is found,
    StorageError where the storage cannot be listed, ConfigError for a URL that no file system serves.
    """
    selection = _Selection(corpus)
    for given in corpus.paths:
        found = _find(given, corpus)
        if corpus.format in ("auto", "beir"):
            found = _without_beir_queries(found, given, selection)
        for item in found:
            _take(item, selection)
    if not selection.files:
        raise InputError(
            f"no input files in {', '.join(corpus.paths)}" + _skipped_summary(selection.skipped),
            hint="Files are known by their extensions (.jsonl, .parquet, .csv, .tsv, .txt, .md, .html, .pdf, "
            "with .gz, .zst or .bz2); set corpus.format for others.",
        )
    return Listing(selection.files, selection.skipped)


def _find(given: str, corpus: CorpusSettings) -> list[_Found]:
    fs, path = file_system(given, corpus.storage_options)
    try:
        fs.invalidate_cache()
        return sorted(_found_under(fs, path, given), key=lambda item: item.name)
    except CorpusmillError:
        raise
    except Exception as error:  # file systems raise errors of their own client libraries
        raise storage_error(given, error) from error


def _found_under(fs: Any, path: str, given: str) -> Iterator[_Found]:
    try:
        info = fs.info(path)
    except FileNotFoundError:
        if not _MAGIC & set(path):
            raise _does_not_exist(fs, path, given) from None
        yield from _globbed(fs, path, given)
        return
    if info["type"] == "directory":
        yield from _in_folder(fs, path, path)
    else:
        yield _Found(fs, path, posixpath.basename(path), info, named=True)


def _globbed(fs: Any, pattern: str, given: str) -> Iterator[_Found]:
    fixed = posixpath.dirname(pattern[: min(pattern.index(c) for c in _MAGIC & set(pattern))])
    matches = fs.glob(pattern, detail=True)
    if not matches:
        raise InputError(f"corpus.paths: nothing matches {given}", hint=_nearest(fs, pattern))
    files = {path: info for path, info in matches.items() if info["type"] != "directory"}
    for path, info in matches.items():
        if info["type"] != "directory":
            yield _Found(fs, path, posixpath.relpath(path, fixed or "/"), info, named=True)
            continue
        for item in _in_folder(fs, path, fixed):
            if item.path not in files:
                yield item


def _in_folder(fs: Any, folder: str, root: str) -> Iterator[_Found]:
    if isinstance(fs, LocalFileSystem):
        for _ in os.walk(folder, onerror=_raise):
            pass  # fsspec leaves out folders that may not be read, whatever it is told below the first
    for path, info in fs.find(folder, detail=True).items():
        if not path.endswith("/"):  # some object stores keep an empty object for a folder
            yield _Found(fs, path, posixpath.relpath(path, root or "/"), info, named=False)


def _raise(error: OSError) -> None:
    raise error


def _does_not_exist(fs: Any, path: str, given: str) -> InputError:
    return InputError(f"corpus.paths: {given} does not exist", hint=_nearest(fs, path))


def _nearest(fs: Any, path: str) -> str:
    """Hint with the existing name nearest to the first missing piece of `path`."""
    parent, name = posixpath.split(path.rstrip("/"))
    while parent and not fs.exists(parent) and posixpath.dirname(parent) != parent:
        parent, name = posixpath.split(parent)
    try:
        siblings = sorted(posixpath.basename(p.rstrip("/")) for p in fs.ls(parent, detail=False))
    except (OSError, ValueError):
        return "Check the path."
    near = difflib.get_close_matches(name, siblings, n=1, cutoff=0.0)
    return f"Nearest in {parent or '/'}: {near[0]}" if near else f"{parent or '/'} is empty."


def _beir_corpus(name: str) -> bool:
    return posixpath.basename(name).split(".", 2)[:2] == ["corpus", "jsonl"]


def _without_beir_queries(found: list[_Found], given: str, selection: _Selection) -> list[_Found]:
    """`found` without what lies beside the corpus file in a BEIR folder."""
    whole = [item for item in found if not item.named]
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
            selection.skipped.append((_url(item), "beside the corpus file of a BEIR folder"))
    return kept


def _ancestors(name: str) -> Iterator[str]:
    while name:
        name = posixpath.dirname(name)
        yield name


def _take(item: _Found, selection: _Selection) -> None:
    url = _url(item)
    if url in selection.urls:
        selection.skipped.append((url, "named by two of corpus.paths"))
        return
    format, compression, reason = _format_of(item, selection.corpus.format)
    if reason:
        selection.skipped.append((url, reason))
        return
    try:
        version = version_of(item.fs, item.path, item.info)
    except FileNotFoundError:
        selection.skipped.append((url, "a link to nothing"))
        return
    selection.urls.add(url)
    size = item.info.get("size")
    name = _unique(item.name, selection.names)
    selection.files.append(
        InputFile(url, name, -1 if size is None else int(size), version, format, compression)
    )


def _format_of(item: _Found, wanted: str) -> tuple[str, str | None, str]:
    """(format, compression, "") of a file, or a reason in the third place why it is left out."""
    base = posixpath.basename(item.name)
    if not item.named and any(piece.startswith(".") for piece in item.name.split("/")):
        return "", None, "hidden"
    if base in _MARKERS:
        return "", None, "a marker of the program that wrote the folder"
    if not item.path.isprintable() or "::" in item.path:
        return "", None, "its name has characters that cannot be used"
    if isinstance(item.fs, LocalFileSystem) and item.info["type"] != "file" and item.fs.isdir(item.path):
        return "", None, "a link to a folder: name the folder in corpus.paths"
    stem, _, extension = base.rpartition(".")
    compression = _COMPRESSIONS.get(extension.lower()) if stem else None
    if compression:
        stem, _, extension = stem.rpartition(".")
    known = _FORMATS.get(extension.lower(), "") if stem else ""
    format = {"auto": known, "beir": "jsonl"}.get(wanted, wanted)
    if not format:
        return "", None, f"unknown extension .{extension}" if stem else "no extension"
    if not item.named and known not in ("", format):
        return "", None, f"{known} by its name, and corpus.format is {wanted}"
    if compression and format == "parquet":
        return "", None, "a compressed file around Parquet: unpack it"
    return format, compression, ""


def _unique(name: str, names: set[str]) -> str:
    """`name`, or with the first free number behind it; the first file of a name keeps it."""
    unique, number = name, 2
    while unique in names:
        unique, number = f"{name}~{number}", number + 1
    names.add(unique)
    return unique


def _url(item: _Found) -> str:
    return item.path if isinstance(item.fs, LocalFileSystem) else str(item.fs.unstrip_protocol(item.path))


def _skipped_summary(skipped: list[tuple[str, str]]) -> str:
    if not skipped:
        return ": it is empty"
    reasons = Counter(reason for _, reason in skipped)
    return "; left out: " + ", ".join(f"{n} ({reason})" for reason, n in reasons.most_common(4))
