"""Recursive: passages are filled, and cut at the highest boundary near their end."""

from pipelines.chunking.method import ChunkMethod


class Recursive(ChunkMethod):
    name = "recursive"
    code = 2
    summary = "at paragraphs, lines, sentences, words"


METHOD = Recursive()
