import sys
from collections import Counter
from types import SimpleNamespace

import pytest
import torch

from pipeline.bench import ceilings
from pipeline.bench.ceilings import (
    Rate,
    attention_ways,
    batch_ms,
    fp8_products,
    measure,
    median_seconds,
    products,
    shares,
)
from pipeline.bench.work import Attention, Product, Sight, large, one_pass
from pipeline.networks.attention import FA3_MODULE, attend
from tests.wan_parts import CONFIG

CPU = torch.device("cpu")
SQUARE, LINEAR, WINDOW, TINY = Product(64, 64, 64), Product(32, 48, 64), Attention(16, 32, 2, 16), Product(2, 2, 2)


def test_every_large_operation_is_measured_at_its_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    """A square first, then what a pass is made of; a CPU multiplies one number format."""
    monkeypatch.setattr(ceilings, "SQUARE_CPU", 64)
    monkeypatch.setattr(ceilings, "BATCH_MS", 0.1)
    work = one_pass(CONFIG, Sight(2, 6, 8, 6))
    rates = measure(work, CPU, torch.float32)
    assert [rate.operation for rate in rates] == [SQUARE, *large(work)]
    assert {rate.how for rate in rates} == {"float32", "sdpa"}
    assert all(rate.tflops > 0 for rate in rates)


def test_a_gpus_ways_are_tried_and_what_it_lacks_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight bits, FlashAttention-3 and PyTorch's own kernels each get a rate; a kernel that refuses gets none."""

    def drawn_here(device: torch.device, dtype: torch.dtype, *size: int) -> torch.Tensor:
        return torch.randn(size, dtype=dtype)

    def wide(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return attend(q.float(), k.float(), v.float(), "sdpa")

    monkeypatch.setattr(ceilings, "drawn", drawn_here)
    monkeypatch.setattr(ceilings, "batch_ms", lambda calls, count, device: [call() for call in calls] and 1.0)
    monkeypatch.setattr(ceilings, "available_kernels", lambda: ("fa3", "sdpa", "fa3_fp8"))
    monkeypatch.setattr(ceilings, "SQUARE", 64)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setitem(sys.modules, FA3_MODULE, SimpleNamespace(flash_attn_func=wide))
    rates = measure(Counter({LINEAR: 1, WINDOW: 1}), torch.device("cuda"), torch.bfloat16)
    by_operation = {one: [rate.how for rate in rates if rate.operation == one] for one in (SQUARE, LINEAR, WINDOW)}
    assert by_operation[SQUARE] == by_operation[LINEAR] == ["bfloat16", "fp8"]
    # A CPU has none of cuDNN's attention.
    assert by_operation[WINDOW] == ["sdpa", "flash", "fa3", "fa3_fp8"]


def test_a_share_holds_each_operation_against_its_own_fastest_way() -> None:
    """Eight bits count for the second share alone; what was not measured counts at the square's rate."""
    work = Counter({LINEAR: 10, WINDOW: 5, TINY: 1})
    tflops = {"bfloat16": (2.0, 1.0), "fp8": (4.0, 2.0)}
    rates = [Rate(one, how, pair[i]) for i, one in enumerate((SQUARE, LINEAR)) for how, pair in tflops.items()]
    rates += [Rate(WINDOW, how, value) for how, value in (("fa3", 1.0), ("fa3_fp8", 4.0), ("sdpa", 0.5))]
    linear, window, tiny = LINEAR.flops * 10, WINDOW.flops * 5, TINY.flops
    told = shares(work, 1e-6, rates)
    assert list(told) == ["bfloat16", "fp8"]
    assert told["bfloat16"] == pytest.approx((linear / 1 + window / 1 + tiny / 2) / 1e12 / 1e-6)
    assert told["fp8"] == pytest.approx((linear / 2 + window / 4 + tiny / 4) / 1e12 / 1e-6)


def test_the_product_in_eight_bits_is_the_product() -> None:
    """Scales go with the rows of both sides."""
    torch.manual_seed(0)
    told = fp8_products(LINEAR, CPU)[0]()
    torch.manual_seed(0)
    expected = products(LINEAR, CPU, torch.bfloat16)[0]()
    assert isinstance(told, torch.Tensor)
    assert isinstance(expected, torch.Tensor)
    assert told.shape == (LINEAR.m, LINEAR.n)
    assert (told - expected).float().norm() / expected.float().norm() < 0.06


def test_attention_is_called_with_its_lengths() -> None:
    """Queries and keys have lengths of their own."""
    calls = attention_ways(WINDOW, CPU, torch.float32)["sdpa"]()
    made = calls[0]()
    assert isinstance(made, torch.Tensor)
    assert made.shape == (1, WINDOW.queries, WINDOW.heads, WINDOW.head_dim)


def test_calls_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each input comes as often as the others, and a time is told for one call."""
    seen: list[int] = []
    calls = [lambda number=number: seen.append(number) for number in range(3)]
    batch_ms(calls, 6, CPU)
    assert seen == [0, 1, 2, 0, 1, 2]
    monkeypatch.setattr(ceilings, "batch_ms", lambda calls, count, device: 0.5 * count)
    assert median_seconds(calls, CPU) == pytest.approx(0.0005)
