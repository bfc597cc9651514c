"""The URLs that name files: of fsspec's many protocols, those that are tried, and none that runs or wraps."""

from collections.abc import Collection

from fsspec.core import split_protocol
from fsspec.registry import known_implementations, registry

from retrieval.errors import ConfigError

SCHEMES = ("file", "local", "s3", "s3a", "gs", "gcs", "http", "https")
OF_ONE_PROCESS = ("memory",)


def check_scheme(url: str, what: str, schemes: Collection[str] = (*SCHEMES, *OF_ONE_PROCESS)) -> None:
    """Raise ConfigError unless `url` is a path, or of one of `schemes`.

    A protocol that this program itself has registered with fsspec is taken too.
    """
    scheme, _ = split_protocol(url)
    own = scheme in registry and scheme not in known_implementations
    if "::" not in url and (scheme is None or scheme in schemes or own):
        return
    kind = "chained URLs (::)" if "::" in url else f"URLs of {ascii(scheme)[1:-1]}://"
    known = ", ".join(f"{name}://" for name in SCHEMES)
    raise ConfigError(
        f"{what}: {kind} cannot be read: {ascii(url[:200])[1:-1]}",
        hint=f"Take a path, or a URL of {known}; copy other files first.",
    )
