"""Models: where one lies, whether it may be loaded, which files decide what it computes, its copies."""

from retrieval.models.checks import read_json
from retrieval.models.resolved_model import (
    ResolvedModel,
    fingerprint_folder,
    is_local_folder,
    model_card,
    model_paths,
    resolve,
    resolve_side,
    suffixes,
)

__all__ = [
    "ResolvedModel", "fingerprint_folder", "is_local_folder", "model_card", "model_paths", "read_json",
    "resolve", "resolve_side", "suffixes",
]  # fmt: skip
