"""All kinds of generators by name: whatever module of this folder declares one."""

from importlib import import_module
from pathlib import Path

from retrieval.generation.kinds.kind import Kind


def _declared() -> dict[str, Kind]:
    """By name, what needs no model first. Raises ValueError where two have one name."""
    found: dict[str, Kind] = {}
    for path in sorted(Path(__file__).parent.glob("[a-z]*.py")):
        if path.stem == "registry":
            continue
        for value in vars(import_module(f"{__package__}.{path.stem}")).values():
            if isinstance(value, Kind):
                if value.name in found:
                    raise ValueError(f"two generators are named {value.name}")
                found[value.name] = value
    return dict(sorted(found.items(), key=lambda entry: (entry[1].open is not None, entry[0])))


KINDS = _declared()
