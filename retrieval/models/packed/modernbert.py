"""ModernBERT (Warner et al. 2024): rotary positions, gated GELU, layers that look at near tokens alone."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from retrieval.deadline import look
from retrieval.models.packed.attention import angles, attend, rotate
from retrieval.models.packed.products import product
from retrieval.models.packed.rows import Packed, Run, by_rows

_LOCAL = "sliding_attention"


class PackedModernBert:
    """Forward pass of a `transformers.ModernBertModel` over packed rows, with its weights."""

    def __init__(self, model: Any, expected_tokens: int) -> None:
        self.words: Tensor = model.embeddings.tok_embeddings.weight
        self.dtype = self.words.dtype
        self.norm: nn.LayerNorm = model.embeddings.norm
        self.last_norm: nn.LayerNorm = model.final_norm
        self.rotary: Any = model.rotary_emb
        self.reach = int(model.config.sliding_window)
        self.layers = [_Layer(layer, expected_tokens) for layer in model.layers]

    @staticmethod
    def fits(config: Any) -> bool:
        """Whether the forward pass here is that of a model with this configuration."""
        ropes = {rope["rope_type"] for rope in config.rope_parameters.values() if rope is not None}
        return config.hidden_activation == "gelu" and ropes == {"default"}

    def __call__(self, batch: Packed) -> Tensor:
        """Token vectors of a packed batch: (total, hidden); those of padding mean nothing."""
        hidden: Tensor = self.norm(F.embedding(batch.ids, self.words))
        kinds = {layer.kind for layer in self.layers}
        turns = {kind: angles(self.rotary, hidden, batch.positions, kind) for kind in kinds}
        masks = {
            kind: [self._near(run, hidden) if kind == _LOCAL else run.mask for run in batch.runs]
            for kind in kinds
        }
        for layer in self.layers:
            look()
            hidden = layer(hidden, batch.runs, masks[layer.kind], turns[layer.kind])
        found: Tensor = self.last_norm(hidden)
        return found

    def _near(self, run: Run, like: Tensor) -> Tensor | None:
        """The mask of a layer that looks `reach` tokens far: (rows or 1, 1, length, length)."""
        if run.length <= self.reach + 1:
            return run.mask
        places = torch.arange(run.length, device=like.device)
        allowed = ((places[:, None] - places).abs() <= self.reach)[None, None]
        if run.mask is not None:
            allowed = allowed & (run.mask == 0)
        # Not -inf: padding that is far from every token would become NaN, and with it all that reads it.
        lowest = torch.finfo(like.dtype).min
        return torch.zeros(allowed.shape, dtype=like.dtype, device=like.device).masked_fill(~allowed, lowest)


class _Layer:
    """One transformer layer."""

    def __init__(self, layer: Any, expected_tokens: int) -> None:
        self.kind: str = layer.attention_type
        self.width: int = layer.attn.head_dim
        self.attention_norm: nn.Module = layer.attn_norm
        self.mlp_norm: nn.LayerNorm = layer.mlp_norm
        self.project = product(layer.attn.Wqkv, expected_tokens)
        self.out = product(layer.attn.Wo, expected_tokens)
        self.up = product(layer.mlp.Wi, expected_tokens)
        self.down = product(layer.mlp.Wo, expected_tokens)

    def __call__(
        self, hidden: Tensor, runs: list[Run], masks: list[Tensor | None], turns: tuple[Tensor, Tensor]
    ) -> Tensor:
        projected = self.project(self.attention_norm(hidden), None).unflatten(1, (3, -1, self.width))
        query, key = (rotate(part, *turns) for part in (projected[:, 0], projected[:, 1]))
        hidden = self.out(attend(query, key, projected[:, 2], runs, masks), hidden)
        up, gate = self.up(self.mlp_norm(hidden), None).chunk(2, dim=-1)
        return self.down(by_rows(lambda u, g: F.gelu(u) * g, up, gate), hidden)
