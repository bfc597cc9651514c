"""Length-sorted batches under a token budget, fixed by the lengths alone, and split when memory ends."""

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import torch

from retrieval.deadline import look
from retrieval.errors import ModelError

Rows = npt.NDArray[np.int64]


def length_sorted_batches(lengths: npt.NDArray[np.int64], batch_tokens: int) -> Iterator[Rows]:
    """Row numbers of each batch, longest rows first, ties in input order.

    A batch's rows times its longest row, which is what padding makes of it, is at most
    `batch_tokens`, or it is a single row. The batches depend on `lengths` and `batch_tokens` alone,
    because in low precision a vector depends on who else is in its batch.
    """
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        rows = max(1, batch_tokens // max(1, int(lengths[order[start]])))
        yield order[start : start + rows]
        start += rows


def run_splitting(run: Callable[[Rows], npt.NDArray[np.float32]], rows: Rows) -> npt.NDArray[np.float32]:
    """`run(rows)`, in halves, and halves of these, where memory does not suffice: (len(rows), d) float32.

    Raises ModelError where a single row does not fit, DeadlineExceeded, and whatever else `run` raises.
    """
    look()
    try:
        return run(rows)
    except (RuntimeError, MemoryError) as error:
        if not _is_out_of_memory(error):
            raise
        reason = str(error).splitlines()[0] if str(error) else "out of memory"
    if len(rows) == 1:
        raise ModelError(
            f"a single passage does not fit into memory: {reason}",
            hint="Lower `model.max_tokens`, choose a smaller model, or free memory on this machine.",
        )
    torch.cuda.empty_cache()  # does nothing where no GPU is in use
    half = len(rows) // 2
    return np.concatenate([run_splitting(run, part) for part in (rows[:half], rows[half:])])


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    # The CPU allocator and oneDNN raise a plain RuntimeError.
    text = str(error).lower()
    signs = ("can't allocate memory", "not enough memory", "out of memory", "bad_alloc")
    return any(sign in text for sign in signs)
