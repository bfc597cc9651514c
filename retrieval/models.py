"""Where a model lies, what it is made of, and whether it may be loaded: decided before torch is imported.

A model's files are hostile until checked: pickled weights and code that the model brings are refused
unless the configuration allows them by name.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from retrieval.errors import ModelError
from retrieval.model_places import OTHER_BACKENDS, is_path, locate
from retrieval.settings import ModelSettings

_PICKLES = {".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt"}
# `.metadata` holds the settings of Stanford's ColBERT checkpoints.
_MATTERS = {".json", ".safetensors", ".txt", ".model", ".jinja", ".metadata"}
# Classes of other packages that sentence-transformers reads as its own, without importing those.
_READ_AS_OWN = {"pylate.models.Dense.Dense"}
# Large, and read by nothing that could run code.
_VOCABULARIES = {"tokenizer.json", "vocab.json"}
_BYSTANDERS = {"data_config.json", "train_results.json", "LICENSE.txt", "requirements.txt"}


@dataclass(frozen=True)
class ResolvedModel:
    """A model on this machine that has passed the checks.

    `name` is as configured; `fingerprint` is the SHA-256 (hexadecimal) over the names and digests of
    the files that decide what the model computes; `revision` is the commit of a Hugging Face snapshot.
    """

    name: str
    folder: Path
    fingerprint: str
    revision: str | None


def resolve(
    name: str, *, revision: str | None = None, trust_remote_code: bool = False, allow_pickle: bool = False
) -> ResolvedModel:
    """Find a model (folder, package, Hugging Face cache, then the network) and check its files.

    Raises ModelError where it cannot be found, or is refused for pickled weights or remote code.
    """
    endings = suffixes(trust_remote_code=trust_remote_code, allow_pickle=allow_pickle)
    folder, found = locate(name, revision, endings)
    check_files(name, folder, trust_remote_code=trust_remote_code, allow_pickle=allow_pickle)
    return ResolvedModel(name, folder, fingerprint_folder(folder, endings), found)


def resolve_side(settings: ModelSettings, side: str) -> ResolvedModel:
    """The model of one side, "passage" or "query". Raises ModelError as `resolve`."""
    separate = side == "query" and settings.query_name is not None
    return resolve(
        settings.query_name if separate and settings.query_name else settings.name,
        # The revision is that of `name`; another repository does not have that commit.
        revision=None if separate and settings.query_name != settings.name else settings.revision,
        trust_remote_code=settings.trust_remote_code,
        allow_pickle=settings.allow_pickle,
    )


def model_card(settings: ModelSettings) -> dict[str, Any]:
    """Names, revisions and fingerprints of the passage and query models, as JSON; needs no torch."""
    card: dict[str, Any] = {}
    for side in ("passage", "query"):
        model = resolve_side(settings, side)
        card[side] = {"name": model.name, "revision": model.revision, "fingerprint": model.fingerprint}
    return card


def check_files(name: str, folder: Path, *, trust_remote_code: bool, allow_pickle: bool) -> None:
    """Refuse what must not be loaded, from the names of files and the JSON in them alone.

    Raises ModelError for code that the model brings, pickled weights without a safetensors
    counterpart, adapters (they load a second model that is not checked), and missing files.
    """
    if not any(folder.rglob("config.json")):
        raise ModelError(
            f"model {name!r}: {folder} has no config.json, so it is not a model",
            hint="Name the folder that holds config.json, the tokenizer and model.safetensors.",
        )
    folders = list(module_folders(folder))
    if not trust_remote_code:
        _refuse_code(name, folder, folders)
    for part in folders:
        if (part / "adapter_config.json").is_file():
            raise ModelError(
                f"model {name!r} is an adapter ({part / 'adapter_config.json'})",
                hint="Merge it into its base model, save that, and name the merged folder.",
            )
        weights = [p.name for p in part.iterdir() if p.is_file()] if part.is_dir() else []
        pickled = sorted(w for w in weights if Path(w).suffix in _PICKLES)
        if pickled and not allow_pickle and not any(w.endswith(".safetensors") for w in weights):
            raise ModelError(
                f"model {name!r} has pickled weights without safetensors: {part / pickled[0]}",
                hint="A pickle can run any code when it is loaded. Convert the model to safetensors, or, if "
                "you trust it, set `model.allow_pickle: true`.",
            )
    weights_endings = {".safetensors"} | (_PICKLES if allow_pickle else set())
    if not any(p.suffix in weights_endings for part in folders if part.is_dir() for p in part.iterdir()):
        raise ModelError(
            f"model {name!r}: {folder} has no safetensors weights",
            hint="Copy model.safetensors there; a model with pickled weights only needs "
            "`model.allow_pickle: true`.",
        )


def module_folders(folder: Path) -> Iterator[Path]:
    """The model's folder and those of its sentence-transformers modules, routers' ones included."""
    yield folder
    for path, _ in _modules(folder):
        if path != folder:
            yield path


def _modules(folder: Path) -> Iterator[tuple[Path, str]]:
    """Folder and class name of every module that modules.json or a router's configuration names."""
    listed = read_json(folder / "modules.json") or []
    for module in listed:
        path = _inside(folder, module.get("path", ""))
        yield path, str(module.get("type", ""))
        if str(module.get("type", "")).endswith("Router") or (path / "router_config.json").is_file():
            yield from router_modules(path)


