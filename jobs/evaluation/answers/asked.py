"""What the command line says of answers that are measured."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.arguments import generation
from jobs.evaluation.answers.judge import LanguageJudge
from jobs.evaluation.answers.measuring import Price
from retrieval.errors import ConfigError

if TYPE_CHECKING:
    from retrieval.generation import GenerationSettings


@dataclass(frozen=True)
class Writer:
    """What writes the answers, and how."""

    kind: str | None
    model: str | None
    base_url: str | None
    api_key_env: str | None
    decodes: Sequence[str]
    hops: int | None
    k: int

    def settings(self) -> "GenerationSettings":
        """Raises ConfigError."""
        first = self.decodes[0] if self.decodes else None
        return generation(
            self.kind, self.model, self.base_url, self.api_key_env, decode=first, hops=self.hops
        )

    def refuse_without_answers(self) -> None:
        """Raises ConfigError where something is said of answers and none are asked for."""
        named = {
            "--generator": self.kind, "--model": self.model, "--base-url": self.base_url,
            "--decode": self.decodes, "--hops": self.hops,
        }  # fmt: skip
        if given := [name for name, value in named.items() if value]:
            raise ConfigError(f"{given[0]} is of answers", hint="Add: --answers FILE")


@dataclass(frozen=True)
class Evaluating:
    """Everything that answers are measured with. `options`: of each search. `split`: of a folder."""

    file: Path
    decodes: Sequence[str]
    settings: "GenerationSettings"
    options: dict[str, Any]
    split: str = "test"
    sample: int | None = None
    runs: Path | None = None
    plot: Path | None = None
    price: Price = field(default_factory=Price)
    judge: LanguageJudge | None = None
    against: Path | None = None


@dataclass(frozen=True)
class Measured:
    """What is measured beside the usual."""

    price: Price
    judge_url: str | None
    judge_model: str | None
    against: Path | None = None

    def of(
        self, file: Path, writer: Writer, sample: int | None, runs: Path | None, plot: Path | None, split: str
    ) -> Evaluating:
        """All of it. Raises ConfigError."""
        judge = None
        if self.judge_url or self.judge_model:
            if not (self.judge_url and self.judge_model):
                raise ConfigError("a judge needs both --judge-url and --judge-model")
            judge = LanguageJudge(self.judge_url, self.judge_model, writer.api_key_env)
        return Evaluating(
            file, writer.decodes, writer.settings(), {"k": writer.k}, split, sample, runs, plot, self.price,
            judge, self.against,
        )  # fmt: skip
