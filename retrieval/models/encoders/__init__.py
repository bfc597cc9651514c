"""The encoder of passages and queries. `Tokenizer` and `Tokens` do not import torch; `Encoder` does."""

from typing import TYPE_CHECKING, Any

from retrieval.models.encoders.tokenizer import Tokenizer, Tokens

if TYPE_CHECKING:
    from retrieval.models.encoders.encoder import Encoder

__all__ = ["Encoder", "Tokenizer", "Tokens"]


def __getattr__(name: str) -> Any:
    if name == "Encoder":
        from retrieval.models.encoders.encoder import Encoder

        return Encoder
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
