"""All kinds of generators by name, what needs no model first: whatever module of this folder declares one."""

from retrieval.generation.kinds.kind import Kind
from retrieval.plugins import declared

_DECLARED = declared("retrieval.generation.kinds", Kind)
KINDS = dict(sorted(_DECLARED.items(), key=lambda entry: (entry[1].open is not None, entry[0])))
