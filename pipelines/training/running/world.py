"""The workers of a training and what they exchange: rows of representations, and gradients."""

from collections.abc import Iterable, Sequence
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

Item = TypeVar("Item")


class World:
    """This worker among `size`; one alone exchanges nothing. Every worker makes the same calls in turn."""

    def __init__(self, device: str = "cpu") -> None:
        """device: of what is exchanged; NCCL takes none of the CPU."""
        self.device = device
        together = dist.is_available() and dist.is_initialized()
        self.rank = dist.get_rank() if together else 0
        self.size = dist.get_world_size() if together else 1

    def share(self, items: Sequence[Item]) -> slice:
        """Which items of a batch are this worker's: neighbours, as many as the others', or one more."""
        count = len(items)
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def gather(self, own: Tensor) -> tuple[Tensor, slice]:
        """Rows (n, ...) of all workers, which may have different numbers, and where this worker's stand.

        No gradient passes; see `methods.contrastive`.
        """
        own = own.detach()
        if self.size == 1:
            return own.clone(), slice(0, len(own))
        counts = [torch.zeros(1, dtype=torch.int64, device=own.device) for _ in range(self.size)]
        dist.all_gather(counts, torch.tensor([len(own)], device=own.device))
        sizes = [int(count) for count in counts]
        padded = own.new_zeros((max(sizes), *own.shape[1:]))
        padded[: len(own)] = own
        parts = [torch.empty_like(padded) for _ in range(self.size)]
        dist.all_gather(parts, padded)
        start = sum(sizes[: self.rank])
        whole = torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])
        return whole, slice(start, start + sizes[self.rank])

    def most(self, number: int) -> int:
        """The largest of the workers' numbers."""
        if self.size == 1:
            return number
        value = torch.tensor([number], device=self.device)
        dist.all_reduce(value, op=dist.ReduceOp.MAX)
        return int(value)

    def add_up(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Give every parameter the sum of the workers' gradients."""
        if self.size == 1:
            return
        for parameter in parameters:
            if parameter.requires_grad:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
                dist.all_reduce(parameter.grad)

    def mean(self, value: float, weight: float) -> float:
        """Mean of the workers' values by their weights; 0 where nobody has any."""
        if self.size == 1:
            return value
        pair = torch.tensor([value * weight, weight], dtype=torch.float64, device=self.device)
        dist.all_reduce(pair)
        return float(pair[0] / pair[1]) if pair[1] else 0.0
