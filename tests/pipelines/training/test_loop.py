"""Steps, measurements and checkpoints: resumed, a training is the one that was never interrupted."""

from pathlib import Path
from typing import Any

import pytest
import torch

from pipelines.training.errors import TrainingFailed
from pipelines.training.running import TIES, Checkpoints, Loop, World
from pipelines.training.settings import StepSettings
from retrieval.errors import IndexDamaged
from retrieval.storage import Store
from tests.pipelines.training.trained import dpr, example_file, loop
from tests.tools.samples.encoder_models import model_folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model_folder(tmp_path_factory.mktemp("model") / "m")


def weights(made: Any) -> dict[str, torch.Tensor]:
    return {name: one.detach().clone() for name, one in made.parameters.items()}


class Killed(Exception):
    """As if the worker had died."""


def killed_at(made: Any, step: int) -> None:
    """Run a loop that dies in a step."""
    own = made.method.step

    def dying(batch: Any, epoch: int, number: int, world: Any) -> Any:
        if number == step:
            raise Killed
        return own(batch, epoch, number, world)

    made.method.step = dying
    with pytest.raises(Killed):
        made.run()


@pytest.mark.parametrize("step", [0, 3, 4, 7])
def test_a_killed_training_goes_on_as_if_it_had_not_been(step: int, folder: Path, tmp_path: Path) -> None:
    file = example_file(tmp_path / "e.jsonl", 16)
    whole = loop(dpr(folder), file, tmp_path / "whole")
    whole.run()
    killed_at(loop(dpr(folder), file, tmp_path / "cut"), step)
    resumed = loop(dpr(folder), file, tmp_path / "cut")
    assert resumed.state.step == step // 2 * 2  # a checkpoint every second step
    resumed.run()
    for name, one in weights(whole).items():
        torch.testing.assert_close(weights(resumed)[name], one, atol=1e-6, rtol=1e-5, msg=name)
    assert resumed.state.best == pytest.approx(whole.state.best)


def test_it_learns_and_the_best_is_taken_not_the_last(folder: Path, tmp_path: Path) -> None:
    made = loop(dpr(folder), example_file(tmp_path / "e.jsonl", 16), tmp_path / "out", epochs=8)
    state = made.run()
    losses = [told["loss"] for told in made.told if "loss" in told]  # type: ignore[attr-defined]
    assert losses[-1] < losses[0] / 2
    assert state.best is not None and state.best >= state.untrained["MRR@10"]
    last = weights(made)
    made.take_best()
    kept = Checkpoints(Store(str(tmp_path / "out"))).best(state.best_step)
    assert all(torch.equal(weights(made)[name], one) for name, one in kept.items())
    if state.best_step != state.step:
        assert any(not torch.equal(last[name], one) for name, one in kept.items())


def test_a_loss_that_is_not_finite_names_step_and_batch_and_keeps_the_checkpoint(
    folder: Path, tmp_path: Path
) -> None:
    made = loop(dpr(folder), example_file(tmp_path / "e.jsonl", 16), tmp_path / "out")
    own = made.method.step
    made.method.step = lambda *step: {**own(*step), "loss": float("nan")} if step[2] == 5 else own(*step)  # type: ignore[method-assign]
    with pytest.raises(TrainingFailed, match=r"step 6 of 8: the loss is nan.*queries q"):
        made.run()
    last = Checkpoints(Store(str(tmp_path / "out"))).last("cpu")
    assert last is not None and last[0].step == 4


def test_a_damaged_checkpoint_is_an_error_that_says_what_to_remove(folder: Path, tmp_path: Path) -> None:
    file = example_file(tmp_path / "e.jsonl", 16)
    loop(dpr(folder), file, tmp_path / "out").run()
    (tmp_path / "out/checkpoints/00000008/model.safetensors").write_bytes(b"damaged")
    with pytest.raises(IndexDamaged, match=r"00000008/model.safetensors") as caught:
        loop(dpr(folder), file, tmp_path / "out")
    assert "Remove its folder" in caught.value.hint


def test_nothing_is_pickled(folder: Path, tmp_path: Path) -> None:
    loop(dpr(folder), example_file(tmp_path / "e.jsonl", 8), tmp_path / "out").run()
    kinds = {path.suffix for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert kinds == {".safetensors", ".json"}


def test_equals_are_told_apart_by_their_likelihood(folder: Path, tmp_path: Path) -> None:
    """Where dev finds everything before training, the first measurement would be kept for ever."""
    made = loop(dpr(folder), example_file(tmp_path / "e.jsonl", 16), tmp_path / "out", evaluations=4)
    likelihoods = iter([-3.0, -1.0, -2.0, -0.5, -0.7])
    made.method.measure = lambda _world: {"MRR@10": 1.0, TIES: next(likelihoods)}  # type: ignore[method-assign]
    state = made.run()
    assert state.best_step == 6 and state.measures[TIES] == -0.5 and state.untrained[TIES] == -3.0


def test_a_part_of_the_parameters_may_learn_at_a_lower_rate(folder: Path, tmp_path: Path) -> None:
    def moved(share: float) -> dict[str, float]:
        method = dpr(folder)
        began = {name: one.detach().clone() for name, one in method.parameters().items()}
        settings = StepSettings(steps=1, batch=8, learning_rate=1e-3, warmup=0, weight_decay=0.0)
        file = example_file(tmp_path / f"e{share}.jsonl", 16)
        Loop(
            method, file, settings, Checkpoints(Store(str(tmp_path / f"out{share}"))), lambda _told: None,
            World(), rate_share=lambda name: share if "layer.0" in name else 1.0,
        ).run()  # fmt: skip
        found = method.parameters().items()
        return {name: float((one.detach() - began[name]).abs().max()) for name, one in found}

    whole, less = moved(1.0), moved(0.1)
    for name, distance in whole.items():
        expected = distance * (0.1 if "layer.0" in name else 1.0)
        assert less[name] == pytest.approx(expected, rel=1e-2, abs=1e-7), name
