"""Files that were made to mislead a reader: each is refused for what is wrong with it, at no cost."""

import json
import os
import zlib
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.parts.part_reader import read_part
from retrieval.dense.faiss_files import check_graph
from retrieval.dense.types.hnsw import GRAPH
from retrieval.dense.types.inverted.inverted_type import INDEX
from retrieval.dense.types.ivf_pq import TYPE as IVF_PQ
from retrieval.errors import CorpusmillError, IndexDamaged, ModelError
from retrieval.format.manifest import latest_version, parse_latest
from retrieval.format.npy import map_npy
from retrieval.format.parquet_schema import part_schema
from retrieval.format.passages import Passages, write_passages
from retrieval.models.errors import check_weights
from retrieval.storage.store import Store
from retrieval.storage.strict_json import parse_json, read_json_as
from tests.tools.samples.dense_data import Built, build, clustered, ivf

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
NUMBERS = st.integers(-(10**30), 10**30) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda below: st.lists(below) | st.dictionaries(TEXTS, below),
    max_leaves=20,
)
NOT_JSON = {
    "a key twice": b'{"a": 1, "a": 1}', "deep lists": b"[" * 100_000, "deep objects": b'{"a":' * 100_000,
    "closed lists": b"[" * 5000 + b"]" * 5000, "nan": b"NaN", "infinity": b"[-Infinity]", "huge": b"1e999",
    "digits": b"9" * 41, "more digits": b"9" * 100_000, "half a pair": b'"\\ud800"', "no UTF-8": b'"\xff"',
    "empty": b"", "UTF-16": "{}".encode("utf-16"), "a BOM": b"\xef\xbb\xbf{}", "two values": b"{} {}",
    "values": b"[" + b"1," * 1_000_001 + b"1]", "bytes": b'"' + b"a" * (16 << 20) + b'"',
    "other digits": "²".encode(),
}  # fmt: skip


@given(VALUES)
def test_json_is_read_as_it_was_written(value: Any) -> None:
    assert parse_json(json.dumps(value).encode(), "it") == value
    assert parse_json(json.dumps(value, ensure_ascii=False, indent=1).encode(), "it") == value


@pytest.mark.parametrize("data", NOT_JSON.values(), ids=NOT_JSON)
def test_what_is_not_strictly_json_is_named(data: bytes) -> None:
    with pytest.raises(IndexDamaged, match="the object") as caught:
        parse_json(data, "the object")
    assert caught.value.message.isascii()
    assert len(caught.value.message) < 300


@given(st.binary(max_size=60) | st.text("[]{},:\"'\\u0019aeE+-.NnI \n").map(str.encode))
def test_any_bytes_are_json_or_an_error(data: bytes) -> None:
    try:
        value = parse_json(data, "it")
    except IndexDamaged:
        return
    assert json.loads(data) == value


@pytest.mark.parametrize("value", ["1", 1.0, True, None, [1]], ids=str)
def test_a_number_is_only_a_number(value: Any) -> None:
    with pytest.raises(IndexDamaged, match="the object: 1: "):
        read_json_as(list[int], json.dumps([1, value]).encode(), "the object")


@pytest.mark.parametrize(
    ("data", "version"),
    [(b"7", 7), (b"000012\n", 12), (b"", None), ("²".encode(), None), ("٣".encode(), None), (b"-1", None),
     (b"1_0", None), (b" 1", None), (b"1 2", None), (b"1" * 13, None), (b"\xff", None), (b"1\x002", None)],
)  # fmt: skip
def test_latest_is_ascii_digits(tmp_path: Path, data: bytes, version: int | None) -> None:
    assert parse_latest(data) == version
    (tmp_path / "LATEST").write_bytes(data)
    if version is None:
        with pytest.raises(IndexDamaged, match="LATEST"):
            latest_version(Store(str(tmp_path)))


