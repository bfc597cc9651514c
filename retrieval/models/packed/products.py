"""Matrix products with what is fused to them: bias, GELU, the residual sum."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# (x, residual or None) -> linear(x) with what is fused to it
Product = Callable[[Tensor, Tensor | None], Tensor]


def product(
    linears: nn.Linear | Sequence[nn.Linear], expected_tokens: int, activation: str = "none"
) -> Product:
    """The product of a layer, or of several with one input as one: outputs beside each other.

    activation: "none" or "gelu". expected_tokens: rows that oneDNN's layout is chosen for. The layers' own
    weights become views of the common one, so that it takes no memory of its own.
    """
    layers = [linears] if isinstance(linears, nn.Linear) else list(linears)
    weights = [layer.weight.detach() for layer in layers]
    biases = [layer.bias.detach() for layer in layers if layer.bias is not None]
    weight = weights[0] if len(weights) == 1 else torch.cat(weights)
    if len(layers) > 1:
        for layer, part in zip(layers, weight.split([len(one) for one in weights]), strict=True):
            layer.weight.data = part
    return _fused(weight, torch.cat(biases) if biases else None, activation, expected_tokens)


def _fused(weight: Tensor, bias: Tensor | None, activation: str, expected_tokens: int) -> Product:
    if _onednn_pays(weight):
        packed = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), expected_tokens)

        def fused(x: Tensor, residual: Tensor | None) -> Tensor:
            if residual is not None:
                result: Tensor = torch.ops.mkldnn._linear_pointwise.binary(x, residual, packed, bias, "add")
            else:
                result = torch.ops.mkldnn._linear_pointwise(x, packed, bias, activation, [], "none")
            return result

        return fused

    def plain(x: Tensor, residual: Tensor | None) -> Tensor:
        found = F.linear(x, weight, bias)
        if activation == "gelu":
            found = F.gelu(found)
        return found if residual is None else found + residual

    return plain


def _onednn_pays(weight: Tensor) -> bool:
    """Whether oneDNN's own weight layout can be used: a CPU, and a precision that it computes in."""
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    if weight.dtype == torch.float32:
        return True
    if weight.dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return weight.dtype == torch.float16 and bool(torch.ops.mkldnn._is_mkldnn_fp16_supported())
