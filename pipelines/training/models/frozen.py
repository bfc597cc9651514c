"""Lower layers that stay as they are: no gradients, and their states are computed once for each text."""

from typing import Any

import torch
from torch import Tensor, nn

from retrieval.errors import ConfigError

# Of transformers: absolute positions, and layers that take states and a mask alone.
_PLAIN = {"BertModel", "RobertaModel", "XLMRobertaModel"}


def layers_of(model: nn.Module) -> nn.ModuleList:
    """The layers of a transformer, lowest first. Raises ConfigError where they are not found."""
    config: Any = model.config
    count = getattr(config, "num_hidden_layers", None)
    for module in model.modules():
        if isinstance(module, nn.ModuleList) and len(module) == count:
            return module
    raise ConfigError(f"no layers are found in a {type(model).__name__}", hint="Choose another model.")


def freeze(model: nn.Module, wanted: int | None) -> int:
    """Take gradients from the embeddings and the lowest layers; how many layers that are.

    wanted: None for half of them; 0 trains everything, embeddings too. Raises ConfigError for more than
    there are.
    """
    layers = layers_of(model)
    count = len(layers) // 2 if wanted is None else wanted
    if count > len(layers):
        raise ConfigError(
            f"training.frozen_layers is {count}, and the model has {len(layers)} layers",
            hint=f"Set it to {len(layers) - 1} or less.",
        )
    pooler = getattr(model, "pooler", None)
    if isinstance(pooler, nn.Module):
        pooler.requires_grad_(False)  # nothing of it is used
    if count:
        above = {id(parameter) for layer in layers[count:] for parameter in layer.parameters()}
        below = {id(parameter) for layer in layers[:count] for parameter in layer.parameters()}
        for name, parameter in model.named_parameters():
            if id(parameter) in below or (id(parameter) not in above and "embed" in name.lower()):
                parameter.requires_grad_(False)
    return count


class FrozenStates:
    """Hidden states of a transformer, of which the lowest `frozen` layers are remembered by text.

    At most `cache_bytes` are kept, in float16; what comes later is computed each time.
    """

    def __init__(self, model: Any, frozen: int, cache_bytes: int) -> None:
        self._model, self._frozen = model, frozen
        self._room = cache_bytes
        self._known: dict[bytes, Tensor] = {}
        self._cached = frozen > 0 and cache_bytes > 0 and type(model).__name__ in _PLAIN

    def __call__(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Last hidden states (n, t, h) of ids and mask (n, t) int64, padded on the right."""
        if not self._cached:
            found: Tensor = self._model(input_ids=ids, attention_mask=mask).last_hidden_state
            return found
        bias = torch.zeros(mask.shape, device=mask.device).masked_fill(
            mask == 0, torch.finfo(torch.float32).min
        )
        bias = bias[:, None, None, :]
        hidden = self._lower(ids, mask, bias)
        for layer in self._model.encoder.layer[self._frozen :]:
            hidden = layer(hidden, bias.to(hidden.dtype))
        return hidden

    @torch.no_grad()
    def _lower(self, ids: Tensor, mask: Tensor, bias: Tensor) -> Tensor:
        lengths = mask.sum(1).tolist()
        keys = [row[:length].cpu().numpy().tobytes() for row, length in zip(ids, lengths, strict=True)]
        width = self._model.config.hidden_size
        hidden = torch.zeros((*ids.shape, width), device=ids.device)
        new = [place for place, key in enumerate(keys) if key not in self._known]
        if new:
            fresh = self._model.embeddings(input_ids=ids[new])
            for layer in self._model.encoder.layer[: self._frozen]:
                fresh = layer(fresh, bias[new].to(fresh.dtype))
            for place, states in zip(new, fresh, strict=True):
                hidden[place] = states.float()
                self._keep(keys[place], states[: lengths[place]])
        for place in set(range(len(keys))) - set(new):
            hidden[place, : lengths[place]] = self._known[keys[place]].float()
        return hidden

    def _keep(self, key: bytes, states: Tensor) -> None:
        size = 2 * states.numel() + len(key)
        if size <= self._room:
            self._room -= size
            self._known[key] = states.half()
