"""No generator: the answer consists of sentences of the passages."""

from retrieval.generation.kinds.kind import Kind

NONE = Kind("none", "the best sentences of the passages are the answer", open=None)
