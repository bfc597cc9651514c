"""Token vectors of bare encoders and of ColBERT checkpoints, and the tokens that they stand for."""

import json
import string

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from torch import nn

from retrieval.errors import ConfigError, InputError, ModelError
from retrieval.models.late_interaction.opening import open_token_encoder
from retrieval.models.late_interaction.resolve_model import late_card
from retrieval.models.late_interaction.token_encoder import TokenEncoder
from retrieval.settings import LateInteractionSettings, ModelSettings
from tests.tools.samples.encoder_models import (
    PACKED,
    TEXTS,
    TITLES,
    model_folder,
    packed_folder,
    router_folder,
)
from tests.tools.samples.late_models import DIMENSION, LAYOUTS, QUERY_LENGTH, native

QUERY = "naïve Café: least squares, 42?"
MARKED = ["A river, a city; (vectors) -- don't.", "index: 42!", "word " * 60]

MAKERS = {
    "bare": model_folder,
    **{name: lambda path, make=make: make(path).folder for name, make in LAYOUTS.items()},
}


def settings(folder, **values) -> ModelSettings:
    return ModelSettings(name=str(folder), dtype="float32", **values)


def open_late(model: ModelSettings, **values) -> TokenEncoder:
    return open_token_encoder(LateInteractionSettings(model=model, **values), ModelSettings(), threads=1)


def hidden(folder, text: str, length: int) -> tuple[np.ndarray, list[str]]:
    """Last hidden states of length 1, and their tokens, by sentence-transformers alone."""
    model = SentenceTransformer(str(folder), device="cpu")
    found = model.tokenizer(text, truncation=True, max_length=length, return_tensors="pt")
    with torch.inference_mode():
        states = model[0].auto_model(**found).last_hidden_state[0]
    return nn.functional.normalize(states, dim=1).numpy(), model.tokenizer.convert_ids_to_tokens(
        found["input_ids"][0]
    )


@pytest.mark.parametrize("kind", ["electra", *PACKED])
def test_a_bare_encoder_gives_its_hidden_states_without_punctuation(tmp_path, kind):
    make = packed_folder if kind in PACKED else model_folder
    folder = make(tmp_path / "model", kind=kind)
    encoder = open_late(settings(folder))
    titles, texts = [*TITLES, "T", "", ""], [*TEXTS, *MARKED]
    found = encoder.encode_passages(titles, texts)
    assert found.vectors.dtype == np.float32
    for row, (title, text) in enumerate(zip(titles, texts, strict=True)):
        states, tokens = hidden(folder, f"{title} {text}" if title else text, 48)
        kept = [token not in string.punctuation for token in tokens]
        np.testing.assert_allclose(found[row], states[kept], atol=2e-5)


def test_queries_keep_punctuation_and_are_cut(tmp_path):
    folder = model_folder(tmp_path / "model")
    encoder = open_late(settings(folder), query_tokens=12)
    short, long = encoder.encode_queries([QUERY, "word " * 60])
    np.testing.assert_allclose(short, hidden(folder, QUERY, 12)[0], atol=2e-5)
    assert encoder.query_tokens(QUERY) == hidden(folder, QUERY, 12)[1]
    assert len(long) == 12


def test_each_side_of_a_pair_gives_its_own_vectors(tmp_path):
    encoder = open_late(settings(router_folder(tmp_path / "pair")))
    query, passage = (
        encoder.encode_queries(["river city"])[0],
        encoder.encode_passages([""], ["river city"])[0],
    )
    assert query.shape == passage.shape
    assert not np.allclose(query, passage, atol=1e-2)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_checkpoints_give_what_their_authors_define(tmp_path, layout):
    made = LAYOUTS[layout](tmp_path / layout)
    encoder = open_late(settings(made.folder))
    assert encoder.dimension == DIMENSION
    for query, vectors in zip(
        [QUERY, "word " * 60], encoder.encode_queries([QUERY, "word " * 60]), strict=True
    ):
        assert len(vectors) == QUERY_LENGTH
        np.testing.assert_allclose(vectors, made.query(query), atol=2e-5)
    found = encoder.encode_passages(["Title", "", ""], MARKED)
    for row, text in enumerate(["Title " + MARKED[0], *MARKED[1:]]):
        np.testing.assert_allclose(found[row], made.passage(text), atol=2e-5)


