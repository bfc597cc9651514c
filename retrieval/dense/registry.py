"""The types of dense index: those of this package, and plug-ins that the caller has enabled.

A plug-in is an entry point of the group `corpusmill.dense_types`, named as the type, whose object is a
`DenseType`.
"""

from collections.abc import Collection
from typing import Any

from pydantic import ValidationError

from retrieval.dense.index_type import DenseType
from retrieval.dense.type_names import GROUP, built_in, built_in_names
from retrieval.errors import ConfigError, IndexDamaged
from retrieval.format import DAMAGE_HINT, DenseSpec
from retrieval.plugins import ENABLE, load_plugin
from retrieval.storage import first_error


def dense_type(name: str, plugins: Collection[str] = (), *, what: str = "dense.type") -> DenseType:
    """The type of this name; one that is not of this package only where `plugins` names it.

    Raises ConfigError where it is not enabled or not installed, or is no type of index. `what`: names it.
    """
    known = name in built_in_names()
    if known:
        found = built_in(name)
    else:
        found = load_plugin(GROUP, name, plugins, f"{what} {name!r}", ENABLE.format(name=name))
    if not isinstance(found, DenseType) or found.name != name:
        raise ConfigError(
            f"the plug-in {name} of the group {GROUP} is not a dense type of this name",
            hint="Its entry point names an object of a subclass of retrieval.dense.DenseType.",
        )
    return found


def read_spec(values: dict[str, Any], plugins: Collection[str] = ()) -> tuple[DenseType, DenseSpec]:
    """The type and the spec of a manifest's `dense`.

    Raises ConfigError where the type is not enabled, IndexDamaged where the spec is not one of it.
    """
    kind = dense_type(values["type"], plugins, what="the index's dense type")
    try:
        return kind, kind.spec.model_validate(values)
    except ValidationError as error:
        raise IndexDamaged(
            f"the manifest has no spec of type {kind.name}: {first_error(error)}", hint=DAMAGE_HINT
        ) from error
