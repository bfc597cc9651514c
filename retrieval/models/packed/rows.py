"""A batch of rows as one row of tokens, what is pooled of it, and how work on its tokens is cut."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

# Rows are padded to a multiple of this many tokens: torch's attention on a CPU computes the remainder
# of a vector register element by element, which at 135 tokens takes 1.5 times as long as 144 whole ones.
_ALIGN = 16

_BLOCK = 131_072  # elements whose temporaries stay in the caches of a CPU; buffers for all are mapped anew

POOLINGS = ("mean", "cls", "lasttoken")


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


def pack_rows(
    ids: npt.NDArray[np.int32], offsets: npt.NDArray[np.int64], rows: npt.NDArray[np.int64],
    device: str, dtype: torch.dtype,
) -> Packed:  # fmt: skip
    """The packed batch of `rows`, which are sorted by length, with masks for attention in `dtype`.

    ids: (total,), of which row i has those from offsets[i] to offsets[i + 1].
    """
    lengths = (offsets[1:] - offsets[:-1])[rows]
    padded = -(-lengths // _ALIGN) * _ALIGN
    ends = np.cumsum(padded)
    packed = np.zeros(int(ends[-1]), np.int64)
    for row, length, end, width in zip(rows, lengths, ends, padded, strict=True):
        start = offsets[row]
        packed[end - width : end - width + length] = ids[start : start + length]
    positions = np.arange(len(packed)) - np.repeat(ends - padded, padded)
    runs: list[Run] = []
    first = 0
    for width, same in groupby(padded.tolist()):
        count = len(list(same))
        real = torch.from_numpy(np.arange(width) < lengths[first : first + count, None])
        mask = torch.zeros(real.shape, dtype=dtype).masked_fill(~real, float("-inf"))[:, None, None]
        runs.append(Run(count, width, None if bool(real.all()) else mask.to(device)))
        first += count
    return Packed(
        torch.from_numpy(packed).to(device),
        torch.from_numpy(positions).to(device),
        runs,
        torch.from_numpy(lengths).to(device),
    )


def pool(hidden: Tensor, batch: Packed, mode: str) -> Tensor:
    """Rows pooled from packed token vectors, in float32: (rows, hidden). `mode` is one of `POOLINGS`."""
    blocks: list[Tensor] = []
    start = row = 0
    for run in batch.runs:
        stop = start + run.rows * run.length
        vectors = hidden[start:stop].view(run.rows, run.length, -1)
        if mode == "cls":
            blocks.append(vectors[:, 0].float())
        elif mode == "lasttoken":
            last = batch.lengths[row : row + run.rows] - 1
            blocks.append(vectors[torch.arange(run.rows, device=last.device), last].float())
        else:
            if run.mask is not None:
                vectors = vectors.masked_fill(run.mask.view(run.rows, run.length, 1) != 0, 0)
            blocks.append(vectors.sum(1, dtype=torch.float32))
        start, row = stop, row + run.rows
    pooled = torch.cat(blocks)
    return pooled / batch.lengths[:, None] if mode == "mean" else pooled


def by_rows(function: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    """A function of each token's row of all inputs; on a CPU in blocks of them, many times as fast."""
    if inputs[0].device.type != "cpu":
        return function(*inputs)
    rows = max(1, _BLOCK // max(1, inputs[0][0].numel()))
    parts = zip(*(tensor.split(rows) for tensor in inputs), strict=True)
    return torch.cat([function(*part) for part in parts])
