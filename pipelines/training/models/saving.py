"""Writes trained encoders as folders that sentence-transformers loads, weights as safetensors."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def save_encoder(model: Any, modules: Sequence[Any], similarity: str, folder: Path) -> None:
    """A sentence-transformers folder of `modules`, which are those of `model`, or some of them."""
    from sentence_transformers import SentenceTransformer

    whole = SentenceTransformer(
        modules=list(modules), device="cpu", prompts=dict(model.prompts or {}), similarity_fn_name=similarity
    )
    whole.max_seq_length = model.max_seq_length
    whole.save_pretrained(str(folder), create_model_card=False)


def save_late(model: Any, folder: Path) -> None:
    """A ColBERT folder. PyLate's layout, which sentence-transformers' MultiVectorEncoder reads as its own,
    where it can say what the model does; else that library's."""
    model.save_pretrained(str(folder), create_model_card=False)
    if (settings := _pylate_settings(model)) is None:
        return
    for module in list(
        folder.glob("[2-9]_*")
    ):  # masking and normalising: PyLate does both without being told
        shutil.rmtree(module)
    _put(folder / "modules.json", [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Dense", "type": "pylate.models.Dense.Dense"},
    ])  # fmt: skip
    _put(folder / "config_sentence_transformers.json", settings)
    lengths = [settings["query_length"], settings["document_length"]]
    _put(folder / "sentence_bert_config.json", {"max_seq_length": max(lengths), "do_lower_case": False})
    dense = json.loads((folder / "1_Dense/config.json").read_text())
    own = {name: value for name, value in dense.items() if not name.startswith("module_")}
    _put(folder / "1_Dense/config.json", {**own, "use_residual": False})


def _pylate_settings(model: Any) -> dict[str, Any] | None:
    """PyLate's keys of a MultiVectorEncoder; None where it has what these cannot say."""
    kinds = ["Transformer", "Dense", "MultiVectorMask", "Normalize"]
    if [type(module).__name__ for module in model] != kinds:
        return None
    transformer, mask = model[0], model[2]
    expansion = transformer.query_expansion
    query, document = (_prefix(model, side) for side in ("query", "document"))
    plain = (
        None not in (query, document)
        and (expansion is None or expansion.get("strategy") == "fixed")
        and list(mask.skiplist_tasks) == ["document"]
        and mask.keep_only_token_ids is None
    )
    if not plain:
        return None
    return {
        "model_type": "ColBERT",
        "query_prefix": query,
        "document_prefix": document,
        "query_length": expansion["length"] if expansion else transformer.query_length,
        "document_length": transformer.document_length,
        "do_query_expansion": expansion is not None,
        "attend_to_expansion_tokens": bool(expansion and expansion.get("attend")),
        "skiplist_words": list(mask.skiplist_words or []),
        "prompts": {},
        "similarity_fn_name": "MaxSim",
    }


def _prefix(model: Any, side: str) -> str | None:
    """The one token that stands before the texts of a side; empty without one, None where it is a text."""
    prompt = str(model.prompts.get(side) or "")
    if not prompt:
        return ""
    cut = model.tokenizer.tokenize
    return next(
        (one for one in (prompt, prompt.rstrip()) if cut(f"{prompt}words") == [one, *cut("words")]), None
    )


def _put(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2), encoding="utf-8")
