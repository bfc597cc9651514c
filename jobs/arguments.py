"""What all commands share: reading arguments, telling errors, printing JSON."""

import json
import math
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from pydantic import ValidationError

from jobs.terminal import tell
from pipelines.config import BuildConfig, load_config, validate, without_credentials
from retrieval.errors import ConfigError, CorpusmillError
from retrieval.storage import Store

if TYPE_CHECKING:
    from retrieval.generation import GenerationSettings

Where = Annotated[
    str, typer.Argument(metavar="INDEX|CONFIG", help="Folder or URL of an index, or a configuration.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
TrustCode = Annotated[
    bool, typer.Option("--trust-remote-code", help="Run Python code that the index's models bring.")
]
AllowPickle = Annotated[
    bool, typer.Option("--allow-pickle", help="Load weights of its models that are not safetensors.")
]
Plugins = Annotated[
    list[str] | None, typer.Option("--plugin", help="Installed plug-in that the index may load; repeatable.")
]


def read_settings(config: Path | None, corpus: list[str] | None, index: str | None) -> BuildConfig:
    """The configuration of a build from its file, or from --corpus and --index alone."""
    if config is not None and not corpus and not index:
        return load_config(config)
    if config is not None:
        raise ConfigError("give a configuration file, or --corpus and --index, not both")
    if not corpus or not index:
        raise ConfigError(
            "nothing says what to build",
            hint="corpusmill build CONFIG, or corpusmill build --corpus PATH --index PATH",
        )
    return validate({"corpus": {"paths": corpus}, "index": {"path": index}}, "the command line")


def resume_command(config: Path | None, corpus: list[str] | None, index: str | None) -> str:
    """What to type to go on."""
    words = ["corpusmill", "build"]
    words += [str(config)] if config else []
    for path in corpus or []:
        words += ["--corpus", without_credentials(path)]
    words += ["--index", without_credentials(index)] if index else []
    return shlex.join(words)


def open_store(where: str) -> Store:
    """The store of an index that is named by its place or by the configuration that builds it."""
    if where.endswith((".yaml", ".yml")) and Path(where).is_file():
        index = load_config(where).index
        return Store(index.path, index.storage_options)
    if "://" not in where and not Path(where).is_dir():
        raise ConfigError(
            f"there is no index {where}", hint=f"Build it: corpusmill build --corpus PATH --index {where}"
        )
    return Store(where)


def generation(
    kind: str | None, model: str | None, base_url: str | None, api_key_env: str | None,
    configured: "GenerationSettings | None" = None, decode: str | None = None, hops: int | None = None,
    context: dict[str, Any] | None = None,
) -> "GenerationSettings":  # fmt: skip
    """The generator: as configured, but for what the command line names. Raises ConfigError.

    context: settings of what is read of the passages; None: as configured.
    """
    from retrieval.generation import GenerationSettings
    from retrieval.generation.kinds import KINDS

    configured = configured or GenerationSettings()
    values = configured.model_dump()
    if kind not in (None, configured.kind):  # what the configuration says of another generator is not for it
        others = {"model", *(name for one in KINDS.values() for name in one.own)}
        values = {name: value for name, value in values.items() if name not in others} | {"kind": kind}
    own = {"model": model, "base_url": base_url, "api_key_env": api_key_env}
    named = {name: value for name, value in own.items() if value is not None}
    chosen = KINDS.get(values["kind"])
    if named and chosen is not None and chosen.open is None:
        option = "--" + next(iter(named)).replace("_", "-")
        raise ConfigError(f"{option} is of a generator, and none is chosen", hint="Add: --generator local")
    ways = {"decode": decode, "hops": hops}
    told = {name: value for name, value in ways.items() if value is not None}
    read = {name: value for name, value in (context or {}).items() if value is not None}
    try:
        return GenerationSettings.model_validate(
            {**values, **named, **told, "context": {**values["context"], **read}}
        )
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(step) for step in first["loc"]) or "the generator"
        hint = "Add: --generator local" if decode and not kind else ""
        raise ConfigError(f"{place}: {first['msg']}", hint=hint) from error


def run(work: Callable[[], None]) -> None:
    """Run a command; what goes wrong is told without a traceback."""
    try:
        work()
    except CorpusmillError as error:
        fail(error)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def fail(error: CorpusmillError, *more: str) -> NoReturn:
    """Print an error with its hint and leave with its exit code."""
    tell(f"Error: {error.message}")
    for text in (error.hint, *more):
        if text:
            tell(text)
    raise typer.Exit(error.exit_code)


def show_json(values: dict[str, Any]) -> None:
    """One JSON object on standard output; ASCII, so that no terminal or pipe can spoil it.

    JSON has no infinite numbers: they are null, as the service writes them.
    """
    try:
        print(json.dumps(values, default=str, allow_nan=False))
    except ValueError:
        print(json.dumps(_finite(values), default=str, allow_nan=False))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
