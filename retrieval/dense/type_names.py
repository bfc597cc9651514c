"""Which types of dense index there are: those of this package, and those of installed plug-ins, by name."""

from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from retrieval.plugins import plugin_names

GROUP = "corpusmill.dense_types"  # of entry points
_TYPES = "retrieval.dense.types"  # whose modules are a type each, with its object in capitals


@cache
def built_in_names() -> tuple[str, ...]:
    """Types of this package; none is imported."""
    modules = iter_modules(import_module(_TYPES).__path__)
    return tuple(sorted(module.name for module in modules if not module.ispkg))


def type_names() -> list[str]:
    """What a configuration may name: the types of this package, then those of installed plug-ins."""
    return [*built_in_names(), *(name for name in plugin_names(GROUP) if name not in built_in_names())]


def built_in(name: str) -> Any:
    """A type of this package, imported when it is asked for: what searches needs FAISS."""
    return getattr(import_module(f"{_TYPES}.{name}"), name.upper())
