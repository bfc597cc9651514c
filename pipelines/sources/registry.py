"""The formats of documents: those of this package, and plug-ins that a build's configuration enables."""

from collections.abc import Collection, Sequence
from functools import cache
from typing import Any

from pipelines.config import FORMATS, CorpusSettings
from pipelines.sources.document_format import DocumentFormat


def format_named(name: str, plugins: Collection[str] = ()) -> DocumentFormat:
    """The format of this name; a plug-in's only where `plugins` names it. Raises ConfigError."""
    found: DocumentFormat = FORMATS.get(name, plugins, DocumentFormat)
    return found


def format_of_suffix(suffix: str, plugins: Sequence[str] = ()) -> DocumentFormat | None:
    """The format that reads files with this extension. Plug-ins come before the formats of this package."""
    return _by_suffix(tuple(plugins)).get(suffix.lower())


def known_suffixes(plugins: Sequence[str] = ()) -> list[str]:
    """The first extension of each format, for messages."""
    return [f".{format_named(name, plugins).suffixes[0]}" for name in FORMATS.names(plugins)]


@cache
def _by_suffix(plugins: tuple[str, ...]) -> dict[str, DocumentFormat]:
    found: dict[str, DocumentFormat] = {}
    names = FORMATS.names(plugins)
    ours = len(FORMATS.built_in())
    for name in [*names[ours:], *names[:ours]]:
        for suffix in format_named(name, plugins).suffixes:
            found.setdefault(suffix, format_named(name, plugins))
    return found


def format_fingerprint(corpus: CorpusSettings) -> dict[str, Any]:
    """What counts of the formats that may read the corpus: versions of their code but the first, settings."""
    wanted = [corpus.format] if corpus.format not in ("auto", "beir") else FORMATS.names(corpus.plugins)
    formats = [format_named(name, corpus.plugins) for name in wanted]
    codes = {one.name: one.code for one in formats if one.code > 1}
    options = {
        one.name: one.own(corpus).fingerprint_values("parts") for one in formats if one.name in corpus.options
    }
    return {name: found for name, found in (("codes", codes), ("options", options)) if found}
