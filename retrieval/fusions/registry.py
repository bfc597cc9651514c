"""All fusions by name: whatever module of this folder declares one."""

from importlib import import_module
from pathlib import Path

from retrieval.fusions.fusion import Fusion


def _declared() -> dict[str, Fusion]:
    """By name, in the order of the modules. Raises ValueError where two have one name."""
    found: dict[str, Fusion] = {}
    for path in sorted(Path(__file__).parent.glob("[a-z]*.py")):
        if path.stem == "registry":
            continue
        for value in vars(import_module(f"{__package__}.{path.stem}")).values():
            if isinstance(value, Fusion):
                if value.name in found:
                    raise ValueError(f"two fusions are named {value.name}")
                found[value.name] = value
    return found


FUSIONS = _declared()
