"""What a build can be extended by: a module of ours each, or a plug-in that the configuration enables."""

import difflib
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from pydantic_core import PydanticCustomError

from retrieval.errors import ConfigError
from retrieval.plugins.entry_points import load_plugin, plugin_names


@dataclass(frozen=True)
class Registry:
    """Things of one kind, by name.

    Ours are the modules of the package `room`: a module's name is the thing's, and its object `attribute`
    is the thing. Others are entry points of `group`. `setting` names one in a configuration.
    """

    kind: str  # for messages
    setting: str
    room: str
    attribute: str
    group: str

    def built_in(self) -> list[str]:
        """Names of ours; none is imported."""
        return list(_modules(self.room))

    def names(self, plugins: Collection[str]) -> list[str]:
        """Names of ours, then of the enabled plug-ins of this kind; none is imported.

        Raises ConfigError where a plug-in has a name of ours.
        """
        ours = self.built_in()
        offered = plugin_names(self.group) if plugins else []
        enabled = [name for name in dict.fromkeys(plugins) if name in offered]
        if taken := sorted({*enabled} & {*ours}):
            raise ConfigError(
                f"plugins: {', '.join(taken)} is the name of a {self.kind} of this package",
                hint="Leave it out, or ask those who made the plug-in to call it something else.",
            )
        return [*ours, *enabled]

    def get(
        self, name: str, plugins: Collection[str], base: type, *, what: str = "", enable: str = ""
    ) -> Any:
        """The thing of this name, which is a `base`. A plug-in is imported only where `plugins` names it.

        `what` asks for it, by default the configuration, and `enable` is how to enable it, for messages.
        Raises ConfigError where it is not known, not enabled, or cannot be used.
        """
        enable = enable or f"write `plugins: [{name}]` in the build's configuration"
        return _loaded(self, name, tuple(plugins), base, what or self.setting, enable)

    def check(self, name: str, plugins: Collection[str], also: Collection[str] = ()) -> str:
        """The name, if it is known or one of `also`; for validators of settings, it raises their error."""
        known = [*also, *self.names(plugins)]
        if name in known:
            return name
        if name in plugin_names(self.group):
            text = f"an installed plug-in offers it, which is not enabled: write `plugins: [{name}]`, "
            text += "if you trust it to run as you"
        else:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
            text = f"there is no such {self.kind}; the nearest one is {near[0]}, of {', '.join(known)}"
        raise PydanticCustomError("unknown_name", "{text}", {"text": text})

    def schema(self, told: dict[str, str], also: dict[str, str]) -> dict[str, Any]:
        """JSON Schema of a setting that names one: ours and `also` with a line on each, or a plug-in's."""
        return {
            "anyOf": [{"enum": [*also, *told]}, {"type": "string", "pattern": "^[a-z][a-z0-9_]*$"}],
            "description": " ".join(f"{name}: {line}." for name, line in (also | told).items())
            + " Or the name of an enabled plug-in.",
        }


@cache  # it is asked for each file of a corpus, and each look for a plug-in reads what all packages offer
def _loaded(
    registry: Registry, name: str, plugins: tuple[str, ...], base: type, what: str, enable: str
) -> Any:
    if name in _modules(registry.room):
        found = getattr(import_module(f"{registry.room}.{name}"), registry.attribute)
    else:
        found = load_plugin(registry.group, name, plugins, f"{what} {name!r}", enable)
    if not isinstance(found, base) or getattr(found, "name", None) != name:
        raise ConfigError(
            f"the plug-in {name} of the group {registry.group} is not a {registry.kind} of this name",
            hint=f"Its entry point names an object of a subclass of {base.__module__}.{base.__name__}.",
        )
    return found


@cache
def _modules(room: str) -> tuple[str, ...]:
    modules = iter_modules(import_module(room).__path__)
    return tuple(sorted(module.name for module in modules if not module.ispkg))
