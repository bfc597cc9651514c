"""What a file can make a library run: names of code in a model, FAISS files, Arrow types, names of models."""

import json
import os
import pickle
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.parts.part_reader import read_columns
from retrieval.dense.types.ivf_flat import TYPE as IVF_FLAT
from retrieval.dense.types.ivf_pq import TYPE as IVF_PQ
from retrieval.errors import IndexDamaged, ModelError
from retrieval.format.dense_spec import FaissSpec
from retrieval.format.parquet_schema import part_schema
from retrieval.format.passages import Passages
from retrieval.models.resolved_model import resolve_model
from retrieval.models.trust import OPENED, Trust
from retrieval.search.searcher import Searcher
from tests.conftest import make_documents, write_jsonl
from tests.tools.hostile.hostile_index import edit, rewrite
from tests.tools.samples.encoder_models import dense, model_folder, router_folder
from tests.tools.samples.source_samples import read_all


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model_folder(tmp_path_factory.mktemp("saved") / "m", dense(16))


@pytest.fixture
def model(saved: Path, tmp_path: Path) -> Path:
    return shutil.copytree(saved, tmp_path / "m")


KERNEL = "someone/kernel"
CODE: list[tuple[str, dict[str, Any]]] = [
    ("config.json", {"auto_map": {"AutoModel": "someone/else--x.Model"}}),
    ("config.json", {"text_config": {"inner": [{"auto_map": {"AutoConfig": "x.Config"}}]}}),
    ("config.json", {"quantization_config": {"quant_method": "custom"}}),
    ("config.json", {"attn_implementation": KERNEL}),
    ("config.json", {"_attn_implementation": {"text_config": KERNEL}}),
    ("config.json", {"sentence_transformers": {"activation_fn": "os.getcwd"}}),
    ("config.json", {"sbert_ce_default_activation_function": "torch.utils.collect_env.main"}),
    ("tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["x.Slow", "x.Fast"]}}),
    ("tokenizer_config.json", {"tokenizer_class": "x.Tokenizer"}),
    ("processor_config.json", {"auto_map": {"AutoProcessor": "x.Processor"}}),
    ("preprocessor_config.json", {"auto_map": {"AutoImageProcessor": "x.Processor"}}),
    ("generation_config.json", {"custom_generate": "someone/generate"}),
    ("sentence_bert_config.json", {"model_args": {"trust_remote_code": True}}),
    ("sentence_bert_config.json", {"model_kwargs": {"weights_only": False}}),
    ("sentence_bert_config.json", {"model_args": {"attn_implementation": KERNEL}}),
    ("sentence_bert_config.json", {"model_kwargs": {"use_kernels": True}}),
    ("sentence_bert_config.json", {"tokenizer_args": {"tokenizer_file": "/etc/passwd"}}),
    ("sentence_bert_config.json", {"config_args": {"code_revision": "main"}}),
    ("sentence_bert_config.json", {"modality_config": {"text": {"method": "save_pretrained"}}}),
    ("2_Dense/config.json", {"activation_function": "sentence_transformers.base.model.pickle.loads"}),
    ("2_Dense/config.json", {"activation_function": "torch.hub.load"}),
    ("deeper/still/config.json", {"auto_map": {"AutoModel": "x.Model"}}),
]


@pytest.mark.parametrize(("file", "changes"), CODE)
def test_what_names_code_is_refused_with_its_name(model: Path, file: str, changes: dict[str, Any]) -> None:
    resolve_model(str(model), trust=OPENED)
    (model / file).parent.mkdir(parents=True, exist_ok=True)
    edit(model / file, **changes)
    with pytest.raises(ModelError, match="would run code") as caught:
        resolve_model(str(model), trust=OPENED)
    assert str(model / file) in caught.value.message
    assert "--trust-remote-code" in caught.value.hint
    resolve_model(str(model), trust=Trust(remote_code=True))


@pytest.mark.parametrize(
    "kind",
    [
        "x.Module", "os.system", "sentence_transformers.base.model.torch",
        "sentence_transformers.base.sampler.pickle", "sentence_transformers.SentenceTransformer",
        "sentence_transformers.util.misc.import_from_string", "sentence_transformers..Dense", "", None, 7,
    ],
)  # fmt: skip
def test_a_module_is_one_of_those_that_are_known(model: Path, tmp_path: Path, kind: Any) -> None:
    modules = json.loads((model / "modules.json").read_text())
    modules[1]["type"] = kind
    (model / "modules.json").write_text(json.dumps(modules))
    router = router_folder(tmp_path / "router")
    inner = router / "query_1_Pooling"  # a router in a router
    edit(inner / "router_config.json", types={"x": kind}, structure={}, parameters={})
    for folder in (model, router):
        with pytest.raises(ModelError, match="a class of its own"):
            resolve_model(str(folder), trust=OPENED)


def test_a_router_in_a_router_hides_no_pickle(tmp_path: Path) -> None:
    router = router_folder(tmp_path / "router")
    inner = router / "query_1_Pooling"
    kinds = {"deep": "sentence_transformers.models.Transformer"}
    edit(inner / "router_config.json", types=kinds, structure={}, parameters={})
    (inner / "deep").mkdir()
    (inner / "deep" / "pytorch_model.bin").write_bytes(pickle.dumps({}))
    with pytest.raises(ModelError, match=r"deep/pytorch_model\.bin"):
        resolve_model(str(router), trust=OPENED)


@pytest.mark.parametrize(
    ("file", "changes"),
    [
        ("config.json", {"auto_map": {}, "quantization_config": None, "attn_implementation": "sdpa"}),
        ("config.json", {"sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity"}}),
        ("sentence_bert_config.json", {"model_args": {"add_pooling_layer": False, "torch_dtype": "float32"}}),
        ("2_Dense/config.json", {"activation_function": "torch.nn.Tanh"}),
    ],
)
def test_what_is_plain_is_not_refused(model: Path, file: str, changes: dict[str, Any]) -> None:
    edit(model / file, **changes)
    resolve_model(str(model), trust=OPENED)


