"""The step of all methods that compare with the whole batch: over all workers, in bounded memory.

Representations are gathered from the workers, every worker computes the loss of the whole batch on them, and
takes the gradients of its own rows back into its model: so N workers give the gradients of one. Where a
batch's activations do not fit, they are computed twice (GradCache, Gao et al. 2021).
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from pipelines.training.running import World

Encode = Callable[[int, int], tuple[Tensor, ...]]  # of rows first to last: representations with gradients


def backward_over_all(
    parts: Sequence[tuple[int, Encode]], chunk: int | None, loss: Callable[..., Tensor], world: World
) -> float:
    """Add the gradients of this worker's rows; the loss of the whole batch.

    parts: for queries, passages, and what else there is, the number of this worker's rows and what encodes
    some of them. chunk: rows whose activations are held at once, None for all. loss: of all representations
    of all workers, part after part.
    """
    encoded: list[list[tuple[Tensor, ...]]] = []
    whole: list[Tensor] = []
    places: list[slice] = []
    for count, encode in parts:
        at_once = chunk is None or count <= chunk
        with torch.set_grad_enabled(at_once):
            blocks = [encode(first, last) for first, last in _blocks(count, None if at_once else chunk)]
        encoded.append(blocks)
        for representation in _joined(blocks):
            gathered, place = world.gather(representation)
            whole.append(gathered.requires_grad_(gathered.is_floating_point()))
            places.append(place)
    value = loss(*whole)
    value.backward()
    number = 0
    for (count, encode), blocks in zip(parts, encoded, strict=True):
        width = len(blocks[0])
        slices = zip(whole[number : number + width], places[number : number + width], strict=True)
        own = [None if one.grad is None else one.grad[place] for one, place in slices]
        number += width
        for index, (first, last) in enumerate(_blocks(count, None if len(blocks) == 1 else chunk)):
            again = blocks[0] if len(blocks) == 1 and blocks[0][0].requires_grad else encode(first, last)
            pairs = [
                (now, gradient[first:last])
                for now, gradient in zip(again, own, strict=True)
                if gradient is not None and now.requires_grad
            ]
            if pairs:
                torch.autograd.backward([now for now, _ in pairs], [gradient for _, gradient in pairs])
            del again, index
    return float(value.detach())


def _blocks(count: int, size: int | None) -> list[tuple[int, int]]:
    step = max(1, count if size is None else size)
    return [(first, min(first + step, count)) for first in range(0, max(count, 1), step)]


def _joined(blocks: list[tuple[Tensor, ...]]) -> list[Tensor]:
    return [torch.cat(same) for same in zip(*blocks, strict=True)]
