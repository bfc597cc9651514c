"""A corpus with judgements, and whole trainings on an index of it."""

from pathlib import Path
from typing import Any

from pipelines.config import validated
from pipelines.training import TrainConfig, train
from tests.pipelines.training.trained import TOPICS

DOCUMENTS = 48
STEPS = {
    "epochs": 6,
    "batch": 8,
    "learning_rate": 1e-3,
    "evaluations": 2,
    "frozen_layers": 0,
    "max_tokens": 48,
}


def documents() -> list[dict[str, Any]]:
    return [
        {
            "_id": f"d{number}",
            "title": f"{TOPICS[number % 8]} number {number}",
            "text": f"In year {1500 + number} people saw {TOPICS[number % 8]} by place {number * 7 % 13}. "
            f"They wrote of {TOPICS[(number + 3) % 8]} too, and of what they had for supper on day {number}.",
        }
        for number in range(DOCUMENTS)
    ]


def config(made: Path, output: Path, **sections: Any) -> TrainConfig:
    values: dict[str, Any] = {
        "index": {"path": str(made / "index")}, "output": str(output),
        "examples": {"beir": str(made / "beir"), "dev_share": 0.2}, "training": STEPS,
    }  # fmt: skip
    for name, section in sections.items():
        own = values.get(name)
        values[name] = {**own, **section} if isinstance(own, dict) and isinstance(section, dict) else section
    return validated(TrainConfig, values, "test")


def run(kind: str, made_config: TrainConfig) -> tuple[dict[str, Any], list[str]]:
    messages: list[str] = []
    trained = train(kind, made_config, lambda event: messages.append(event.get("message", "")))
    assert trained.changed
    return trained.outcome, messages
