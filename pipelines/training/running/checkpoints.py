"""Checkpoints: safetensors and JSON, complete when their state is written, last; no pickle."""

import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from retrieval.errors import IndexDamaged
from retrieval.storage import Store

_STATE = "state.json"


@dataclass
class State:
    """Where a training stands: `step` steps are done. `best`: the dev measure at `best_step`."""

    step: int = 0
    best: float | None = None
    best_step: int = 0
    since_best: int = 0
    measures: dict[str, float] = field(default_factory=dict)  # of the best
    untrained: dict[str, float] = field(default_factory=dict)


class Checkpoints:
    """Those of one training, under `checkpoints/` of its output; the last two are kept, and the best."""

    def __init__(self, store: Store, kept: int = 2) -> None:
        self._store, self._kept = store, kept

    def save(self, state: State, tensors: dict[str, Tensor], optimizer: dict[str, Tensor]) -> None:
        """Write a checkpoint, then remove the older ones."""
        folder = f"checkpoints/{state.step:08d}"
        self._write(f"{folder}/model.safetensors", tensors)
        self._write(f"{folder}/optimizer.safetensors", optimizer)
        self._store.put_json(f"{folder}/{_STATE}", asdict(state))
        for old in self._steps()[: -self._kept]:
            # Its state goes first: what is left is no checkpoint then.
            keys = sorted(
                self._store.find(f"checkpoints/{old:08d}"), key=lambda key: not key.endswith(_STATE)
            )
            self._store.delete(keys)

    def save_best(self, step: int, tensors: dict[str, Tensor]) -> None:
        """Write the weights of the best step; those of the one before go when a checkpoint names these."""
        self._write(f"best/{step:08d}.safetensors", tensors)

    def drop_best_but(self, step: int) -> None:
        """Remove all best weights but those of one step."""
        keep = f"best/{step:08d}.safetensors"
        self._store.delete([key for key in self._store.find("best") if key != keep])

    def last(self, device: str) -> tuple[State, dict[str, Tensor], dict[str, Tensor]] | None:
        """The newest complete checkpoint, None where there is none. Raises IndexDamaged."""
        steps = self._steps()
        if not steps:
            return None
        folder = f"checkpoints/{steps[-1]:08d}"
        try:
            state = State(**self._json(f"{folder}/{_STATE}"))
        except TypeError as error:
            raise _damaged(self._store, f"{folder}/{_STATE}") from error
        tensors = self._read(f"{folder}/model.safetensors", device)
        return state, tensors, self._read(f"{folder}/optimizer.safetensors", device)

    def best(self, step: int, device: str = "cpu") -> dict[str, Tensor]:
        """Weights of the best step. Raises IndexDamaged."""
        return self._read(f"best/{step:08d}.safetensors", device)

    def _steps(self) -> list[int]:
        found = [key.split("/")[1] for key in self._store.find("checkpoints") if key.endswith(_STATE)]
        return sorted(int(name) for name in found if name.isdecimal())

    def _json(self, key: str) -> dict[str, Any]:
        value = self._store.read_json(key)
        if not isinstance(value, dict):
            raise _damaged(self._store, key)
        return value

    def _write(self, key: str, tensors: dict[str, Tensor]) -> None:
        with self._store.writing(key) as write:
            save_file({name: one.detach().cpu().contiguous() for name, one in tensors.items()}, write.path)

    def _read(self, key: str, device: str) -> dict[str, Tensor]:
        try:
            if self._store.is_local:
                return load_file(self._store.path(key), device=device)
            with tempfile.TemporaryDirectory(prefix="corpusmill-") as folder:
                path = Path(folder) / "tensors"
                self._store.fs.get_file(self._store.path(key), str(path))
                return load_file(path, device=device)
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            raise _damaged(self._store, key) from error


def _damaged(store: Store, key: str) -> IndexDamaged:
    return IndexDamaged(
        f"{store.url}/{key} cannot be read",
        hint="Remove its folder: the checkpoint before it is taken then.",
    )


def optimizer_tensors(
    optimizer: torch.optim.Optimizer, parameters: dict[str, torch.nn.Parameter]
) -> dict[str, Tensor]:
    """The state of AdamW by parameter name, as tensors alone."""
    found: dict[str, Tensor] = {}
    for name, parameter in parameters.items():
        for key, value in optimizer.state.get(parameter, {}).items():
            found[f"{name}/{key}"] = value if isinstance(value, Tensor) else torch.tensor(value)
    return found


def load_optimizer(
    optimizer: torch.optim.Optimizer, parameters: dict[str, torch.nn.Parameter], tensors: dict[str, Tensor]
) -> None:
    """The inverse of `optimizer_tensors`."""
    for name, value in tensors.items():
        parameter, _, key = name.rpartition("/")
        if parameter in parameters:
            where = value if key == "step" else value.to(parameters[parameter].device)
            optimizer.state[parameters[parameter]][key] = where