def test_json_that_is_deep_is_told(model: Path) -> None:
    (model / "config.json").write_text('{"a":' * 100_000 + "1" + "}" * 100_000)
    with pytest.raises(ModelError, match=r"config\.json is not valid JSON"):
        resolve_model(str(model), trust=OPENED)


def test_a_faiss_file_opens_no_other(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"x" * 5_000)
    coarse = faiss.IndexFlatIP(8)
    index = faiss.IndexIVFScalarQuantizer(
        coarse, 8, 4, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT, False
    )
    index.train(np.random.default_rng(0).random((200, 8), np.float32))
    faiss.write_index(index, str(tmp_path / "plain"))
    lists = faiss.OnDiskInvertedLists(4, index.code_size, str(secret))
    lists.totsize = 5_000
    index.replace_invlists(lists, False)
    faiss.write_index(index, str(tmp_path / "hostile"))

    def is_mapped() -> bool:
        return str(secret) in Path("/proc/self/maps").read_text()

    spec = FaissSpec(type="ivf_flat", dimension=8, nlist=4)
    IVF_FLAT.check_index(tmp_path / "plain", spec)
    other = FaissSpec(type="ivf_pq", dimension=8, nlist=4, pq_m=2, pq_bits=8)
    with pytest.raises(IndexDamaged, match="not what FAISS writes here"):
        IVF_PQ.check_index(tmp_path / "plain", other)
    with pytest.raises(IndexDamaged, match="not what FAISS writes here: lists is b'ilod'"):
        IVF_FLAT.check_index(tmp_path / "hostile", spec)
    assert not is_mapped()
    opened = faiss.read_index(str(tmp_path / "hostile"))
    assert is_mapped()  # which is what it would do
    del opened


