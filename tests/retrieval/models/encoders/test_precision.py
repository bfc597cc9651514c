"""The precision that an encoder runs in where none is configured."""

import pytest
import torch

from retrieval.models.encoders import choose_dtype
from retrieval.settings import ModelSettings


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({"amx_bf16", "avx512_bf16", "avx512_fp16"}, torch.bfloat16),  # Sapphire Rapids
        ({"avx512_bf16", "avx512_fp16"}, torch.float32),  # the same, its AMX hidden by the hypervisor
        ({"avx512_bf16"}, torch.bfloat16),  # Zen 4, Cooper Lake
        (set(), torch.float32),
    ],
)
def test_a_cpu_takes_bfloat16_where_it_is_faster(
    flags: set[str], expected: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("amx_bf16", "avx512_bf16", "avx512_fp16")
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {name: name in flags for name in names})
    assert choose_dtype(ModelSettings(), "cpu") == expected


def test_a_configured_precision_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True})
    assert choose_dtype(ModelSettings(dtype="float32"), "cpu") == torch.float32
