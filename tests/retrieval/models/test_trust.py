"""An index that brings code: however and from wherever it is opened, none of it runs unless that says so."""

import functools
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from moto.server import ThreadedMotoServer
from sentence_transformers import CrossEncoder as Reference
from transformers import BertConfig, BertForSequenceClassification
from typer.testing import CliRunner

from jobs.cli import app
from retrieval.errors import ModelError
from retrieval.format.manifest import read_manifest
from retrieval.models.resolved_model import resolve_model
from retrieval.search.searcher import Searcher
from retrieval.serve.runtime.served_index import SearcherVersions, ServedIndex
from retrieval.serve.settings import ServeSettings
from retrieval.storage.store import Store
from tests.conftest import make_documents, write_jsonl
from tests.tools.hostile.hostile_index import RERANK, bring_code, plant, rewrite
from tests.tools.samples.encoder_models import model_folder

QUERY = "glaciers"


def cross_encoder(folder: Path) -> Path:
    """A random cross-encoder."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=30522, hidden_size=32, num_hidden_layers=1, num_attention_heads=4, intermediate_size=64,
        max_position_embeddings=70, num_labels=1,
    )  # fmt: skip
    plain = folder.with_name("plain-cross")
    BertForSequenceClassification(config).save_pretrained(plain)
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json"):
        shutil.copy(resolve_model("all-MiniLM-L6-v2").folder / name, plain / name)
    Reference(str(plain), device="cpu", max_length=48).save_pretrained(str(folder))
    return folder


@pytest.fixture(scope="module")
def honest(build: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index with copies of three models."""
    root = tmp_path_factory.mktemp("honest")
    build(
        write_jsonl(root / "corpus.jsonl", make_documents(6)), root / "index", dense={"type": "flat"},
        model={"name": str(model_folder(root / "embedding", seed=1))},
        late_interaction={"model": {"name": str(model_folder(root / "late", seed=2))}},
        cross_encoder={"model": {"name": str(cross_encoder(root / "cross"))}},
    )  # fmt: skip
    return root / "index"


