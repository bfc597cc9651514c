"""The loop: steps, measurements and checkpoints. It runs without Ray, in each of the workers alike."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from pipelines.training.errors import TrainingFailed
from pipelines.training.examples import Example, ExampleFile
from pipelines.training.running.batches import Batches
from pipelines.training.running.checkpoints import Checkpoints, State, load_optimizer, optimizer_tensors
from pipelines.training.running.world import World
from pipelines.training.settings import StepSettings

TIES = "pool_likelihood"  # a measure that decides between equals, where a method has it
Report = Callable[[dict[str, Any]], None]


class Method(Protocol):
    """What is trained and by which loss."""

    measure_name: str

    def parameters(self) -> dict[str, nn.Parameter]:
        """The parameters that are trained, by name."""

    def step(self, batch: Sequence[Example], epoch: int, step: int, world: World) -> dict[str, float]:
        """Add this worker's share of the gradients of a batch; `loss` is that of the whole batch."""

    def measure(self, world: World) -> dict[str, float]:
        """Measures of the dev examples; `measure_name` decides, and more is better."""


class Loop:
    """One training. The same state gives the same steps: it goes on from the newest checkpoint."""

    def __init__(
        self, method: Method, examples: ExampleFile, settings: StepSettings, checkpoints: Checkpoints,
        report: Report, world: World, device: str = "cpu",
        rate_share: Callable[[str], float] = lambda _name: 1.0,
    ) -> None:  # fmt: skip
        """rate_share: what a parameter, by name, gets of the learning rate."""
        self.method, self.examples, self.settings = method, examples, settings
        self.world, self.report = world, report
        self.batches = Batches(
            examples.keys, settings.batch, settings.seed, epochs=settings.epochs, steps=settings.steps
        )
        self.parameters = method.parameters()
        self._checkpoints = checkpoints
        self._optimizer = torch.optim.AdamW(
            self._groups(rate_share), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        self.state = State()
        self._began_as = {name: one.detach().clone() for name, one in self.parameters.items()}
        found = checkpoints.last(device)
        if found is not None:
            self.state, tensors, optimizer = found
            self._load(tensors)
            load_optimizer(self._optimizer, self.parameters, optimizer)

    def _groups(self, rate_share: Callable[[str], float]) -> list[dict[str, Any]]:
        """By rate; vectors, such as biases and the weights of norms, do not decay."""
        found: dict[tuple[float, bool], list[nn.Parameter]] = {}
        for name, one in self.parameters.items():
            found.setdefault((rate_share(name), one.ndim >= 2), []).append(one)
        return [
            {"params": own, "share": share, **({} if decays else {"weight_decay": 0.0})}
            for (share, decays), own in found.items()
        ]

    def _load(self, tensors: dict[str, Tensor]) -> None:
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(tensors[name])

    def run(self) -> State:
        """Train to the end. Raises TrainingFailed where a loss is not finite; the last checkpoint stays."""
        total = len(self.batches)
        every = max(1, math.ceil(total / self.settings.evaluations))
        if self.state.step == 0 and self.state.best is None:
            self._measure(total)
        began, first = time.monotonic(), self.state.step
        while self.state.step < total and not self._enough():
            values = self._one(total)
            self.state.step += 1
            done = self.state.step
            rate = (done - first) / max(time.monotonic() - began, 1e-9)
            values |= {"steps_per_second": rate, "examples_per_second": rate * self.settings.batch}
            self.report({"step": done, "steps": total, "eta_seconds": (total - done) / rate, **values})
            if done % every == 0 or done == total:
                self._measure(total)
            if done % self.settings.checkpoint_steps == 0 or done == total or done % every == 0:
                self._save()
        return self.state

    def _enough(self) -> bool:
        patience = self.settings.patience
        return patience is not None and self.state.since_best >= patience

    def rate_at(self, step: int, total: int) -> float:
        """Learning rate of a step: it rises in a line to the peak, and falls in a line to nothing."""
        rising = max(1, round(total * self.settings.warmup))
        if step < rising:
            return self.settings.learning_rate * (step + 1) / rising
        return self.settings.learning_rate * max(0.0, (total - step) / max(1, total - rising))

    def _one(self, total: int) -> dict[str, float]:
        step = self.state.step
        epoch, rows = self.batches.at(step)
        batch = self.examples.get(rows)
        rate = self.rate_at(step, total)
        for group in self._optimizer.param_groups:
            group["lr"] = rate * group["share"]
        self._optimizer.zero_grad(set_to_none=True)
        values = self.method.step(batch, epoch, step, self.world)
        trained = [*self.parameters.values()]
        self.world.add_up(trained)
        norm = float(nn.utils.clip_grad_norm_(trained, self.settings.clip))
        if not (math.isfinite(values["loss"]) and math.isfinite(norm)):
            names = ", ".join(example.query_id for example in batch[:5])
            raise TrainingFailed(
                f"step {step + 1} of {total}: the loss is {values['loss']} and its gradient {norm}, of a "
                f"batch with the queries {names}, ...",
                hint="Lower training.learning_rate or raise training.temperature. The last checkpoint stays.",
            )
        self._optimizer.step()
        return {**values, "learning_rate": rate, "gradient_norm": norm}

    def _averaged(self) -> dict[str, Tensor]:
        """Weights between those of the beginning and of now (WiSE-FT, Wortsman et al. 2022)."""
        share, tensors = self.settings.average, self._tensors()
        if share == 1:
            return {name: one.clone() for name, one in tensors.items()}
        return {name: torch.lerp(self._began_as[name], one, share) for name, one in tensors.items()}

    def _measure(self, total: int) -> None:
        own = {name: one.clone() for name, one in self._tensors().items()}
        averaged = self._averaged()
        self._load(averaged)
        found = self.method.measure(self.world)
        self._load(own)
        value, state = found[self.method.measure_name], self.state
        if not state.untrained:
            state.untrained = found
        tie = state.best == value and found.get(TIES, 0.0) > state.measures.get(TIES, 0.0)
        if state.best is None or value > state.best or tie:
            state.best, state.best_step, state.since_best, state.measures = value, state.step, 0, found
            if self.world.rank == 0:
                self._checkpoints.save_best(state.step, averaged)
        else:
            state.since_best += 1
        self.report({"step": state.step, "steps": total, "dev": found, "best_step": state.best_step})

    def _save(self) -> None:
        if self.world.rank == 0:
            optimizer = optimizer_tensors(self._optimizer, self.parameters)
            self._checkpoints.save(self.state, self._tensors(), optimizer)
            self._checkpoints.drop_best_but(self.state.best_step)

    def _tensors(self) -> dict[str, Tensor]:
        return {name: parameter.detach() for name, parameter in self.parameters.items()}

    def take_best(self) -> None:
        """Give the model the weights of the best measurement."""
        self._load(self._checkpoints.best(self.state.best_step))

    def outcome(self) -> dict[str, Any]:
        """What came out, as JSON."""
        return {**asdict(self.state), "measure": self.method.measure_name, "steps": len(self.batches)}
