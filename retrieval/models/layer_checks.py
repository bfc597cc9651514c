"""Transformers of any kind look between their layers whether their work has to end."""

from typing import Any

from torch import nn

from retrieval.deadline import look

_WATCHED = "_corpusmill_looks"


def look_between_layers(model: nn.Module) -> None:
    """Have a model's forward pass raise DeadlineExceeded before a layer. A second call changes nothing.

    Layers are what stands in a list of modules of one kind, whatever the architecture calls it.
    """
    for part in model.modules():
        if not isinstance(part, nn.ModuleList) or len(part) < 2 or len({type(layer) for layer in part}) > 1:
            continue
        for layer in part:
            if not hasattr(layer, _WATCHED):
                setattr(layer, _WATCHED, True)
                layer.register_forward_pre_hook(_look)


def _look(_module: Any, _inputs: Any) -> None:
    look()
