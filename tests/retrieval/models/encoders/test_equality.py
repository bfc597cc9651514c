"""The encoder gives what SentenceTransformer.encode gives, for every kind of model that it claims."""

import json
from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Normalize

from retrieval.errors import InputError, ModelError
from retrieval.models.encoders.encoder import Encoder
from retrieval.settings import ModelSettings
from tests.tools.samples.encoder_models import (
    JOINED,
    TEXTS,
    TITLES,
    dense,
    model_folder,
    router_folder,
    transformer_folder,
)

QUERIES = ["which function solves a linear least-squares problem?", "river", "naïve Café " * 40]


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _open(folder: Path | str, **settings: object) -> Encoder:
    return Encoder.open(ModelSettings(name=str(folder), device="cpu", **{"dtype": "float32", **settings}))


def _equal_to_library(folder: Path, **settings: object) -> Encoder:
    """Compare passages and queries with sentence-transformers in float32, directions and lengths."""
    library = SentenceTransformer(str(folder), device="cpu")
    encoder = _open(folder, **settings)
    for ours, theirs in (
        (encoder.encode_passages(TITLES, TEXTS), library.encode_document(JOINED)),
        (encoder.encode_queries(QUERIES), library.encode_query(QUERIES)),
    ):
        assert ours.dtype == np.float32
        np.testing.assert_allclose(ours, _unit(theirs) if encoder.metric == "cosine" else theirs, atol=1e-5)
    return encoder


@pytest.fixture(scope="module")
def packaged() -> Encoder:
    return _open("all-MiniLM-L6-v2")


def test_packaged_model_equals_the_library_in_float32(packaged: Encoder) -> None:
    library = SentenceTransformer(str(packaged.tokenizer_file.parent), device="cpu")
    texts = [*TEXTS, "word " * 400]
    ours = packaged.encode_passages([""] * len(texts), texts)
    np.testing.assert_allclose(ours, library.encode(texts), atol=1e-5)
    assert (packaged.dimension, packaged.max_tokens, packaged.special_tokens) == (384, 256, 2)
    assert packaged.metric == "cosine"


def test_bfloat16_stays_close_to_float32(packaged: Encoder) -> None:
    low = _open("all-MiniLM-L6-v2", dtype="bfloat16")
    cosine = (low.encode_passages(TITLES, TEXTS) * packaged.encode_passages(TITLES, TEXTS)).sum(1)
    assert low.dtype == "bfloat16"
    assert cosine.min() >= 0.999


@pytest.mark.parametrize("pooling", ["mean", "cls", "max", "lasttoken", "weightedmean"])
def test_poolings(tmp_path: Path, pooling: str) -> None:
    encoder = _equal_to_library(model_folder(tmp_path / "m", pooling=pooling))
    assert encoder.description["passage"]["pooling"] == pooling


def test_dense_after_pooling_and_dot_product(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "m", dense(16), similarity_fn_name="dot")
    encoder = _equal_to_library(folder)
    assert (encoder.dimension, encoder.metric) == (16, "dot")


def test_normalize_module_and_truncated_dimensions(tmp_path: Path) -> None:
    encoder = _equal_to_library(model_folder(tmp_path / "m", Normalize(), truncate_dim=8))
    assert (encoder.dimension, encoder.metric) == (8, "cosine")


def test_a_model_without_a_forward_pass_of_ours(tmp_path: Path) -> None:
    _equal_to_library(model_folder(tmp_path / "m", kind="electra"))


def test_other_activation_takes_the_general_path(tmp_path: Path) -> None:
    _equal_to_library(model_folder(tmp_path / "m", config={"hidden_act": "relu"}))


def test_a_bare_transformer_is_pooled_by_its_mean(tmp_path: Path) -> None:
    encoder = _equal_to_library(transformer_folder(tmp_path / "m"))
    # 70 positions: rows of 70 tokens are padded to 80, past the last position.
    assert encoder.max_tokens == 70


@pytest.mark.parametrize("include_prompt", [True, False])
def test_prompts_of_the_model(tmp_path: Path, include_prompt: bool) -> None:
    prompts = {"query": "find this: ", "document": "a text about "}
    encoder = _equal_to_library(
        model_folder(tmp_path / "m", prompts=prompts, include_prompt=include_prompt, max_seq_length=64)
    )
    assert (encoder.query_prompt, encoder.passage_prompt) == ("find this: ", "a text about ")
    configured = _open(tmp_path / "m", query_prompt="", passage_prompt="x ")
    plain = SentenceTransformer(str(tmp_path / "m"), device="cpu").encode(QUERIES, prompt="")
    np.testing.assert_allclose(configured.encode_queries(QUERIES), _unit(plain), atol=1e-5)


def test_router_with_a_route_for_queries(tmp_path: Path) -> None:
    encoder = _equal_to_library(router_folder(tmp_path / "m"))
    assert encoder.max_tokens == 40
    assert not np.allclose(encoder.encode_queries(["river"]), encoder.encode_passages([""], ["river"]))


def test_separate_query_model_is_compared_by_dot(tmp_path: Path) -> None:
    passage, query = model_folder(tmp_path / "p", seed=1), model_folder(tmp_path / "q", seed=2)
    card = passage / "config_sentence_transformers.json"
    card.write_text(json.dumps(json.loads(card.read_text()) | {"similarity_fn_name": None}))
    encoder = _open(passage, query_name=str(query))
    theirs = SentenceTransformer(str(query), device="cpu").encode(QUERIES)
    np.testing.assert_allclose(encoder.encode_queries(QUERIES), theirs, atol=1e-5)
    assert encoder.metric == "dot"
    other = model_folder(tmp_path / "o", dense(16))
    with pytest.raises(ModelError, match="16"):
        _open(passage, query_name=str(other))


def test_queries_that_are_no_unicode_are_named(packaged: Encoder) -> None:
    with pytest.raises(InputError, match="text 1"):
        packaged.encode_queries(["fine", "bad \ud800"])


def test_vectors_that_are_not_finite_are_an_error(tmp_path: Path) -> None:
    # Float16 cannot hold the products of such weights, as happens with some real models.
    broken = dense(16)
    broken.linear.weight.data.fill_(float("nan"))
    with pytest.raises(ModelError, match="not finite"):
        _open(model_folder(tmp_path / "m", broken)).encode_passages([""], ["river"])


def test_a_vector_of_zeros_stays_one(tmp_path: Path) -> None:
    silent = dense(16)
    silent.linear.weight.data.zero_()
    silent.linear.bias.data.zero_()
    assert not _open(model_folder(tmp_path / "m", silent)).encode_passages([""], ["river"]).any()
