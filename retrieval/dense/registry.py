"""The types of dense index: those of this package, and plug-ins that the caller has enabled.

A plug-in is an entry point of the group `corpusmill.dense_types`, named as the type, whose object is a
`DenseType`.
"""

from collections.abc import Collection
from typing import Any

from pydantic import ValidationError

from retrieval.dense.index_type import DenseType
from retrieval.dense.settings import TYPES
from retrieval.errors import IndexDamaged
from retrieval.format import DAMAGE_HINT, DenseSpec
from retrieval.plugins import ENABLE
from retrieval.storage import first_error


def dense_type(name: str, plugins: Collection[str] = ()) -> DenseType:
    """The type of this name, of a configuration; a plug-in's only where `plugins` names it.

    Raises ConfigError where it is not enabled or not installed, or is no type of index.
    """
    found: DenseType = TYPES.get(name, plugins, DenseType)
    return found


def read_spec(values: dict[str, Any], plugins: Collection[str] = ()) -> tuple[DenseType, DenseSpec]:
    """The type and the spec of a manifest's `dense`.

    Raises ConfigError where the type is not enabled, IndexDamaged where the spec is not one of it.
    """
    what, enable = "the index's dense type", ENABLE.format(name=values["type"])
    kind: DenseType = TYPES.get(values["type"], plugins, DenseType, what=what, enable=enable)
    try:
        return kind, kind.spec.model_validate(values)
    except ValidationError as error:
        raise IndexDamaged(
            f"the manifest has no spec of type {kind.name}: {first_error(error)}", hint=DAMAGE_HINT
        ) from error
