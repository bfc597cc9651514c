"""Things that modules of a package declare, found by looking into its folder: a new one is a new file."""

from importlib import import_module
from pkgutil import iter_modules
from typing import Protocol, TypeVar


class Named(Protocol):
    """What has a name of its own."""

    @property
    def name(self) -> str: ...


T = TypeVar("T", bound=Named)


def declared(package: str, kind: type[T], *, but: str = "registry") -> dict[str, T]:
    """Objects of `kind` in the modules of a package: by name, in the modules' order.

    but: the module that asks, which is not looked into. Raises ValueError where two have one name.
    """
    found: dict[str, T] = {}
    for module in sorted(module.name for module in iter_modules(import_module(package).__path__)):
        if module == but:
            continue
        for value in vars(import_module(f"{package}.{module}")).values():
            if isinstance(value, kind):
                if value.name in found:
                    raise ValueError(f"two of {package} are named {value.name}")
                found[value.name] = value
    return found
