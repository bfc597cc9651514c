"""Reading the settings of the service: from a file of its own, or from one for `serve deploy`."""

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from retrieval.errors import ConfigError
from retrieval.serve.settings import ServeSettings


def read_settings(index: str | None, config: Path | None) -> ServeSettings:
    """Settings of a file in the form of `serve deploy`'s, the index taken from the command line if given.

    Raises ConfigError.
    """
    values: dict[str, Any] = {}
    if config is not None:
        values = _arguments(config)
    if index is not None:
        values["index"] = index
    try:
        return ServeSettings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(step) for step in first["loc"])
        raise ConfigError(f"{config or 'the command line'}: {place}: {first['msg']}") from error


def _arguments(config: Path) -> dict[str, Any]:
    try:
        found = yaml.safe_load(config.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{config} cannot be read: {error}") from error
    if isinstance(found, dict) and "applications" in found:
        found = found["applications"][0].get("args", {})
    if not isinstance(found, dict):
        raise ConfigError(f"{config} holds no settings", hint="See deploy/serve.yaml.")
    return found
