"""N workers give the gradients of one, and so does a batch in chunks."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from pipelines.training.running import World
from tests.pipelines.training.trained import colbert, dpr, examples
from tests.tools.samples.encoder_models import model_folder

METHODS: dict[str, Callable[..., Any]] = {"dpr": dpr, "colbert": colbert}
BATCH = examples(7)  # uneven over two workers


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model_folder(tmp_path_factory.mktemp("model") / "m")


def gradients(method: Any, world: World) -> tuple[float, dict[str, torch.Tensor]]:
    loss = method.step(BATCH, 0, 0, world)["loss"]
    world.add_up(method.parameters().values())
    return loss, {name: one.grad.clone() for name, one in method.parameters().items() if one.grad is not None}


def work(rank: int, kind: str, folder: str, rendezvous: str, chunk: int | None) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=2)
    found = gradients(METHODS[kind](Path(folder), chunk=chunk), World())
    torch.save(found, f"{rendezvous}.{rank}")
    dist.destroy_process_group()


def assert_same(found: Any, wanted: Any) -> None:
    assert found[0] == pytest.approx(wanted[0], abs=1e-5)
    assert found[1].keys() == wanted[1].keys()
    assert any(one.abs().max() > 1e-3 for one in wanted[1].values())
    for name, one in wanted[1].items():
        torch.testing.assert_close(found[1][name], one, atol=1e-5, rtol=1e-4, msg=name)


@pytest.mark.parametrize("kind", METHODS)
@pytest.mark.parametrize("chunk", [None, 2])
def test_two_workers_give_the_gradients_of_one(
    kind: str, chunk: int | None, folder: Path, tmp_path: Path
) -> None:
    alone = gradients(METHODS[kind](folder), World())
    rendezvous = str(tmp_path / "meeting")
    mp.spawn(work, (kind, str(folder), rendezvous, chunk), nprocs=2)
    for rank in range(2):
        assert_same(torch.load(f"{rendezvous}.{rank}", weights_only=True), alone)


@pytest.mark.parametrize("kind", METHODS)
@pytest.mark.parametrize("chunk", [1, 3, 100])
def test_chunks_give_the_gradients_of_the_whole(kind: str, chunk: int, folder: Path) -> None:
    assert_same(
        gradients(METHODS[kind](folder, chunk=chunk), World()), gradients(METHODS[kind](folder), World())
    )


def test_remembered_states_of_frozen_layers_change_nothing(folder: Path) -> None:
    method = dpr(folder, frozen=1)
    first = gradients(method, World())
    for parameter in method.parameters().values():
        parameter.grad = None
    again = gradients(method, World())  # from the cache
    assert again[0] == pytest.approx(first[0], abs=2e-3)  # states are kept in float16