@pytest.fixture
def index(honest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, free to be poisoned; copies and modules of code go to places of their own."""
    monkeypatch.setenv("CORPUSMILL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    return shutil.copytree(honest, tmp_path / "index")


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """What the code writes if it runs."""
    return tmp_path / "it-ran"


@pytest.mark.parametrize("section", RERANK)
def test_code_in_any_model_runs_for_who_allows_it_alone(index: Path, marker: Path, section: str) -> None:
    folder = plant(index, section, lambda model: bring_code(model, marker))
    words = ["search", str(index), QUERY, "-k", "1"]
    words += ["--rerank", RERANK[section]] if RERANK[section] else []
    told = CliRunner().invoke(app, words)
    assert told.exit_code == 1
    said = " ".join(told.output.split())
    for word in ("would run code", "AutoModel = x.Model", "--trust-remote-code"):
        assert word in said, told.output
    assert f"{folder}/config.json has auto_map" in told.output.replace("\n", "")
    assert not marker.exists()
    assert CliRunner().invoke(app, [*words, "--allow-pickle"]).exit_code == 1
    assert not marker.exists()
    assert CliRunner().invoke(app, [*words, "--trust-remote-code"]).exit_code == 0
    assert marker.exists()


@pytest.mark.parametrize("command", ["verify", "status", "ask", "evaluate"])
def test_no_command_runs_it(index: Path, marker: Path, tmp_path: Path, command: str) -> None:
    plant(index, "embedding", lambda model: bring_code(model, marker))
    questions = tmp_path / "questions.jsonl"
    questions.write_text('{"question": "glaciers", "answers": ["glaciers"]}\n')
    more = {"ask": [QUERY], "evaluate": ["--queries", str(questions)]}.get(command, [])
    told = CliRunner().invoke(app, [command, str(index), *more])
    assert told.exit_code == (1 if more else 0), told.output  # the index is intact, so verify says so
    assert ("--trust-remote-code" in told.output) == bool(more)
    assert not marker.exists()
    if more:
        CliRunner().invoke(app, [command, str(index), *more, "--trust-remote-code"])
        assert marker.exists()


@pytest.fixture(params=["http", "s3"])
def elsewhere(request: pytest.FixtureRequest, index: Path) -> Iterator[Callable[[], dict[str, Any]]]:
    """A function that puts the index on a server; it gives the arguments of Searcher.open."""
    if request.param == "http":
        handler = functools.partial(SimpleHTTPRequestHandler, directory=str(index.parent))
        with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            yield lambda: {"url": f"http://127.0.0.1:{server.server_port}/index"}
            server.shutdown()
        return
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    options = {"key": "test", "secret": "test", "endpoint_url": f"http://{host}:{port}"}

    def upload() -> dict[str, Any]:
        files = Store("s3://hostile", options).fs
        files.mkdir("hostile")
        files.put(f"{index}/", "hostile/index/", recursive=True)
        return {"url": "s3://hostile/index", "options": options}

    yield upload
    server.stop()


def test_nor_from_elsewhere(index: Path, marker: Path, elsewhere: Callable[[], dict[str, Any]]) -> None:
    plant(index, "query", lambda model: bring_code(model, marker))
    plant(index, "cross_encoder", lambda model: bring_code(model, marker))
    place = elsewhere()
    with pytest.raises(ModelError, match=r"AutoModel = x\.Model") as caught:
        Searcher.open(**place)
    assert "trust_remote_code=True" in caught.value.hint
    with Searcher.open(**place, trust_remote_code=True) as search:
        assert not marker.exists()  # nothing needed it so far
        search(QUERY, 1)
    assert marker.exists()


def test_nor_in_a_service(index: Path, marker: Path) -> None:
    plant(index, "embedding", lambda model: bring_code(model, marker))

    def search(**trust: bool) -> None:
        with SearcherVersions(ServedIndex(ServeSettings(index=str(index), **trust))).use(1) as searcher:
            searcher(QUERY, 1)

    with pytest.raises(ModelError, match="would run code") as caught:
        search()
    assert "trust_remote_code: true" in caught.value.hint
    assert not marker.exists()
    search(trust_remote_code=True)
    assert marker.exists()


@pytest.mark.slow
def test_serve_says_what_would_run(index: Path, marker: Path) -> None:
    plant(index, "embedding", lambda model: bring_code(model, marker))
    words = [sys.executable, "-m", "jobs", "serve", str(index), "--port", "29876"]
    told = subprocess.run(words, capture_output=True, text=True, timeout=200)
    assert told.returncode == 1
    assert "would run code" in told.stderr
    assert "x.Model" in told.stderr
    assert not marker.exists()


def pickled(model: Path) -> None:
    """The weights as a pickle."""
    from safetensors.torch import load_file

    torch.save(load_file(model / "model.safetensors"), model / "pytorch_model.bin")
    (model / "model.safetensors").unlink()


@pytest.mark.parametrize("section", RERANK)
def test_pickles_are_loaded_for_who_allows_them_alone(index: Path, section: str) -> None:
    plant(index, section, pickled)

    def search(**trust: bool) -> None:
        with Searcher.open(str(index), **trust) as searcher:
            assert searcher(QUERY, 1, rerank=RERANK[section]).hits

    for trust in ({}, {"trust_remote_code": True}):
        with pytest.raises(ModelError, match=r"pytorch_model\.bin") as caught:
            search(**trust)
        assert "--allow-pickle" in caught.value.hint
    search(allow_pickle=True)


def test_a_file_that_the_manifest_does_not_name_is_no_part_of_a_model(index: Path, marker: Path) -> None:
    folder = plant(index, "embedding", lambda model: bring_code(model, marker))
    (folder / "more.py").write_text("")
    with pytest.raises(ModelError, match="another model"):
        Searcher.open(str(index), trust_remote_code=True)
    (folder / "more.py").unlink()
    for section in ("late_interaction", "cross_encoder"):
        card = getattr(read_manifest(Store(str(index))), section)["model"]["query"]
        (index / "models" / card["fingerprint"][:16] / "more.json").write_text("{}")
        opened = Searcher.open(str(index), trust_remote_code=True)
        with opened as search, pytest.raises(ModelError, match="another model"):
            search(QUERY, 1, rerank=RERANK[section])


@pytest.mark.parametrize("section", RERANK)
def test_a_name_in_an_index_is_no_folder_of_this_machine(
    index: Path, honest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, section: str
) -> None:
    source = {"late_interaction": "late", "cross_encoder": "cross"}.get(section, "embedding")
    shutil.copytree(honest.parent / source, tmp_path / "here" / "someone" / "model")
    monkeypatch.chdir(tmp_path / "here")
    for name in (str(honest.parent / source), "someone/model", "./someone/model", "~/model", "../x"):

        def change(value: dict[str, Any], name: str = name) -> None:
            if section in ("embedding", "query"):
                card, settings = value["model"], value["model"]["settings"]
            else:
                card, settings = value[section]["model"], value[section]["settings"]["model"]
            settings["query_name" if section == "query" else "name"] = name
            if section == "query":
                card["query"]["fingerprint"] = "0" * 64
            own = f"models/{card['query']['fingerprint'][:16]}/"
            value["model_files"] = [file for file in value["model_files"] if not file["key"].startswith(own)]

        shutil.copytree(honest / "versions", index / "versions", dirs_exist_ok=True)
        rewrite(index, change)

        def search() -> None:
            with Searcher.open(str(index), trust_remote_code=True, allow_pickle=True) as searcher:
                searcher(QUERY, 1, rerank=RERANK[section])

        with pytest.raises(ModelError, match=f"asks for the model {name!r}, and holds no copy"):
            search()
