"""Which models have a forward pass over packed rows, and these passes, one for all that use a model."""

from threading import Lock
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from retrieval.models.packed.bert import PackedBert
from retrieval.models.packed.modernbert import PackedModernBert
from retrieval.models.packed.mpnet import PackedMPNet
from retrieval.models.packed.qwen3 import PackedQwen3
from retrieval.models.packed.rows import Packed

# Classes of transformers, by their names.
_PASSES: dict[str, Any] = {
    "BertModel": PackedBert,
    "RobertaModel": PackedBert,
    "XLMRobertaModel": PackedBert,
    "MPNetModel": PackedMPNet,
    "ModernBertModel": PackedModernBert,
    "Qwen3Model": PackedQwen3,
}
_LOCK = Lock()
_OPEN: WeakKeyDictionary[nn.Module, dict[int, "PackedModel"]] = WeakKeyDictionary()  # of models in memory


class PackedModel(Protocol):
    """The forward pass of a transformer over packed rows, in `dtype`."""

    dtype: torch.dtype

    def __call__(self, batch: Packed) -> Tensor:
        """Token vectors of a packed batch: (total, hidden); those of padding mean nothing."""


def open_packed(model: Any, expected_tokens: int) -> PackedModel | None:
    """The forward pass of `model` over packed rows, or None where there is none that gives the same.

    All that use the model share it. expected_tokens: most in a batch.
    """
    import transformers

    name = type(model).__name__
    # A class of this name that a model brought is another one.
    if name not in _PASSES or type(model) is not getattr(transformers, name):
        return None
    if not _PASSES[name].fits(model.config):
        return None
    with _LOCK:
        own = _OPEN.setdefault(model, {})
        if expected_tokens not in own:
            own[expected_tokens] = _PASSES[name](model, expected_tokens)
        return own[expected_tokens]