class Evil:
    """Writes a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.marker),)


def objects(marker: Path, rows: int, nested: bool = False) -> tuple[pa.Field, pa.Array]:
    """A column that Ray Data unpickles."""
    metadata = {"ARROW:extension:name": "ray.data.arrow_pickled_object", "ARROW:extension:metadata": ""}
    field = pa.field("metadata.evil", pa.large_binary(), metadata=metadata)
    values = pa.array([pickle.dumps(Evil(marker))] * rows, pa.large_binary())
    if nested:
        inner = field.with_name("item")
        field = pa.field("metadata.evil", pa.list_(inner))
        values = pa.ListArray.from_arrays(list(range(rows + 1)), values)
    return field, values


@pytest.mark.parametrize("nested", [False, True])
def test_arrow_types_that_unpickle_are_refused(tmp_path: Path, nested: bool) -> None:
    import ray.data  # registers them

    assert ray.data
    marker = tmp_path / "it-ran"
    field, values = objects(marker, 2, nested)
    schema = part_schema({})
    plain = [pa.array(["a", "b"] if kind == pa.string() else [0, 1], kind) for kind in schema.types]
    schema, columns = schema.append(field), [*plain, values]
    table = pa.Table.from_arrays(columns, names=schema.names).replace_schema_metadata(None)
    table = pa.Table.from_arrays(table.columns, schema=schema)
    with pa.OSFile(str(tmp_path / "p.arrow"), "wb") as file, pa.ipc.new_file(file, schema) as writer:
        writer.write_table(table)
    with pytest.raises(IndexDamaged, match="of type .*extension"):
        Passages(tmp_path / "p.arrow", 2)
    pq.write_table(table, tmp_path / "p.parquet")
    with (tmp_path / "p.parquet").open("rb") as file, pytest.raises(IndexDamaged, match="made by code"):
        read_columns(file, None, 2)
    pq.write_table(table.select(schema.names[:-1]), tmp_path / "plain.parquet")
    with (tmp_path / "plain.parquet").open("rb") as file:
        assert read_columns(file, None, 2).num_rows == 2
    documents = pa.table({"_id": ["a", "b"], "title": ["", ""], "text": ["x", "y"]})
    documents = documents.append_column(field.with_name("extra"), values)
    pq.write_table(documents, tmp_path / "corpus.parquet")
    found, rejects = read_all(tmp_path / "corpus.parquet", metadata={"extra": "string"})
    assert len(found) + len(rejects) == 2
    assert not marker.exists()
    pq.read_table(tmp_path / "corpus.parquet").slice(0, 1).to_pylist()
    assert marker.exists()  # which is what it would do


def test_a_model_of_the_hub_is_copied_into_the_index(
    build: Callable[..., Any], saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = "a" * 40
    cached = tmp_path / "hub" / "models--someone--small"
    shutil.copytree(saved, cached / "snapshots" / commit)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    index = tmp_path / "index"
    corpus = write_jsonl(tmp_path / "corpus.jsonl", make_documents(3))
    manifest = build(corpus, index, model={"name": "someone/small"}, dense={"type": "flat"}).manifest
    assert manifest.model["passage"]["revision"] == commit
    copies = {file.key.split("/", 2)[2] for file in manifest.model_files}
    assert {"config.json", "model.safetensors", "2_Dense/config.json"} <= copies

    def search() -> None:
        with Searcher.open(str(index)) as searcher:
            assert searcher("bees", 1).hits

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "empty"))
    search()
    rewrite(index, lambda value: value.update(model_files=[]))  # as it was built before
    with pytest.raises(ModelError, match="'someone/small', and holds no copy"):
        search()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    search()
    edit(cached / "snapshots" / commit / "2_Dense" / "config.json", bias=False)
    with pytest.raises(ModelError, match="another model"):
        search()
    _asks_nobody(index)


def _asks_nobody(index: Path) -> None:
    """Opening it in a process that may use the network asks no server for its model."""
    asked: list[str] = []

    class Hub(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        do_HEAD = do_GET

        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        variables = {
            **os.environ, "HF_HUB_OFFLINE": "0", "HF_HUB_CACHE": str(index / "no-cache"),
            "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
        }  # fmt: skip
        words = [sys.executable, "-m", "jobs", "search", str(index), "bees", "--trust-remote-code"]
        told = subprocess.run(words, capture_output=True, text=True, timeout=120, env=variables)
        server.shutdown()
    assert told.returncode == 1
    assert "holds no copy" in told.stderr
    assert asked == []


def test_the_packaged_model_is_no_folder_of_the_working_directory(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = resolve_model("all-MiniLM-L6-v2")
    shutil.copytree(saved, tmp_path / "all-MiniLM-L6-v2")
    assert resolve_model("all-MiniLM-L6-v2") == before
