"""Fixed: every so many tokens."""

from pipelines.chunking.method import ChunkMethod


class Fixed(ChunkMethod):
    name = "fixed"
    code = 2
    summary = "every `size` tokens"
    units = ("tokens",)
    cuts_at_boundaries = False

    def boundary(self, text: str, lo: int, hi: int) -> int:
        return -1


METHOD = Fixed()
