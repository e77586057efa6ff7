"""What a kernel's rounding leaves in a whole chunk; eight bits are multiplied here by widening them first."""

import sys
from types import ModuleType, SimpleNamespace
from typing import cast

import pytest
import torch
from torch import Tensor

from pipeline.bench.chunk_error import TOY, errors, main
from pipeline.networks.attention import FA3_MODULE, Kernel, attend
from pipeline.wan.sizes import SIZES

CPU = torch.device("cpu")


def widened(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    SEEN.add(k.dtype)
    return attend(q.bfloat16(), k.bfloat16(), v.bfloat16(), "sdpa")


SEEN = set[torch.dtype]()


def test_a_chunk_rounded_early_ends_near_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attention in eight bits leaves more error than in sixteen, and a small one."""
    monkeypatch.setitem(sys.modules, FA3_MODULE, cast(ModuleType, SimpleNamespace(flash_attn_func=widened)))
    found: dict[str, float] = {}
    kinds: dict[Kernel, set[torch.dtype]] = {}
    kernels: tuple[Kernel, ...] = ("fa3", "fa3_fp8")
    for kernel in kernels:
        SEEN.clear()
        found |= errors(SIZES["tiny"], TOY, 3.0, (kernel,), CPU)
        kinds[kernel] = {*SEEN}
    # The text is attended to in sixteen bits by both.
    assert kinds == {"fa3": {torch.bfloat16}, "fa3_fp8": {torch.float8_e4m3fn, torch.bfloat16}}
    assert 0 < found["fa3"] < found["fa3_fp8"] < 0.02


def test_the_table_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a GPU it is a toy's, and says so."""
    main([])
    assert "a toy" in (told := capsys.readouterr().out)
    assert "| scores spread by | sdpa |" in told