@pytest.mark.parametrize("layout", ["bare", *LAYOUTS])
def test_tokens_stand_for_the_vectors(tmp_path, layout):
    folder = MAKERS[layout](tmp_path / layout)
    encoder = open_late(settings(folder))
    assert len(encoder.query_tokens(QUERY)) == len(encoder.encode_queries([QUERY])[0])
    for title, text in zip(["A title!", "", ""], MARKED, strict=True):
        tokens = encoder.passage_tokens(title, text)
        assert len(tokens) == len(encoder.encode_passages([title], [text]).vectors)
        inside = [token for token in tokens if token.start >= 0]
        assert inside
        assert all(text[token.start : token.end].lower() == token.text.removeprefix("##") for token in inside)
        named = [token.text for token in tokens if token.start < 0]
        assert ("title" in named) == bool(title)
        assert not {token.text for token in tokens} & set(string.punctuation)


@pytest.mark.parametrize("layout", ["bare", "native"])
def test_a_long_title_leaves_half_of_the_room(tmp_path, layout):
    folder = MAKERS[layout](tmp_path / layout)
    tokens = open_late(settings(folder)).passage_tokens("river " * 100, "city " * 100)
    words = [token.text for token in tokens]
    assert abs(words.count("river") - words.count("city")) <= 1


def test_the_default_is_the_embedding_model():
    encoder = open_token_encoder(LateInteractionSettings(), ModelSettings(), threads=1)
    assert encoder.dimension == 384
    assert encoder.card["kind"] == "encoder"
    assert encoder.card == late_card(LateInteractionSettings(), ModelSettings())
    found = encoder.encode_passages(["", ""], ["short", "a longer text, with commas"])
    np.testing.assert_allclose(np.linalg.norm(found.vectors, axis=1), 1, atol=1e-3)


def test_the_card_tells_checkpoints_and_their_settings_apart(tmp_path):
    folder = LAYOUTS["stanford"](tmp_path / "stanford").folder
    late = LateInteractionSettings(model=settings(folder))
    before = late_card(late, ModelSettings())
    assert before["kind"] == "checkpoint"
    metadata = json.loads((folder / "artifact.metadata").read_text())
    (folder / "artifact.metadata").write_text(json.dumps({**metadata, "mask_punctuation": False}))
    assert late_card(late, ModelSettings())["passage"]["fingerprint"] != before["passage"]["fingerprint"]


def test_checkpoints_that_bring_code_or_pickles_are_refused(tmp_path):
    folder = LAYOUTS["pylate"](tmp_path / "pylate").folder
    modules = json.loads((folder / "modules.json").read_text())
    modules[1]["type"] = "pylate.models.Dense.Other"
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ModelError, match="class of its own"):
        open_late(settings(folder))
    folder = LAYOUTS["stanford"](tmp_path / "stanford").folder
    weights = folder / "model.safetensors"
    weights.rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="pickled"):
        open_late(settings(folder))


def test_a_broken_checkpoint_is_a_model_error(tmp_path):
    folder = LAYOUTS["native"](tmp_path / "native").folder
    (folder / "1_Dense" / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(ModelError, match="cannot be loaded"):
        open_late(settings(folder))


def test_settings_that_a_checkpoint_cannot_keep_are_refused(tmp_path):
    folder = native(tmp_path / "native").folder
    with pytest.raises(ConfigError, match="70 positions"):
        open_late(settings(folder, max_tokens=100))
    with pytest.raises(ConfigError, match="query_name"):
        open_late(settings(folder, query_name=str(folder)))


@pytest.mark.parametrize("layout", ["bare", "native"])
def test_hostile_text_is_an_error_or_cut(tmp_path, layout):
    folder = MAKERS[layout](tmp_path / layout)
    encoder = open_late(settings(folder))
    for call in (
        lambda: encoder.encode_queries(["lone \ud800"]),
        lambda: encoder.encode_passages([""], ["lone \ud800"]),
        lambda: encoder.encode_passages(["lone \ud800"], ["text"]),
    ):
        with pytest.raises(InputError, match="surrogate"):
            call()
    found = encoder.encode_queries(["\0", "x" * 100_000, "y " * 50_000, ""])
    assert all(2 <= len(vectors) <= 64 and np.isfinite(vectors).all() for vectors in found)
    assert len(encoder.encode_passages([], [])) == 0
    assert encoder.encode_queries([]) == []
