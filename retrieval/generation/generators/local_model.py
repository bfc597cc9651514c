"""A model that writes, on this machine: a packaged one, or one that is named."""

from pathlib import Path

from retrieval.errors import ModelError
from retrieval.generation.generators.packaged import DEFAULT, PACKAGED, packaged_folder
from retrieval.models import Trust, read_model_json, resolve_model

_WRITERS = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")


def model_folder(name: str | None) -> Path:
    """Folder of a model: the one named, checked as every model is, or a packaged one; None: the default.

    Raises ModelError, also for a model that does not write texts: the library would give it a head of
    random weights.
    """
    if name is None or name in PACKAGED:
        return packaged_folder(name or DEFAULT)
    model = resolve_model(name, trust=Trust(of="generator"))
    architectures = (read_model_json(model.folder / "config.json") or {}).get("architectures") or []
    if not any(str(found).endswith(_WRITERS) for found in architectures):
        found = ", ".join(map(str, architectures)) or "bare transformer"
        raise ModelError(
            f"model {name!r} is a {found}, not a generator",
            hint="Name a causal language model, such as a Gemma, Llama or Qwen, or a T5; "
            f"packaged ones are {' and '.join(sorted(PACKAGED))}.",
        )
    return model.folder
