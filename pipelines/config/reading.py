"""Reads a configuration file: YAML, every key checked, every mistake named with what comes nearest."""

import difflib
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from retrieval.errors import ConfigError
from retrieval.settings import ModelSettings

START = "Start from configs/laptop.yaml, or: corpusmill build --corpus PATH --index PATH"
_HINT = "Every setting is listed in docs/configuration.md, and in the schemas in configs/."
Config = TypeVar("Config", bound=BaseModel)


def read_yaml(path: Path, start: str, needs: str) -> dict[str, Any]:
    """The keys of a file. start, needs: said where there is none. Raises ConfigError."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"there is no configuration file {path}", hint=start) from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} cannot be read as YAML: {error}", hint=start) from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path} holds no keys", hint=needs)
    return values


def validated(kind: type[Config], values: dict[str, Any], where: str) -> Config:
    """Values as a configuration; raises ConfigError that names every wrong key."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        lines = list(dict.fromkeys(_explain(kind, item) for item in error.errors()))
        raise ConfigError(
            f"{where}: " + ("\n  ".join(["", *lines]) if len(lines) > 1 else lines[0]).lstrip(" "),
            hint=_HINT,
        ) from error


def _explain(kind: type[BaseModel], item: Any) -> str:
    # pydantic names the alternatives of a union too, such as dict[str,...]: no key of a file looks so.
    place = [str(step) for step in item["loc"] if "[" not in str(step)]
    key = ".".join(place)
    if item["type"] == "extra_forbidden":
        near = difflib.get_close_matches(place[-1], _keys_at(kind, place[:-1]), n=1, cutoff=0.0)
        return f"unknown key {key}; the nearest one is {'.'.join([*place[:-1], *near])}"
    if item["type"] == "missing":
        return f"{key} is missing and has no default"
    given = repr(item["input"])
    return f"{key}: {item['msg']} (it is {given if len(given) <= 300 else given[:300] + '...'})"


def _keys_at(kind: type[BaseModel], place: list[str]) -> list[str]:
    model: Any = kind
    for step in place:
        model = model.model_fields[step].annotation
    return list(model.model_fields)


def absolute_path(folder: Path, value: str) -> str:
    """A path of a configuration in `folder`; a URL stays."""
    return value if "://" in value or "::" in value else str(folder / Path(value).expanduser())


def own_models(folder: Path, model: ModelSettings) -> ModelSettings:
    """A model whose folders are named by paths from `folder`; other names may be Hugging Face names."""
    names = {name: getattr(model, name) for name in ("name", "query_name")}
    local = {
        name: absolute_path(folder, value) for name, value in names.items() if value and value[0] in ".~"
    }
    return model.model_copy(update=local)


def without_credentials(url: str) -> str:
    """A URL without user and password, and over HTTP without its query, which may be a signature."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return url
    if scheme.startswith("http"):
        rest = rest.partition("?")[0]
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"
