"""Finding a model, naming what it is made of, and refusing what must not be loaded."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from retrieval.errors import ModelError
from retrieval.models.places import DEFAULT_MODEL
from retrieval.models.resolved_model import model_card, resolve_model
from retrieval.models.trust import Trust
from retrieval.settings import ModelSettings
from tests.tools.samples.encoder_models import dense, model_folder, router_folder


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return model_folder(tmp_path / "m", dense(16))


def _edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_packaged_model_by_both_of_its_names() -> None:
    short, long = resolve_model("all-MiniLM-L6-v2"), resolve_model("sentence-transformers/all-MiniLM-L6-v2")
    assert short.folder == long.folder
    assert (short.folder / "model.safetensors").is_file()
    assert short.fingerprint == long.fingerprint


def test_fingerprint_follows_what_decides_the_vectors(model: Path, tmp_path: Path) -> None:
    before = resolve_model(str(model)).fingerprint
    copy = shutil.copytree(model, tmp_path / "copy")
    (copy / "README.md").write_text("other words")
    (copy / "onnx").mkdir()
    (copy / "onnx" / "config.json").write_text("{}")
    assert resolve_model(str(copy)).fingerprint == before
    _edit(copy / "1_Pooling" / "config.json", pooling_mode="cls")
    assert resolve_model(str(copy)).fingerprint != before


def test_model_card_names_both_models(model: Path) -> None:
    card = model_card(ModelSettings(query_name=str(model)))
    assert [card[side]["name"] for side in ("passage", "query")] == [DEFAULT_MODEL, str(model)]
    assert len(card["query"]["fingerprint"]) == 64 != card["passage"]["fingerprint"]


def test_missing_model_offline_names_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="HF_HUB_OFFLINE") as caught:
        resolve_model("all-MiniLM-L7-v2")
    assert "all-MiniLM-L6-v2" in caught.value.hint


def test_missing_folder_is_no_hub_name(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such folder"):
        resolve_model(str(tmp_path / "absent"))


def test_cached_snapshot_is_used_with_its_commit(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = "a" * 40
    cached = tmp_path / "hub" / "models--someone--small"
    shutil.copytree(model, cached / "snapshots" / commit)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    found = resolve_model("someone/small")
    assert (found.revision, found.fingerprint) == (commit, resolve_model(str(model)).fingerprint)


@pytest.mark.parametrize("part", [".", "2_Dense"])
def test_pickled_weights_are_refused_wherever_they_lie(model: Path, part: str) -> None:
    (model / part / "model.safetensors").unlink()
    torch.save({}, model / part / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"pytorch_model\.bin") as caught:
        resolve_model(str(model))
    assert "allow_pickle" in caught.value.hint
    assert resolve_model(str(model), trust=Trust(pickle=True)).folder == model


def test_pickle_beside_safetensors_is_harmless(model: Path) -> None:
    torch.save({}, model / "training_args.bin")
    resolve_model(str(model))


def test_pickle_inside_a_router_is_refused(tmp_path: Path) -> None:
    folder = router_folder(tmp_path / "m")
    inner = next(folder.rglob("query_0_Transformer"))
    (inner / "model.safetensors").unlink()
    torch.save({}, inner / "pytorch_model.bin")
    with pytest.raises(ModelError, match="query_0_Transformer"):
        resolve_model(str(folder))


def test_code_that_the_model_brings_is_refused(model: Path) -> None:
    original = (model / "config.json").read_text()
    _edit(model / "config.json", auto_map={"AutoModel": "modeling.Evil"})
    with pytest.raises(ModelError, match="auto_map"):
        resolve_model(str(model))
    resolve_model(str(model), trust=Trust(remote_code=True))
    (model / "config.json").write_text(original)
    _edit(model / "2_Dense" / "config.json", activation_function="evil.run")
    with pytest.raises(ModelError, match=r"evil\.run"):
        resolve_model(str(model))


@pytest.mark.parametrize(("kind", "path"), [("modeling.Custom", "1_Pooling"), (None, "../outside")])
def test_foreign_modules_and_paths_are_refused(model: Path, kind: str | None, path: str) -> None:
    modules = json.loads((model / "modules.json").read_text())
    modules[1] |= {"path": path} | ({"type": kind} if kind else {})
    (model / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ModelError, match=kind or "leads out"):
        resolve_model(str(model))


def test_adapters_and_folders_without_weights_are_refused(model: Path) -> None:
    (model / "adapter_config.json").write_text('{"base_model_name_or_path": "someone/else"}')
    with pytest.raises(ModelError, match="adapter"):
        resolve_model(str(model))
    (model / "adapter_config.json").unlink()
    for file in model.rglob("*.safetensors"):
        file.unlink()
    with pytest.raises(ModelError, match="no safetensors"):
        resolve_model(str(model))


def test_broken_json_is_named(model: Path) -> None:
    (model / "modules.json").write_text("[{")
    with pytest.raises(ModelError, match=r"modules\.json is not valid JSON"):
        resolve_model(str(model))
