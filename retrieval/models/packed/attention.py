"""Attention inside the rows of a packed batch, and rotary positions (Su et al. 2021)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from retrieval.models.packed.rows import Run, by_rows


def attend(
    query: Tensor, key: Tensor, value: Tensor, runs: Sequence[Run], masks: Sequence[Tensor | None], *,
    causal: bool = False,
) -> Tensor:  # fmt: skip
    """Softmax attention inside each row: query (total, heads, d) -> (total, heads * d).

    key, value: (total, heads, d), or fewer heads, each for several of the query's. masks: of every run, to be
    added to its scores, (rows or 1, heads or 1, length or 1, length).
    """
    heads, width = query.shape[1:]
    grouped = key.shape[1] != heads
    blocks: list[Tensor] = []
    start = 0
    for run, mask in zip(runs, masks, strict=True):
        stop = start + run.rows * run.length
        q, k, v = (
            part[start:stop].unflatten(0, (run.rows, run.length)).transpose(1, 2)
            for part in (query, key, value)
        )
        context = F.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, is_causal=causal, enable_gqa=grouped
        )
        blocks.append(context.transpose(1, 2).reshape(stop - start, heads * width))
        start = stop
    return blocks[0] if len(blocks) == 1 else torch.cat(blocks)


def angles(rotary: object, hidden: Tensor, positions: Tensor, *layer_type: str) -> tuple[Tensor, Tensor]:
    """Cosines and sines of a model's rotary positions, (total, 1, d), for `rotate`.

    rotary: the model's own module, which knows frequencies and scaling.
    """
    cosine, sine = rotary(hidden, positions[None], *layer_type)  # type: ignore[operator]
    half = sine.shape[-1] // 2
    signed = torch.cat((-sine[..., :half], sine[..., half:]), dim=-1)
    return cosine[0][:, None], signed[0][:, None]


def rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """x: (total, heads, d), turned by the angles of `angles`."""
    return by_rows(_rotate, x, cosine, sine)


def _rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    half = x.shape[-1] // 2
    swapped = torch.cat((x[..., half:], x[..., :half]), dim=-1)
    return torch.addcmul(x * cosine, swapped, sine)