@pytest.mark.timeout(20)
def test_an_object_that_is_no_file_or_too_large_is_not_read(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    os.mkfifo(tmp_path / "LATEST")
    (tmp_path / "folder").mkdir()
    with (tmp_path / "large").open("wb") as file:
        file.truncate(1 << 40)
    for key in ("LATEST", "folder", "large"):
        with pytest.raises(IndexDamaged, match=key):
            store.read(key)


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f2', 'fortran_order': False, 'shape': (3, 2), 'x': 1}", "{}", "(" * 300, "-" * 400 + "1",
        "{'descr': '<f2', 'fortran_order': True, 'shape': (3, 2), }",
        "{'descr': '|O', 'fortran_order': False, 'shape': (3, 2), }",
        "{'descr': '<f2', 'fortran_order': False, 'shape': (3, -2), }",
        "{'descr': '<f2', 'fortran_order': False, 'shape': (99999999999999999, 2), }",
    ],
)  # fmt: skip
def test_an_npy_header_is_what_numpy_writes(tmp_path: Path, header: str) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + bytes(12))
    with pytest.raises(IndexDamaged, match=r"a\.npy"):
        map_npy(path, "<f2", (3, 2), "vectors")


def table(rows: int, **columns: list[Any]) -> pa.Table:
    """Passages, with some columns as given."""
    plain: dict[str, Any] = {
        "doc_id": ["d"] * rows, "passage": list(range(rows)), "title": [""] * rows,
        "text": ["x" * 100] * rows, "start": [0] * rows, "end": [100] * rows, "source": ["s"] * rows,
        "position": [0] * rows,
        "metadata.day": [None] * rows,
    }  # fmt: skip
    schema = part_schema({"day": "date"})
    arrays = [pa.array((plain | columns)[field.name], field.type) for field in schema]
    return pa.Table.from_arrays(arrays, schema=pa.schema([field.with_nullable(True) for field in schema]))


@pytest.mark.parametrize("codec", ["zstd", "lz4"])
def test_compressed_passages_are_refused_before_they_are_unpacked(tmp_path: Path, codec: str) -> None:
    path = tmp_path / "a.arrow"
    whole = table(10)
    assert write_passages(path, [whole], part_schema({"day": "date"})) == 10
    assert len(Passages(path, 10).get([9])) == 1
    options = pa.ipc.IpcWriteOptions(compression=codec)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, whole.schema, options=options) as writer:
        writer.write_table(whole)
    with pytest.raises(IndexDamaged, match="compressed"):
        Passages(path, 10)


@pytest.mark.parametrize(
    "columns",
    [
        {"metadata.day": pa.array([2**31 - 1] * 3, pa.int32()).cast(pa.date32())},  # no day of Python's
        {"text": ["a", None, "b"]}, {"doc_id": [None] * 3}, {"start": [1, None, 2]},
    ],
    ids=["day", "text", "doc_id", "start"],
)  # fmt: skip
def test_values_that_no_build_writes_are_damage(tmp_path: Path, columns: dict[str, Any]) -> None:
    path, wrong = tmp_path / "a.arrow", table(3, **columns)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, wrong.schema) as writer:
        writer.write_table(wrong)
    with pytest.raises(IndexDamaged, match=r"a\.arrow"):
        Passages(path, 3).get([0, 1, 2])


@pytest.mark.parametrize(
    "kind", [pa.dictionary(pa.int32(), pa.string()), pa.binary(), pa.list_(pa.list_(pa.int8()))]
)
def test_columns_of_other_types_are_refused(tmp_path: Path, kind: pa.DataType) -> None:
    path = tmp_path / "a.arrow"
    wrong = table(2).append_column("metadata.x", pa.nulls(2, kind))
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, wrong.schema) as writer:
        writer.write_table(wrong)
    with pytest.raises(IndexDamaged, match=r"metadata\.x"):
        Passages(path, 2)


