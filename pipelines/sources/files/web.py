"""Listings of a web server: pages of links, below a folder alone, and not without end."""

import posixpath
from typing import Any
from urllib.parse import unquote, urlsplit

from fsspec.implementations.http import HTTPFileSystem

from retrieval.errors import InputError

MOST_FOLDERS = 5_000  # of one listing: each is a request
MOST_LEVELS = 64


class WebFiles(HTTPFileSystem):
    """HTTP whose folders have an end, and hold nothing that lies elsewhere.

    A page is written by its server: a link may lead upwards, or each folder may name another one in it.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._folders = 0

    def invalidate_cache(self, path: str | None = None) -> None:
        """Begin another listing."""
        self._folders = 0
        super().invalidate_cache(path)

    async def _ls_real(self, url: str, detail: bool = True, **options: Any) -> list[Any]:
        self._folders += 1
        if self._folders > MOST_FOLDERS or len(_segments(url)) > MOST_LEVELS:
            raise InputError(
                f"corpus.paths: the folders of {urlsplit(url).hostname} have no end: more than "
                f"{MOST_FOLDERS} of them, or {MOST_LEVELS} one in the other",
                hint="Name the files, or a folder that holds fewer.",
            )
        found = await super()._ls_real(url, detail=detail, **options)
        return [item for item in found if is_below(item["name"] if detail else item, url)]


def is_below(url: str, folder: str) -> bool:
    """Whether a URL, its escapes and dots resolved as servers do, lies below a folder and goes down only."""
    segments = _segments(url)
    above = _segments(folder)
    return ".." not in segments and len(segments) > len(above) and segments[: len(above)] == above


def _segments(url: str) -> list[str]:
    parts = urlsplit(url)
    path = unquote(parts.path).replace("\\", "/")
    return [parts.netloc, *(segment for segment in path.split(posixpath.sep) if segment not in ("", "."))]
