"""Writes trained encoders as folders that sentence-transformers loads, weights as safetensors."""

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