def router_modules(path: Path) -> Iterator[tuple[Path, str]]:
    """Folder and class name of every module of the router in `path`."""
    config = read_json(path / "router_config.json") or read_json(path / "config.json") or {}
    for module, kind in config.get("types", {}).items():
        yield _inside(path, module), str(kind)


def _inside(folder: Path, relative: str) -> Path:
    path = (folder / relative).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise ModelError(f"model in {folder}: module path {relative!r} leads out of the folder")
    return folder / relative if relative else folder


def _refuse_code(name: str, folder: Path, folders: list[Path]) -> None:
    hint = "If you trust its authors, set `model.trust_remote_code: true`: their code runs on every worker."
    for path, kind in _modules(folder):
        if not kind.startswith("sentence_transformers.") and kind not in _READ_AS_OWN:
            raise ModelError(f"model {name!r} asks for a module class of its own: {kind} ({path})", hint=hint)
    for part in folders:
        for file in sorted(part.glob("*.json")) if part.is_dir() else []:
            content = None if file.name in _VOCABULARIES else read_json(file)
            if isinstance(content, dict) and content.get("auto_map"):
                raise ModelError(f"model {name!r} brings its own Python code: auto_map in {file}", hint=hint)
            activation = content.get("activation_function") if isinstance(content, dict) else None
            if isinstance(activation, str) and "." in activation and not activation.startswith("torch."):
                raise ModelError(
                    f"model {name!r} asks for an activation of its own: {activation} in {file}", hint=hint
                )


def read_json(path: Path) -> Any:
    """Content of a JSON file, or None where there is none. Raises ModelError where it is broken."""
    try:
        return json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as error:
        raise ModelError(f"{path} is not valid JSON: {error}", hint="Copy the model again.") from error


def is_local_folder(name: str) -> bool:
    """Whether a configured name is the path of a folder of this machine."""
    return is_path(name) and Path(name).expanduser().is_dir()


def suffixes(*, trust_remote_code: bool, allow_pickle: bool) -> frozenset[str]:
    """Endings of the files that decide what a model computes."""
    code = {".py"} if trust_remote_code else set()
    return frozenset(_MATTERS | code | (_PICKLES if allow_pickle else set()))


def model_paths(folder: Path, endings: frozenset[str]) -> list[Path]:
    """The files of a model's folder that decide what it computes, by name."""
    found = []
    for path in sorted(folder.rglob("*"), key=lambda p: p.relative_to(folder).as_posix()):
        if not path.is_file() or path.suffix not in endings or path.name in _BYSTANDERS:
            continue
        if not OTHER_BACKENDS & set(path.relative_to(folder).parts):
            found.append(path)
    return found


def fingerprint_folder(folder: Path, endings: frozenset[str]) -> str:
    """SHA-256 over the sorted (relative name, SHA-256) of the files that decide what a model computes."""
    total = hashlib.sha256()
    for path in model_paths(folder, endings):
        stat = os.stat(path)
        digest = _file_digest(str(path.resolve()), stat.st_size, stat.st_mtime_ns)
        total.update(f"{path.relative_to(folder).as_posix()}\0{digest}\n".encode())
    return total.hexdigest()


@lru_cache(maxsize=256)
def _file_digest(path: str, size: int, mtime_ns: int) -> str:
    # Size and time are there for the cache alone: a changed file is read again.
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
