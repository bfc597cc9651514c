"""BERT over packed rows: a batch is one row of tokens after the other, and only attention is batched.

Rows come sorted by length, so that rows of about one length are neighbours: attention takes each such
run as a view of the packed tokens, without a copy. On a CPU in low precision the weights are laid out
for oneDNN once, and GELU and the residual sums ride on the matrix products.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from retrieval.deadline import look
from retrieval.models.encoders.tokenizer import Tokens

# Rows are padded to a multiple of this many tokens: torch's attention on a CPU computes the remainder
# of a vector register element by element, which at 135 tokens takes 1.5 times as long as 144 whole ones.
_ALIGN = 16

_PACKED_LOCK = Lock()
_PACKED: WeakKeyDictionary[nn.Module, dict[int, "PackedBert"]] = WeakKeyDictionary()  # of models in memory

# (x, residual or None) -> linear(x) with what is fused to it
Product = Callable[[Tensor, Tensor | None], Tensor]


@dataclass(frozen=True)
class Run:
    """Neighbouring rows of one padded length; `mask` (rows, 1, 1, length) is 0 or -inf, or None."""

    rows: int
    length: int
    mask: Tensor | None


@dataclass(frozen=True)
class Packed:
    """A batch: `ids` and `positions` (total,) int64, rows padded to `_ALIGN`; its runs and row lengths."""

    ids: Tensor
    positions: Tensor
    runs: list[Run]
    lengths: Tensor


def pack_rows(tokens: Tokens, rows: npt.NDArray[np.int64], device: str, dtype: torch.dtype) -> Packed:
    """The packed batch of `rows`, which are sorted by length, with masks for attention in `dtype`."""
    lengths = tokens.lengths[rows]
    padded = -(-lengths // _ALIGN) * _ALIGN
    ends = np.cumsum(padded)
    ids = np.zeros(int(ends[-1]), np.int64)
    for row, length, end, width in zip(rows, lengths, ends, padded, strict=True):
        start = tokens.offsets[row]
        ids[end - width : end - width + length] = tokens.ids[start : start + length]
    positions = np.arange(len(ids)) - np.repeat(ends - padded, padded)
    runs: list[Run] = []
    first = 0
    for width, same in groupby(padded.tolist()):
        count = len(list(same))
        real = torch.from_numpy(np.arange(width) < lengths[first : first + count, None])
        mask = torch.zeros(real.shape, dtype=dtype).masked_fill(~real, float("-inf"))[:, None, None]
        runs.append(Run(count, width, None if bool(real.all()) else mask.to(device)))
        first += count
    return Packed(
        torch.from_numpy(ids).to(device),
        torch.from_numpy(positions).to(device),
        runs,
        torch.from_numpy(lengths).to(device),
    )


def can_pack(model: object) -> bool:
    """Whether `model` is a plain BERT, whose forward pass `PackedBert` repeats exactly."""
    from transformers import BertModel

    config = getattr(model, "config", None)
    return (
        type(model) is BertModel
        and config is not None
        and config.hidden_act == "gelu"
        and not config.is_decoder
        and not config.add_cross_attention
        and getattr(config, "position_embedding_type", "absolute") in ("absolute", None)
    )


def open_packed_bert(model: Any, expected_tokens: int) -> "PackedBert":
    """`model`, which `can_pack` allows, over packed rows; all that use the model share it."""
    with _PACKED_LOCK:
        own = _PACKED.setdefault(model, {})
        if expected_tokens not in own:
            own[expected_tokens] = PackedBert(model, expected_tokens=expected_tokens)
        return own[expected_tokens]


class PackedBert:
    """Forward pass of a `transformers.BertModel` over packed rows, with its weights and dtype."""

    def __init__(self, model: Any, *, expected_tokens: int) -> None:
        embeddings = model.embeddings
        self.words: Tensor = embeddings.word_embeddings.weight
        self.dtype = self.words.dtype
        # All tokens are of type 0: one sum for each position, instead of one for each token.
        types: Tensor = embeddings.token_type_embeddings.weight
        self.positions: Tensor = (embeddings.position_embeddings.weight + types[0]).detach()
        self.norm: nn.LayerNorm = embeddings.LayerNorm
        heads: int = model.config.num_attention_heads
        self.layers = [_Layer(layer, heads, expected_tokens) for layer in model.encoder.layer]

    def __call__(self, batch: Packed) -> Tensor:
        """Token vectors of a packed batch: (total, hidden); those of padding mean nothing."""
        # Padding may reach past the last position; its vectors are not used.
        places = batch.positions.clamp(max=len(self.positions) - 1)
        hidden: Tensor = self.norm(F.embedding(batch.ids, self.words) + F.embedding(places, self.positions))
        for layer in self.layers:
            look()
            hidden = layer(hidden, batch.runs)
        return hidden


class _Layer:
    """One transformer layer; query, key and value are one product."""

    def __init__(self, layer: Any, heads: int, expected_tokens: int) -> None:
        own = layer.attention.self
        parts = (own.query, own.key, own.value)
        weight = torch.cat([part.weight for part in parts]).detach()
        bias = torch.cat([part.bias for part in parts]).detach()
        self.heads = heads
        self.project = _linear(weight, bias, "none", expected_tokens)
        self.out = _dense(layer.attention.output.dense, "none", expected_tokens)
        self.up = _dense(layer.intermediate.dense, "gelu", expected_tokens)
        self.down = _dense(layer.output.dense, "none", expected_tokens)
        self.attention_norm: nn.LayerNorm = layer.attention.output.LayerNorm
        self.output_norm: nn.LayerNorm = layer.output.LayerNorm

    def __call__(self, hidden: Tensor, runs: list[Run]) -> Tensor:
        attended = self._attend(self.project(hidden, None), runs)
        hidden = self.attention_norm(self.out(attended, hidden))
        hidden = self.output_norm(self.down(self.up(hidden, None), hidden))
        return hidden

    def _attend(self, projected: Tensor, runs: list[Run]) -> Tensor:
        """Self-attention inside each row: (total, 3 * hidden) -> (total, hidden)."""
        width = projected.shape[1] // 3
        blocks: list[Tensor] = []
        start = 0
        for run in runs:
            stop = start + run.rows * run.length
            heads = projected[start:stop].view(run.rows, run.length, 3, self.heads, width // self.heads)
            query, key, value = heads.permute(2, 0, 3, 1, 4)
            context = F.scaled_dot_product_attention(query, key, value, attn_mask=run.mask)
            blocks.append(context.transpose(1, 2).reshape(run.rows * run.length, width))
            start = stop
        return blocks[0] if len(blocks) == 1 else torch.cat(blocks)


def _dense(linear: nn.Linear, activation: str, expected_tokens: int) -> Product:
    return _linear(linear.weight.detach(), linear.bias.detach(), activation, expected_tokens)


def _linear(weight: Tensor, bias: Tensor, activation: str, expected_tokens: int) -> Product:
    """A matrix product with bias, activation and residual, fused where oneDNN does it."""
    if _onednn_pays(weight):
        packed = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), expected_tokens)

        def fused(x: Tensor, residual: Tensor | None) -> Tensor:
            if residual is not None:
                result: Tensor = torch.ops.mkldnn._linear_pointwise.binary(x, residual, packed, bias, "add")
            else:
                result = torch.ops.mkldnn._linear_pointwise(x, packed, bias, activation, [], "none")
            return result

        return fused

    def plain(x: Tensor, residual: Tensor | None) -> Tensor:
        product = F.linear(x, weight, bias)
        if activation == "gelu":
            product = F.gelu(product)
        return product if residual is None else product + residual

    return plain


def _onednn_pays(weight: Tensor) -> bool:
    """Whether oneDNN's own weight layout can be used: low precision on a CPU that computes in it."""
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    if weight.dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return weight.dtype == torch.float16 and bool(torch.ops.mkldnn._is_mkldnn_fp16_supported())


def pool(hidden: Tensor, batch: Packed, mode: str) -> Tensor:
    """Rows pooled from packed token vectors, in float32: (rows, hidden). `mode` is "mean" or "cls"."""
    blocks: list[Tensor] = []
    start = 0
    for run in batch.runs:
        stop = start + run.rows * run.length
        vectors = hidden[start:stop].view(run.rows, run.length, -1)
        if mode == "mean" and run.mask is not None:
            vectors = vectors.masked_fill(run.mask.view(run.rows, run.length, 1) != 0, 0)
        blocks.append(vectors[:, 0].float() if mode == "cls" else vectors.sum(1, dtype=torch.float32))
        start = stop
    pooled = torch.cat(blocks)
    return pooled if mode == "cls" else pooled / batch.lengths[:, None]
