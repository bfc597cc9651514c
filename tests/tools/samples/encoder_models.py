"""Small random models for the encoder's tests, saved as sentence-transformers folders."""

import shutil
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.base.modules import Dense, Normalize, Router, Transformer
from sentence_transformers.sentence_transformer.modules import Pooling
from transformers import CONFIG_MAPPING, AutoModel, BertConfig, BertForSequenceClassification

from retrieval.models.resolved_model import resolve_model

WORDS = "solve linear least squares problem matrix river city Café naïve index vector search 42".split()
TITLES = ["Algebra", "", "A Rather Long Title", "Rivers"] * 6
TEXTS = [" ".join(WORDS[(i * 7 + j) % len(WORDS)] for j in range(1 + (i * 5) % 60)) for i in range(24)]
JOINED = [f"{title} {text}" if title else text for title, text in zip(TITLES, TEXTS, strict=True)]

# The window of near tokens is shorter than the padding that rows get.
_NEAR = {
    "local_attention": 16, "global_attn_every_n_layers": 2, "num_hidden_layers": 5,
    "hidden_activation": "gelu",
}  # fmt: skip
_GROUPED = {"num_key_value_heads": 2, "head_dim": 16}
# Kinds of models that have a forward pass over packed rows, and what their configurations need here.
PACKED: dict[str, dict[str, Any]] = {
    "bert": {},
    "roberta": {"pad_token_id": 0},
    "xlm-roberta": {"pad_token_id": 1},
    "mpnet": {"pad_token_id": 1},
    "modernbert": _NEAR,
    "modernbert-biased": _NEAR | {"attention_bias": True, "mlp_bias": True, "norm_bias": True},
    "qwen3": _GROUPED,
    "qwen3-biased": _GROUPED | {"attention_bias": True},
}

_TOKENIZER_FILES = ["tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json"]


def transformer_folder(folder: Path, *, kind: str = "bert", seed: int = 0, **config: Any) -> Path:
    """A random transformer of 2 layers and 32 dimensions with the packaged tokenizer, safetensors.

    kind: a model type of transformers; `config` sets what else its configuration has.
    """
    torch.manual_seed(seed)
    sizes: dict[str, Any] = {
        "vocab_size": 30522, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
        "intermediate_size": 64, "max_position_embeddings": 70, "initializer_range": 0.3, "pad_token_id": 0,
    }  # fmt: skip
    made = AutoModel.from_config(CONFIG_MAPPING[kind](**sizes | config))
    made.save_pretrained(folder)
    packaged = resolve_model("all-MiniLM-L6-v2").folder
    for name in _TOKENIZER_FILES:
        shutil.copy(packaged / name, folder / name)
    return folder


def model_folder(
    folder: Path, *tail: Any, kind: str = "bert", pooling: str = "mean", seed: int = 0, **save: Any
) -> Path:
    """A sentence-transformers folder: transformer, pooling, `tail`. `save`: prompts, config, ..."""
    plain = transformer_folder(
        folder.with_name(folder.name + "-plain"), kind=kind, seed=seed, **save.pop("config", {})
    )
    transformer = Transformer(str(plain), max_seq_length=save.pop("max_seq_length", 48))
    pool = Pooling(32, pooling, include_prompt=save.pop("include_prompt", True))
    model = SentenceTransformer(modules=[transformer, pool, *tail], device="cpu", **save)
    model.save(str(folder))
    return folder


def packed_folder(folder: Path, kind: str, pooling: str = "mean") -> Path:
    """A model of one of the kinds in `PACKED`."""
    config = {"initializer_range": 0.1} | PACKED[kind]
    return model_folder(folder, kind=kind.removesuffix("-biased"), pooling=pooling, config=config)


def router_folder(folder: Path) -> Path:
    """A model with a query and a document route of different weights (DPR in one folder)."""
    routes = []
    for seed, name in enumerate(("q", "d")):
        plain = transformer_folder(folder.with_name(f"{folder.name}-{name}"), seed=seed)
        routes.append([Transformer(str(plain), max_seq_length=32 + 8 * seed), Pooling(32, "cls")])
    router = Router.for_query_document(query_modules=routes[0], document_modules=routes[1])
    SentenceTransformer(modules=[router, Normalize()], device="cpu").save(str(folder))
    return folder


def dense(out: int = 16, seed: int = 5) -> Dense:
    """A Dense module with tanh."""
    torch.manual_seed(seed)
    return Dense(32, out)


def cross_encoder_folder(folder: Path, *, labels: int = 1, **save: Any) -> Path:
    """A random cross-encoder of 2 layers as sentence-transformers saves it."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=30522, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
        max_position_embeddings=70, initializer_range=0.3, num_labels=labels,
    )  # fmt: skip
    plain = folder.with_name(folder.name + "-plain")
    BertForSequenceClassification(config).save_pretrained(plain)
    for name in _TOKENIZER_FILES:
        shutil.copy(resolve_model("all-MiniLM-L6-v2").folder / name, plain / name)
    CrossEncoder(str(plain), device="cpu", max_length=48, **save).save_pretrained(str(folder))
    return folder
