"""MPNet (Song et al. 2020): as BERT, with a bias for the distance of two tokens."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from retrieval.deadline import look
from retrieval.models.packed.bert import PostNormLayer, roberta_positions
from retrieval.models.packed.rows import Packed, Run


class PackedMPNet:
    """Forward pass of a `transformers.MPNetModel` over packed rows, with its weights."""

    def __init__(self, model: Any, expected_tokens: int) -> None:
        embeddings = model.embeddings
        self.words: Tensor = embeddings.word_embeddings.weight
        self.dtype = self.words.dtype
        self.positions: Tensor = embeddings.position_embeddings.weight
        self.padding_id = int(embeddings.padding_idx)
        self.norm: nn.LayerNorm = embeddings.LayerNorm
        self.bias: Any = model.encoder.compute_position_bias
        heads: int = model.config.num_attention_heads
        self.layers = [_layer(layer, heads, expected_tokens) for layer in model.encoder.layer]

    @staticmethod
    def fits(config: Any) -> bool:
        """Whether the forward pass here is that of a model with this configuration."""
        return bool(config.hidden_act == "gelu")

    def __call__(self, batch: Packed) -> Tensor:
        """Token vectors of a packed batch: (total, hidden); those of padding mean nothing."""
        places = roberta_positions(batch, self.padding_id).clamp(max=len(self.positions) - 1)
        hidden: Tensor = self.norm(F.embedding(batch.ids, self.words) + F.embedding(places, self.positions))
        masks = [self._mask(run, hidden) for run in batch.runs]
        for layer in self.layers:
            look()
            hidden = layer(hidden, batch.runs, masks)
        return hidden

    def _mask(self, run: Run, like: Tensor) -> Tensor:
        """Of the distances and of what is padding: (rows or 1, heads, length, length)."""
        bias: Tensor = self.bias(torch.empty((1, run.length, 0), device=like.device)).to(like.dtype)
        return bias if run.mask is None else bias + run.mask


def _layer(layer: Any, heads: int, expected_tokens: int) -> PostNormLayer:
    attention = layer.attention
    own = attention.attn
    return PostNormLayer(layer, (own.q, own.k, own.v), own.o, attention.LayerNorm, heads, expected_tokens)
