"""Late interaction (ColBERT): token vectors, their codec, stored codes, and MaxSim.

What a plan needs, `late_card` and `settings_of_index`, does not import torch; the rest does.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from retrieval.models.late_interaction.resolve_model import late_card, settings_of_index

if TYPE_CHECKING:
    from retrieval.token_codes.codec import TokenCodec
    from retrieval.models.late_interaction.token_encoder import Token, TokenEncoder
    from retrieval.models.late_interaction.token_vectors import TokenVectors, best_pairs, maxsim
    from retrieval.token_codes.shard_codes import ShardTokens

__all__ = [
    "ShardTokens",
    "Token",
    "TokenCodec",
    "TokenEncoder",
    "TokenVectors",
    "best_pairs",
    "late_card",
    "maxsim",
    "settings_of_index",
]
_HOMES = {
    "ShardTokens": "stored", "Token": "encoder", "TokenCodec": "codec", "TokenEncoder": "encoder",
    "TokenVectors": "ragged", "best_pairs": "ragged", "maxsim": "ragged",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
