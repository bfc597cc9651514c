"""All fusions by name: whatever module of this folder declares one."""

from retrieval.fusions.fusion import Fusion
from retrieval.plugins import declared

FUSIONS = declared("retrieval.fusions", Fusion)
