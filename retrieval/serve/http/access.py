"""Who may ask: keys that search, keys that administer, and without keys this machine alone."""

import hashlib
import hmac
import ipaddress
import os
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import Scope

from retrieval.errors import ConfigError
from retrieval.serve.errors import Forbidden, NotAllowed
from retrieval.serve.settings import Access

Role = Literal["search", "admin"]
PREFIX = "sha256:"
LEAST_CHARACTERS = 16  # a key is hashed once, so it must not be guessable
_PROXIES = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip")
_HINT = "Make one: corpusmill key search"


def new_key() -> str:
    """A key with 256 random bits."""
    return "cm-" + secrets.token_urlsafe(32)


def hashed_key(key: str) -> str:
    """A key as it is kept. Random keys need no slow hash."""
    return PREFIX + hashlib.sha256(key.encode()).hexdigest()


class Keys:
    """Hashed keys by role; an admin key may search too."""

    def __init__(self, found: Iterable[tuple[Role, str]]) -> None:
        self._found = list(found)

    def __bool__(self) -> bool:
        return bool(self._found)

    @classmethod
    def read(cls, access: Access) -> "Keys":
        """Keys of the environment and of the file. Raises ConfigError."""
        found: list[tuple[Role, str]] = []
        roles: list[tuple[Role, str]] = [("search", access.search_key_env), ("admin", access.admin_key_env)]
        for role, name in roles:
            key = os.environ.get(name)
            if not key:
                continue
            if len(key) < LEAST_CHARACTERS:
                raise ConfigError(
                    f"the key in {name} is shorter than {LEAST_CHARACTERS} characters", hint=_HINT
                )
            found.append((role, hashed_key(key)))
        if access.keys_file is not None:
            found += _file(access.keys_file)
        return cls(found)

    def role_of(self, key: str) -> Role | None:
        """What a key may do. Every kept key is compared, in constant time."""
        digest = hashed_key(key)
        best: Role | None = None
        for role, kept in self._found:
            if hmac.compare_digest(digest, kept) and best != "admin":
                best = role
        return best


class AccessPolicy:
    """Lets requests in, or not."""

    def __init__(self, keys: Keys, origins: Iterable[str] = ()) -> None:
        """origins: of web pages that may ask."""
        self._keys = keys
        self._origins = frozenset(origins)

    @property
    def has_keys(self) -> bool:
        """Whether anybody has a key; without, this machine alone is answered."""
        return bool(self._keys)

    def check(self, scope: Scope, role: Role) -> None:
        """Raises NotAllowed or Forbidden unless this request may do what `role` may."""
        headers = Headers(scope=scope)
        if not self._keys:
            self._check_local(scope, headers)
            return
        scheme, _, key = headers.get("authorization", "").partition(" ")
        found = self._keys.role_of(key.strip()) if scheme.lower() == "bearer" and key.strip() else None
        if found is None:
            raise NotAllowed("a key is needed", hint="Send it as: Authorization: Bearer KEY")
        if role == "admin" and found != "admin":
            raise Forbidden("this needs an admin key")

    def _check_local(self, scope: Scope, headers: Headers) -> None:
        """Without keys: over the loopback interface, from no proxy, and from no page of somebody else, which
        may have had this address given to a name of its own (DNS rebinding)."""
        server, client = scope.get("server") or (None,), scope.get("client") or (None,)
        if any(name in headers for name in _PROXIES) or not (
            is_loopback(server[0]) and is_loopback(client[0])
        ):
            raise NotAllowed("this service has no keys, so it answers on its own machine only", hint=_HINT)
        origin = headers.get("origin")
        named = [headers["host"]] if "host" in headers else []
        if origin is not None and origin not in self._origins:
            named.append(origin.partition("://")[2])
        if not all(is_loopback(_host(name)) for name in named):
            raise NotAllowed("this service has no keys, so it answers no other name or page", hint=_HINT)


def is_loopback(host: str | None) -> bool:
    """Whether an address is one of this machine's own."""
    try:
        return host is not None and ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _host(name: str) -> str | None:
    """Of `host` or `host:port`."""
    try:
        return urlsplit(f"//{name}").hostname
    except ValueError:
        return None


def _file(path: Path) -> list[tuple[Role, str]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the keys file {path} cannot be read: {type(error).__name__}") from error
    found: list[tuple[Role, str]] = []
    for number, line in enumerate(lines, 1):
        words = line.split("#")[0].split()
        if not words:
            continue
        digest = words[1].removeprefix(PREFIX) if len(words) == 2 else ""
        if words[0] not in ("search", "admin") or len(digest) != 64 or not words[1].startswith(PREFIX):
            raise ConfigError(
                f"{path}, line {number} is not a hashed key",
                hint="A line is: search sha256:64 hexadecimal digits",
            )
        found.append((words[0], words[1].lower()))  # type: ignore[arg-type]
    return found
