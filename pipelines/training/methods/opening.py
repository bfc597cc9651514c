"""Makes the method that a configuration asks for, in a worker."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.training.examples import DEV, TRAIN, Example, ExampleFile, local_copy, read_examples
from pipelines.training.methods.bank import BANK, read_bank
from pipelines.training.methods.colbert import LateInteraction
from pipelines.training.methods.dpr import DenseRetriever
from pipelines.training.methods.query_tower import QueryTower
from pipelines.training.methods.rag import open_rag
from pipelines.training.models import LateEncoder, Tower
from pipelines.training.settings import TrainConfig
from retrieval.models.cross_encoders import CrossEncoder
from retrieval.models.encoders import Encoder, Side
from retrieval.settings import CrossEncoderSettings, ModelSettings
from retrieval.storage import Store

_PCA_EXAMPLES = 256


def open_method(kind: str, config: TrainConfig, metric: str, embedding: ModelSettings, folder: Path) -> Any:
    """The method `kind`: "dpr", "colbert" or "rag". metric, embedding: of the index. Raises CorpusmillError.

    folder: of this machine, for files of the output.
    """
    output = Store(config.output)
    dev = list(read_examples(local_copy(output, DEV, folder)))
    device = device_of(config)
    if kind == "rag":
        return open_rag(config, dev, tower=tower(config, embedding, "query", metric))
    if kind == "colbert":
        return _colbert(config, embedding, dev, ExampleFile(local_copy(output, TRAIN, folder)), device)
    return _dense(config, metric, embedding, dev, folder)


def device_of(config: TrainConfig) -> str:
    """Where a worker computes."""
    return "cuda" if config.ray.gpus else "cpu"


def tower(config: TrainConfig, embedding: ModelSettings, side: Side, similarity: str) -> Tower:
    """A tower of the model to begin with."""
    steps = config.training
    return Tower(
        config.model or embedding, side, similarity=similarity, frozen_layers=steps.frozen_layers,
        cache_bytes=steps.cache_bytes, max_tokens=steps.max_tokens, dropout=steps.dropout,
        device=device_of(config),
    )  # fmt: skip


def temperature(config: TrainConfig, similarity: str) -> float:
    """As configured, or that of the similarity."""
    return config.training.temperature or (0.05 if similarity == "cosine" else 1.0)


def _dense(
    config: TrainConfig, metric: str, embedding: ModelSettings, dev: Sequence[Example], folder: Path
) -> DenseRetriever | QueryTower:
    # The stored vectors say how they are compared.
    similarity = metric if config.towers == "query" else config.similarity or metric
    query = tower(config, embedding, "query", similarity)
    more: dict[str, Any] = {
        "temperature": temperature(config, similarity),
        "per_step": config.negatives.per_step if config.negatives.source != "none" else 0,
        "chunk": config.training.chunk,
    }
    if config.towers == "query":
        bank = read_bank(local_copy(Store(config.output), BANK, folder))
        teacher = partial(_teach, Encoder.open(embedding, sides=["query"])) if config.teacher else None
        return QueryTower(query, bank, dev, teacher=teacher, **more)
    passage = tower(config, embedding, "passage", similarity) if config.towers == "both" else query
    return DenseRetriever(query, passage, dev, **more)


def _teach(encoder: Encoder, queries: Sequence[str]) -> np.ndarray:
    return encoder.encode_queries(queries)


def _colbert(
    config: TrainConfig, embedding: ModelSettings, dev: Sequence[Example], train: ExampleFile, device: str
) -> LateInteraction:
    own, steps = config.colbert, config.training
    seen = [example.positive for example in train.get(range(min(len(train), _PCA_EXAMPLES)))]
    encoder = LateEncoder(
        config.model or embedding, width=own.width, query_tokens=own.query_tokens,
        passage_tokens=steps.max_tokens, expansion=own.expansion, frozen_layers=steps.frozen_layers,
        texts=[f"{passage.title} {passage.text}".strip() for passage in seen], device=device,
    )  # fmt: skip
    teacher = None
    if own.loss == "distil":
        cross = CrossEncoder.open(CrossEncoderSettings())
        teacher = partial(_cross, cross)
    return LateInteraction(
        encoder, dev, loss=own.loss, temperature=steps.temperature or 1.0,
        per_step=config.negatives.per_step if config.negatives.source != "none" else 0,
        chunk=steps.chunk, teacher=teacher,
    )  # fmt: skip


def _cross(encoder: CrossEncoder, pairs: Sequence[tuple[str, str]]) -> np.ndarray:
    return encoder.score(pairs).scores
