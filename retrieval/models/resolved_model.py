"""Where a model lies, what it is made of, and whether it may be loaded: decided before torch is imported.

A model's files are hostile until checked: pickled weights and code that the model brings are refused
unless the caller allows them; see `retrieval.models.trust`.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retrieval.models.checks import PICKLES, check_files
from retrieval.models.errors import reading_model
from retrieval.models.places import OTHER_BACKENDS, is_path, locate
from retrieval.models.trust import Trust
from retrieval.settings import ModelSettings
from retrieval.storage import file_digest

# `.metadata` holds the settings of Stanford's ColBERT checkpoints.
_MATTERS = {".json", ".safetensors", ".txt", ".model", ".jinja", ".metadata"}
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


@reading_model()
def resolve_model(
    name: str, *, revision: str | None = None, trust: Trust = Trust(), endings: frozenset[str] | None = None
) -> ResolvedModel:
    """Find a model (folder, package, Hugging Face cache, then the network) and check its files.

    endings: of the files that count; default: those that may be loaded. Raises ModelError where it cannot be
    found, or is refused for pickled weights or remote code.
    """
    endings = endings or suffixes(trust_remote_code=trust.remote_code, allow_pickle=trust.pickle)
    folder, found = locate(name, revision, endings)
    check_files(name, folder, trust)
    return ResolvedModel(name, folder, fingerprint_folder(folder, endings), found)


def resolve_model_side(settings: ModelSettings, side: str, trust: Trust = Trust()) -> ResolvedModel:
    """The model of one side, "passage" or "query". Raises ModelError as `resolve`.

    The settings may be those of an index: what they say of code and pickles decides which files count for the
    fingerprint, as it did when the index was built, and never what may be loaded.
    """
    separate = side == "query" and settings.query_name is not None
    return resolve_model(
        settings.query_name if separate and settings.query_name else settings.name,
        # The revision is that of `name`; another repository does not have that commit.
        revision=None if separate and settings.query_name != settings.name else settings.revision,
        trust=trust,
        endings=suffixes(
            trust_remote_code=settings.trust_remote_code or trust.remote_code,
            allow_pickle=settings.allow_pickle or trust.pickle,
        ),
    )


def model_card(settings: ModelSettings, trust: Trust = Trust()) -> dict[str, Any]:
    """Names, revisions and fingerprints of the passage and query models, as JSON; needs no torch."""
    card: dict[str, Any] = {}
    for side in ("passage", "query"):
        model = resolve_model_side(settings, side, trust)
        card[side] = {"name": model.name, "revision": model.revision, "fingerprint": model.fingerprint}
    return card


def is_local_folder(name: str) -> bool:
    """Whether a configured name is the path of a folder of this machine."""
    return is_path(name) and Path(name).expanduser().is_dir()


def suffixes(*, trust_remote_code: bool, allow_pickle: bool) -> frozenset[str]:
    """Endings of the files that decide what a model computes."""
    code = {".py"} if trust_remote_code else set()
    return frozenset(_MATTERS | code | (PICKLES if allow_pickle else set()))


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
        total.update(f"{path.relative_to(folder).as_posix()}\0{file_digest(path)}\n".encode())
    return total.hexdigest()
