"""Plug-ins: entry points of installed packages, loaded only where the caller has enabled them by name."""

from collections.abc import Collection
from importlib.metadata import EntryPoint, distributions, entry_points
from typing import Any

from retrieval.errors import ConfigError

PREFIX = "corpusmill."  # of the groups of entry points
ENABLE = (
    "enable it for this call: --plugin {name}, Searcher.open(..., plugins=[{name!r}]), or "
    "`plugins: [{name}]` in the settings of the service. That the index asks for it counts for nothing"
)


def plugin_names(group: str) -> list[str]:
    """Names that installed packages offer in a group of entry points; none of them is imported."""
    return sorted({point.name for point in entry_points(group=group)})


def all_plugin_names() -> list[str]:
    """Names that installed packages offer in any of our groups; none of them is imported."""
    points = [point for package in distributions() for point in package.entry_points]
    return sorted({point.name for point in points if point.group.startswith(PREFIX)})


def load_plugin(group: str, name: str, enabled: Collection[str], what: str, enable: str) -> Any:
    """The object of an enabled plug-in. `what` needs it, and `enable` is how to enable it, for messages.

    Raises ConfigError where it is not enabled, not installed, offered twice, or cannot be imported.
    """
    points = list(entry_points(group=group, name=name))
    if not points:
        raise ConfigError(
            f"{what} is of a plug-in {name!r} that is not installed",
            hint=f"Install the package that has an entry point of this name in the group {group}.",
        )
    if len({point.value for point in points}) > 1:
        raise ConfigError(
            f"{what} is of a plug-in {name!r}, which several packages offer: "
            + ", ".join(sorted(map(_described, points))),
            hint="Uninstall all but one of them.",
        )
    if name not in enabled:
        raise ConfigError(
            f"{what} is of a plug-in that is not enabled: {name} would load {_described(points[0])}",
            hint=f"It would run as you. If you trust it, {enable}.",
        )
    try:
        return points[0].load()
    except Exception as error:  # whatever a foreign module raises
        raise ConfigError(
            f"the plug-in {name}, {_described(points[0])}, cannot be loaded: {type(error).__name__}: {error}",
            hint="Install it again, or ask those who made it.",
        ) from error


def _described(point: EntryPoint) -> str:
    package = f" of {point.dist.name} {point.dist.version}" if point.dist else ""
    return f"{point.value}{package}"
