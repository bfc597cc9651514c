"""Qwen3 (Yang et al. 2025): a causal model, whose last token tells of the whole text."""

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from retrieval.deadline import look
from retrieval.models.packed.attention import angles, attend, rotate
from retrieval.models.packed.products import product
from retrieval.models.packed.rows import Packed, Run, by_rows


class PackedQwen3:
    """Forward pass of a `transformers.Qwen3Model` over packed rows, with its weights.

    Rows are padded at their end, which no token of a causal model sees: it needs no masks.
    """

    def __init__(self, model: Any, expected_tokens: int) -> None:
        self.words: Tensor = model.embed_tokens.weight
        self.dtype = self.words.dtype
        self.last_norm: nn.Module = model.norm
        self.rotary: Any = model.rotary_emb
        self.layers = [_Layer(layer, expected_tokens) for layer in model.layers]

    @staticmethod
    def fits(config: Any) -> bool:
        """Whether the forward pass here is that of a model with this configuration."""
        return (
            config.hidden_act == "silu"
            and config.rope_parameters["rope_type"] == "default"
            and set(config.layer_types) == {"full_attention"}
            and getattr(config, "is_causal", True) is not False
        )

    def __call__(self, batch: Packed) -> Tensor:
        """Token vectors of a packed batch: (total, hidden); those of padding mean nothing."""
        hidden: Tensor = F.embedding(batch.ids, self.words)
        turns = angles(self.rotary, hidden, batch.positions)
        for layer in self.layers:
            look()
            hidden = layer(hidden, batch.runs, turns)
        return by_rows(self.last_norm, hidden)


class _Layer:
    """One transformer layer; query, key and value are one product, gate and up another."""

    def __init__(self, layer: Any, expected_tokens: int) -> None:
        own, mlp = layer.self_attn, layer.mlp
        self.width: int = own.head_dim
        self.parts = [linear.out_features // self.width for linear in (own.q_proj, own.k_proj, own.v_proj)]
        self.project = product((own.q_proj, own.k_proj, own.v_proj), expected_tokens)
        self.out = product(own.o_proj, expected_tokens)
        self.up = product((mlp.gate_proj, mlp.up_proj), expected_tokens)
        self.down = product(mlp.down_proj, expected_tokens)
        self.query_norm: nn.Module = own.q_norm
        self.key_norm: nn.Module = own.k_norm
        self.attention_norm: nn.Module = layer.input_layernorm
        self.mlp_norm: nn.Module = layer.post_attention_layernorm

    def __call__(self, hidden: Tensor, runs: list[Run], turns: tuple[Tensor, Tensor]) -> Tensor:
        projected = self.project(by_rows(self.attention_norm, hidden), None).unflatten(1, (-1, self.width))
        query, key, value = projected.split(self.parts, dim=1)
        query = rotate(by_rows(self.query_norm, query), *turns)
        key = rotate(by_rows(self.key_norm, key), *turns)
        hidden = self.out(attend(query, key, value, runs, [None] * len(runs), causal=True), hidden)
        gate, up = self.up(by_rows(self.mlp_norm, hidden), None).chunk(2, dim=-1)
        return self.down(by_rows(lambda g, u: F.silu(g) * u, gate, up), hidden)
