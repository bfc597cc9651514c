"""Whether a model may be loaded, decided from the names of its files and the JSON in them alone.

The libraries that load models look up classes, functions and other files by what these say. Only what is
known to be plain passes; the rest is code by another name, and needs the consent of whoever loads it.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from retrieval.errors import ModelError
from retrieval.models.places import OTHER_BACKENDS
from retrieval.models.trust import Trust

PICKLES = frozenset({".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt"})
# Large, and read by nothing that could run code.
_VOCABULARIES = {"tokenizer.json", "vocab.json"}
# Classes of other packages that sentence-transformers reads as its own, without importing those.
_READ_AS_OWN = {"pylate.models.Dense.Dense"}
# Modules of sentence-transformers that load JSON and safetensors alone. The library would take any attribute
# of its modules by such a name, those that it imported from elsewhere too.
_MODULE = re.compile(
    r"sentence_transformers(\.[A-Za-z_]+)*\.(Transformer|Pooling|Dense|Normalize|Router|Asym|LayerNorm|Dropout"
    r"|WeightedLayerPooling|WordWeights|CNN|LSTM|BoW|StaticEmbedding|MLMTransformer|CLIPModel|SpladePooling"
    r"|SparseAutoEncoder|SparseStaticEmbedding|MultiVectorMask|HierarchicalTokenPooling|LogitScore)"
)
_ACTIVATION = re.compile(r"torch\.nn(\.modules(\.[a-z]+)?)?\.[A-Z][A-Za-z0-9]*")
# Keys that name code, whatever file they stand in.
_CODE = {
    "auto_map", "auto_mapping", "custom_generate", "trust_remote_code", "code_revision", "adapter_kwargs",
    "use_kernels", "allow_all_kernels", "kernel_config", "quantization_config",
}  # fmt: skip
_CLASSES = re.compile(r"(.*_)?(class|fn|function)")
_IMPLEMENTATIONS = re.compile(r"_*(attn|experts)_implementation(_internal)?")
# Arguments of transformers that a sentence-transformers folder passes on, and those that say nothing of code.
_ARGUMENTS = {
    "model_args", "model_kwargs", "tokenizer_args", "processor_kwargs", "config_args", "config_kwargs",
}  # fmt: skip
_PLAIN_ARGUMENTS = {
    "add_bos_token", "add_eos_token", "add_pooling_layer", "attn_implementation", "do_lower_case", "dtype",
    "is_decoder", "max_length", "max_pixels", "min_pixels", "model_max_length", "padding_side",
    "reference_compile", "torch_dtype", "truncation_side", "unpad_inputs", "use_cache", "use_fast",
    "use_memory_efficient_attention",
}  # fmt: skip
_METHOD = re.compile(r"forward|get_[a-z_]+_features")


def check_files(name: str, folder: Path, trust: Trust) -> None:
    """Refuse what must not be loaded.

    Raises ModelError for code that the model brings or names, pickled weights without a safetensors
    counterpart, adapters (they load a second model that is not checked), and missing files.
    """
    if not any(folder.rglob("config.json")):
        raise ModelError(
            f"model {name!r}: {folder} has no config.json, so it is not a model",
            hint="Name the folder that holds config.json, the tokenizer and model.safetensors.",
        )
    folders = list(module_folders(folder))
    if not trust.remote_code and (found := next(named_code(folder), None)):
        raise ModelError(
            f"model {name!r} would run code (its own Python code, or other that it names): {found}",
            hint=trust.code_hint,
        )
    for part in folders:
        if (part / "adapter_config.json").is_file():
            raise ModelError(
                f"model {name!r} is an adapter ({part / 'adapter_config.json'})",
                hint="Merge it into its base model, save that, and name the merged folder.",
            )
        weights = [p.name for p in part.iterdir() if p.is_file()] if part.is_dir() else []
        pickled = sorted(w for w in weights if Path(w).suffix in PICKLES)
        if pickled and not trust.pickle and not any(w.endswith(".safetensors") for w in weights):
            raise ModelError(
                f"model {name!r} has pickled weights without safetensors: {part / pickled[0]}",
                hint=trust.pickle_hint,
            )
    endings = {".safetensors"} | (PICKLES if trust.pickle else set())
    if not any(p.suffix in endings for part in folders if part.is_dir() for p in part.iterdir()):
        raise ModelError(
            f"model {name!r}: {folder} has no safetensors weights",
            hint=f"Copy model.safetensors there. If it has pickled weights only: {trust.pickle_hint}",
        )


def named_code(folder: Path) -> Iterator[str]:
    """What the JSON files of a model would have run: each with its file, its key and what that names."""
    for path in sorted(folder.rglob("*.json")):
        elsewhere = OTHER_BACKENDS & set(path.relative_to(folder).parts)
        if elsewhere or path.name in _VOCABULARIES or not path.is_file():
            continue
        for said in _named(path.name, read_model_json(path)):
            yield f"{path} has {said}"


def _named(file: str, content: Any) -> Iterator[str]:
    kinds: list[Any] = []
    if file == "modules.json":
        entries = content if isinstance(content, list) else [content]
        kinds = [entry.get("type") if isinstance(entry, dict) else entry for entry in entries]
    elif isinstance(content, dict) and isinstance(content.get("types"), dict):  # a router's
        kinds = list(content["types"].values())
    yield from (f"a class of its own: {kind}" for kind in kinds if not _is_module(kind))
    pending = [content]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            yield from (said for key, inner in value.items() for said in _named_by(key, inner))
            pending += value.values()
        elif isinstance(value, list):
            pending += value


def _is_module(kind: Any) -> bool:
    return isinstance(kind, str) and (kind in _READ_AS_OWN or _MODULE.fullmatch(kind) is not None)


def _named_by(key: str, value: Any) -> Iterator[str]:
    """What one entry of an object names, if that is not known to be plain."""
    if (key in _CODE and value) or (key == "weights_only" and not value):
        yield f"{key}: {_short(value)}"
    elif key in _ARGUMENTS and value:
        unknown = sorted(set(value) - _PLAIN_ARGUMENTS) if isinstance(value, dict) else [value]
        if unknown:
            yield f"{key}: {_short(unknown)}"
    elif _IMPLEMENTATIONS.fullmatch(key) and any("/" in text for text in _texts(value)):
        yield f"{key}: {_short(value)}"
    elif _CLASSES.fullmatch(key):
        yield from (f"{key}: {text}" for text in _texts(value) if "." in text and not _is_class(text))
    elif key == "modality_config" and isinstance(value, dict):
        for entry in value.values():
            method = entry.get("method", "forward") if isinstance(entry, dict) else entry
            if not (isinstance(method, str) and _METHOD.fullmatch(method)):
                yield f"{key}: the method {_short(method)}"


def _is_class(text: str) -> bool:
    return _ACTIVATION.fullmatch(text) is not None or _is_module(text)


def _texts(value: Any) -> list[str]:
    values = value.values() if isinstance(value, dict) else value if isinstance(value, list) else [value]
    return [found for found in values if isinstance(found, str)]


def _short(value: Any) -> str:
    text = ", ".join(f"{key} = {inner}" for key, inner in value.items()) if isinstance(value, dict) else value
    return str(text)[:200]


def module_folders(folder: Path) -> Iterator[Path]:
    """The model's folder and those of its sentence-transformers modules, routers' ones included."""
    listed = read_model_json(folder / "modules.json")
    modules = listed if isinstance(listed, list) else []
    pending = [folder, *(_inside(folder, _path_of(module, folder)) for module in modules)]
    seen: set[Path] = set()
    while pending:
        path = pending.pop(0)
        if path not in seen:
            seen.add(path)
            yield path
            pending += _routes(path)


def _routes(path: Path) -> list[Path]:
    """Folders of the modules of the router in `path`, which may be routers too."""
    config = read_model_json(path / "router_config.json") or read_model_json(path / "config.json") or {}
    types = config.get("types") if isinstance(config, dict) else None
    return [_inside(path, str(module)) for module in types] if isinstance(types, dict) else []


def _path_of(module: Any, folder: Path) -> str:
    path = module.get("path", "") if isinstance(module, dict) else None
    if not isinstance(path, str):
        raise ModelError(f"model in {folder}: modules.json lists {module!r:.100}, which is no module")
    return path


def _inside(folder: Path, relative: str) -> Path:
    path = (folder / relative).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise ModelError(f"model in {folder}: module path {relative!r} leads out of the folder")
    return folder / relative if relative else folder


def read_model_json(path: Path) -> Any:
    """Content of a JSON file, or None where there is none. Raises ModelError where it is broken."""
    try:
        return json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is not valid JSON: {error}", hint="Copy the model again.") from error