def test_a_part_is_read_only_as_what_it_has_to_be(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    for name, wrong in {
        "rows": table(4), "gap": table(3, text=["a", None, "b"]), "column": table(3).drop(["title"]),
    }.items():  # fmt: skip
        pq.write_table(wrong, tmp_path / f"{name}.parquet")
        with pytest.raises(IndexDamaged, match=name):
            read_part(store, f"{name}.parquet", rows=3)
    (tmp_path / "bytes.parquet").write_bytes(b"PAR1" + b"\xff" * 100 + b"PAR1")
    for name in ("bytes", "absent"):
        with pytest.raises(IndexDamaged, match=name):
            read_part(store, f"{name}.parquet", ["text"])


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return build(tmp_path_factory.mktemp("graph"), ivf("hnsw", hnsw_m=8), clustered(300, 0), [])


@pytest.mark.parametrize(
    ("name", "place", "value", "reason"),
    [
        ("neighbors", 0, 300, "neighbour"), ("neighbors", 5, -2, "neighbour"), ("levels", 3, 0, "level"),
        ("levels", 3, 10**6, "level"), ("offsets", 7, 2**62, "levels"),
        ("cum_nneighbor_per_level", 1, 2**30, "spec"),
    ],
)  # fmt: skip
def test_a_graph_leads_nowhere_else(
    graph: Built, tmp_path: Path, name: str, place: int, value: int, reason: str
) -> None:
    index = faiss.read_index(str(graph.folder / GRAPH))
    path, spec = tmp_path / GRAPH, graph.quantizer.spec
    faiss.write_index(index, str(path), faiss.IO_FLAG_SKIP_STORAGE)
    check_graph(path, spec, 300)
    numbers = getattr(index.hnsw, name)
    array = faiss.vector_to_array(numbers)
    array[place] = value
    faiss.copy_array_to_vector(array, numbers)
    faiss.write_index(index, str(path), faiss.IO_FLAG_SKIP_STORAGE)
    with pytest.raises(IndexDamaged, match=reason):
        check_graph(path, spec, 300)


def test_other_indexes_of_faiss_are_not_read(tmp_path: Path) -> None:
    built = build(tmp_path, ivf(pq_m=8), clustered(300, 0), [])
    path, spec = tmp_path / "other.faiss", built.quantizer.spec
    data = (tmp_path / "quantizer" / INDEX).read_bytes()
    others = {
        "nested": data.replace(b"IxFI", b"IxMp"),  # a map of an index, of an index, ...
        "lists elsewhere": data.replace(b"ilar", b"ilod"),  # these have a file of any name
        "longer": data[:-8] + (2**40).to_bytes(8, "little"), "more": data + b"x", "less": data[:-9],
        "none": b"",
    }  # fmt: skip
    for wrong in others.values():
        path.write_bytes(wrong)
        with pytest.raises(IndexDamaged, match=r"other\.faiss"):
            IVF_PQ.check_index(path, spec)


@pytest.mark.parametrize("name", ["num_hidden_layers", "hidden_size", "vocab_size"])
def test_a_model_makes_no_room_for_weights_that_it_has_not(tmp_path: Path, name: str) -> None:
    header = json.dumps({"a": {"dtype": "F32", "shape": [4, 8], "data_offsets": [0, 128]}}).encode()
    (tmp_path / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(128))
    for value, fits in ((1, True), (10**9, False), ("1", False), (-1, False)):
        (tmp_path / "config.json").write_text(json.dumps({name: value}))
        if fits:
            check_weights(tmp_path)
        else:
            with pytest.raises(ModelError, match=name):
                check_weights(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 20)
    with pytest.raises(CorpusmillError):
        check_weights(tmp_path)


def test_headers_are_signed_over_what_is_read(graph: Built, tmp_path: Path) -> None:
    from retrieval.dense.quantizer import open_stored
    from retrieval.dense.stored_shard import SHARD_HEADER

    values = json.loads((graph.folder / SHARD_HEADER).read_bytes())
    values.pop("crc32")
    for wrong in ({"vectors": "300"}, {"vectors": -1}, {"vectors": 1e3}, {"vectors": None}, {"format": [1]}):
        changed = values | wrong
        crc32 = zlib.crc32(json.dumps(changed, sort_keys=True).encode())
        (tmp_path / SHARD_HEADER).write_text(json.dumps({**changed, "crc32": crc32}))
        with pytest.raises(IndexDamaged, match="vectors|format"):
            open_stored(tmp_path, graph.quantizer)


def test_sums_of_sizes_do_not_wrap(tmp_path: Path) -> None:
    built = build(tmp_path, ivf(pq_m=8), clustered(300, 0), [])
    path = built.folder / "sizes.npy"
    sizes = np.load(path)
    sizes[:4] += 2**62  # adds up to what it was, in 64 bits
    np.save(path, sizes)
    header = json.loads((built.folder / "shard.json").read_bytes())
    header.pop("crc32")
    header["sizes_crc32"] = zlib.crc32(path.read_bytes())
    crc32 = zlib.crc32(json.dumps(header, sort_keys=True).encode())
    (built.folder / "shard.json").write_text(json.dumps({**header, "crc32": crc32}))
    with pytest.raises(IndexDamaged, match="list sizes"):
        built.open()
