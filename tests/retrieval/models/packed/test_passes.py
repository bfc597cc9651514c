"""A forward pass over packed rows gives what transformers gives, for every kind of model that has one."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from transformers import AutoModel

from retrieval.models.encoders.encoder import Encoder
from retrieval.models.packed import open_packed
from retrieval.settings import ModelSettings
from tests.tools.samples.encoder_models import (
    JOINED,
    PACKED,
    TEXTS,
    TITLES,
    packed_folder,
    transformer_folder,
)

# A padding token that stands in a text itself is counted in no position of RoBERTa's.
LONG = ["river [PAD] city [PAD] " + "matrix vector " * 12, "city " * 300, "[PAD]"]
MODELS = [
    (kind, pooling)
    for kind in PACKED
    for pooling in (("lasttoken", "mean") if kind.startswith("qwen3") else ("mean", "cls"))
]


@pytest.mark.parametrize(("kind", "pooling"), MODELS)
def test_vectors_are_those_of_the_library(tmp_path: Path, kind: str, pooling: str) -> None:
    folder = packed_folder(tmp_path / "model", kind, pooling)
    encoder = Encoder.open(ModelSettings(name=str(folder), dtype="float32", device="cpu"))
    assert encoder._sides["passage"].packed is not None
    ours = encoder.encode_passages([*TITLES, *[""] * len(LONG)], [*TEXTS, *LONG])
    theirs = SentenceTransformer(str(folder), device="cpu").encode([*JOINED, *LONG])
    theirs /= np.linalg.norm(theirs, axis=1, keepdims=True)
    assert len(np.unique(np.round(theirs, 3), axis=0)) > 10  # they differ from text to text
    np.testing.assert_allclose(ours, theirs, atol=2e-5)


@pytest.mark.parametrize("kind", PACKED)
def test_low_precision_is_near(tmp_path: Path, kind: str) -> None:
    """On a CPU that computes in bfloat16 by products that have other layouts."""
    folder = packed_folder(tmp_path / "model", kind)
    low, high = (
        Encoder.open(ModelSettings(name=str(folder), dtype=dtype, device="cpu"))
        for dtype in ("bfloat16", "float32")
    )
    cosine = (low.encode_passages(TITLES, TEXTS) * high.encode_passages(TITLES, TEXTS)).sum(axis=1)
    assert cosine.min() > 0.999


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        ("bert", {"hidden_act": "relu"}),
        ("bert", {"is_decoder": True}),
        ("mpnet", {"hidden_act": "relu"}),
        ("modernbert", {"hidden_activation": "silu"}),
        ("qwen3", {"hidden_act": "gelu"}),
        ("qwen3", {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 0}),
        ("qwen3", {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}}),
        ("electra", {}),
    ],
)
def test_another_model_has_none(tmp_path: Path, kind: str, config: dict[str, object]) -> None:
    made = AutoModel.from_pretrained(transformer_folder(tmp_path / "model", kind=kind, **config))
    assert open_packed(made, 4096) is None


def test_a_class_of_the_same_name_is_another_model(tmp_path: Path) -> None:
    made = AutoModel.from_pretrained(transformer_folder(tmp_path / "model"))
    assert open_packed(made, 4096) is not None
    other = type("BertModel", (type(made),), {})(made.config)
    assert open_packed(other, 4096) is None


def test_the_model_itself_stays_as_it_was(tmp_path: Path) -> None:
    """Its weights may be views of common ones now: of the same values."""
    made = AutoModel.from_pretrained(transformer_folder(tmp_path / "model", kind="qwen3", **PACKED["qwen3"]))
    ids = torch.arange(20)[None] + 1000
    with torch.inference_mode():
        before = made(ids).last_hidden_state
        assert open_packed(made, 64) is not None
        assert torch.equal(made(ids).last_hidden_state, before)
