"""All re-rankers by name: whatever module of this folder declares one."""

from importlib import import_module
from pathlib import Path

from retrieval.rerankers.reranker import Reranker


def _declared() -> dict[str, Reranker]:
    """By name, the cheapest first. Raises ValueError where two have one name."""
    found: dict[str, Reranker] = {}
    for path in sorted(Path(__file__).parent.glob("[a-z]*.py")):
        if path.stem == "registry":
            continue
        for value in vars(import_module(f"{__package__}.{path.stem}")).values():
            if isinstance(value, Reranker):
                if value.name in found:
                    raise ValueError(f"two re-rankers are named {value.name}")
                found[value.name] = value
    return dict(sorted(found.items(), key=lambda entry: (entry[1].cost, entry[0])))


RERANKERS = _declared()
