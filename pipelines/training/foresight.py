"""Whether a training fits into memory, told before it begins."""

import psutil

from pipelines.training.settings import TrainConfig
from retrieval.errors import ConfigError
from retrieval.models import read_model_json, resolve_model_side
from retrieval.settings import ModelSettings

# Bytes of activations of a token in a trained layer of width h, in float32, are about this many times h:
# states, query, key, value, the inner layer and what its functions keep. Measured: benchmarks/training.py.
_BYTES_PER_HIDDEN = 100
_STATES = 16  # bytes of a trained weight: itself, its gradient, AdamW's two moments


def step_bytes(config: TrainConfig, hidden: int, layers: int, examples: int) -> int:
    """What the activations of `examples` examples take in one worker."""
    steps = config.training
    trained = layers - (layers // 2 if steps.frozen_layers is None else steps.frozen_layers)
    passages = 0 if config.towers == "query" else 1 + config.negatives.per_step
    tokens = examples * (32 + passages * steps.max_tokens)
    return tokens * trained * hidden * _BYTES_PER_HIDDEN


def check_memory(kind: str, config: TrainConfig, embedding: ModelSettings) -> None:
    """Raises ConfigError where a step of a CPU worker would take more memory than there is.

    embedding: of the index.
    """
    if config.ray.gpus or config.ray.address or kind == "rag":
        return
    model = resolve_model_side(config.model or embedding, "query")
    card = read_model_json(model.folder / "config.json") or {}
    hidden, layers = int(card.get("hidden_size") or 0), int(card.get("num_hidden_layers") or 0)
    steps = config.training
    own = -(-steps.batch // config.ray.workers)
    held = own if steps.chunk is None else min(own, steps.chunk)
    needed = step_bytes(config, hidden, layers, held) * config.ray.workers
    there = int(psutil.virtual_memory().available * 0.9)
    if needed > there:
        fitting = max(1, held * there // needed)
        raise ConfigError(
            f"a step of {held} examples of up to {steps.max_tokens} tokens needs about "
            f"{needed / 1e9:.1f} GB, and {there / 1e9:.1f} GB are free",
            hint=f"Set training.chunk: {fitting}, which gives the same gradients in more time, or lower "
            "training.max_tokens.",
        )
