"""Memory that a reader and its process both see: long answers are written there once, not sent."""

import mmap
import os

SLOT_BYTES = 20 << 20  # a batch of a table is shorter; a longer text is sent
_SLOTS = 2  # one is read while the next answer is written


class SharedMemory:
    """Slots that the process fills in turn. An answer stays as it is until the one after the next."""

    def __init__(self, file: int) -> None:
        """file: a descriptor of the memory, which the caller closes."""
        self._bytes = memoryview(mmap.mmap(file, _SLOTS * SLOT_BYTES))
        self._next = 0

    @staticmethod
    def create() -> int:
        """A descriptor of new memory, which takes room as it is filled. Raises OSError."""
        file = os.memfd_create("corpusmill")
        os.ftruncate(file, _SLOTS * SLOT_BYTES)
        return file

    def write(self, data: bytes | memoryview) -> int:
        """Copy at most SLOT_BYTES into the next slot; its number."""
        slot, self._next = self._next, (self._next + 1) % _SLOTS
        start = slot * SLOT_BYTES
        self._bytes[start : start + len(data)] = memoryview(data).cast("B")
        return slot

    def read(self, slot: int, count: int) -> memoryview:
        """The first `count` bytes of a slot. Raises ValueError where there are none."""
        if not (0 <= slot < _SLOTS and 0 <= count <= SLOT_BYTES):
            raise ValueError(f"slot {slot} with {count} bytes")
        start = slot * SLOT_BYTES
        return self._bytes[start : start + count].toreadonly()
