"""What this device does at most of the operations that a chunk is made of, each at its own shape."""

import importlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from statistics import median

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from pipeline.bench.work import Attention, Operation, Product, Work, large, seconds_at
from pipeline.networks.attention import FA3_MODULE, attend, available_kernels
from pipeline.quantize import FP8, rows_in_fp8

Call = Callable[[], object]

SQUARE, SQUARE_CPU = 8192, 1024
SETS = 3
"""Inputs taken in turn: a layer's weights come from memory, not from the cache that the call before left."""
REPEATS, REPEATS_CPU = 20, 5
BATCH_MS = 2.0
"""Calls are timed so many milliseconds at a time, beside which the clock's own cost is small."""
IN_FP8 = "fp8"


@dataclass(frozen=True, slots=True)
class Rate:
    """How fast an operation was done, and how: the products' number format, or the attention's kernel."""

    operation: Operation
    how: str
    tflops: float


def measure(work: Work, device: torch.device, dtype: torch.dtype) -> list[Rate]:
    """Measure the large operations of a pass in every way that this device has, after a large square product."""
    edge = SQUARE if device.type == "cuda" else SQUARE_CPU
    operations: list[Operation] = [Product(edge, edge, edge), *large(work)]
    found: list[Rate] = []
    for operation in operations:
        is_product = isinstance(operation, Product)
        ways = product_ways(operation, device, dtype) if is_product else attention_ways(operation, device, dtype)
        for how, calls in ways.items():
            try:
                seconds = median_seconds(calls(), device)
            except RuntimeError:
                # A kernel that this device, build or shape doesn't have.
                continue
            found.append(Rate(operation, how, operation.flops / seconds / 1e12))
    return found


def shares(work: Work, seconds: float, rates: Sequence[Rate]) -> dict[str, float]:
    """Give the shares of the ceiling that work done in so many seconds reaches.

    One for products in the model's own number format and attention in sixteen bits or more; where the device
    multiplies eight bits, one for all that it has. Small operations count at the square's rate.
    """
    formats = list(dict.fromkeys(rate.how for rate in rates if isinstance(rate.operation, Product)))
    told: dict[str, float] = {}
    for name in formats:
        usable = [rate for rate in rates if name == IN_FP8 or IN_FP8 not in rate.how]
        best: dict[Operation, float] = {}
        for rate in usable:
            best[rate.operation] = max(rate.tflops, best.get(rate.operation, 0.0))
        square = best[rates[0].operation]
        told[name] = seconds_at(work, lambda one, best=best, square=square: best.get(one, square) * 1e12) / seconds
    return told


def product_ways(one: Product, device: torch.device, dtype: torch.dtype) -> dict[str, Callable[[], list[Call]]]:
    """Name the ways to multiply; each gives its calls."""
    ways = {str(dtype).removeprefix("torch."): partial(products, one, device, dtype)}
    if device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 9):
        ways[IN_FP8] = partial(fp8_products, one, device)
    return ways


def products(one: Product, device: torch.device, dtype: torch.dtype) -> list[Call]:
    """Linear layers of one shape, each with its own input and weights."""
    return [partial(F.linear, drawn(device, dtype, one.m, one.k), weight(one, device, dtype)) for _ in range(SETS)]


def fp8_products(one: Product, device: torch.device) -> list[Call]:
    """The same with both sides in eight bits, a scale for each of their rows; the output has sixteen."""
    calls: list[Call] = []
    for _ in range(SETS):
        a, a_scale = rows_in_fp8(drawn(device, torch.bfloat16, one.m, one.k))
        b, b_scale = rows_in_fp8(weight(one, device, torch.bfloat16))
        scales = {"scale_a": a_scale, "scale_b": b_scale.t()}
        multiply = torch.ops.aten._scaled_mm
        calls.append(partial(multiply, a, b.t(), **scales, out_dtype=torch.bfloat16, use_fast_accum=True))
    return calls


def attention_ways(one: Attention, device: torch.device, dtype: torch.dtype) -> dict[str, Callable[[], list[Call]]]:
    """Name the attention kernels of this device; each gives its calls."""
    kernels: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {"sdpa": partial(attend, kernel="sdpa")}
    if device.type == "cuda":
        kernels |= {"cudnn": partial(backend_attend, SDPBackend.CUDNN_ATTENTION)}
        kernels |= {"flash": partial(backend_attend, SDPBackend.FLASH_ATTENTION)}
    has_fa3 = device.type == "cuda" and "fa3" in available_kernels()
    if has_fa3:
        kernels |= {"fa3": partial(attend, kernel="fa3")}
    ways = {name: partial(attentions, one, kernel, device, dtype) for name, kernel in kernels.items()}
    if has_fa3:
        kernel = importlib.import_module(FA3_MODULE).flash_attn_func
        ways[f"fa3_{IN_FP8}"] = partial(attentions, one, kernel, device, FP8)
    return ways


def backend_attend(backend: SDPBackend, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attend by one of PyTorch's own kernels. Raises RuntimeError where it can't be had."""
    with sdpa_kernel(backend):
        return attend(q, k, v, "sdpa")


def attentions(
    one: Attention, kernel: Callable[[Tensor, Tensor, Tensor], Tensor], device: torch.device, dtype: torch.dtype
) -> list[Call]:
    """Attention over one shape, each call with its own queries, keys and values ``[1, L, N, D]``."""
    heads = (one.heads, one.head_dim)

    def inputs() -> list[Tensor]:
        lengths = (one.queries, one.keys, one.keys)
        return [drawn(device, torch.float32, 1, length, *heads).to(dtype) for length in lengths]

    return [partial(kernel, *inputs()) for _ in range(SETS)]


def drawn(device: torch.device, dtype: torch.dtype, *size: int) -> Tensor:
    """Normal random numbers: on zeros some GPUs are faster than on anything real."""
    return torch.randn(size, device=device, dtype=dtype)


def weight(one: Product, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Random weights ``[n, k]`` that keep the size of what they are multiplied with."""
    return drawn(device, dtype, one.n, one.k) * one.k**-0.5


@torch.inference_mode()
def median_seconds(calls: Sequence[Call], device: torch.device) -> float:
    """Give the median time of one call, taken in turn. Raises RuntimeError as the calls do."""
    for call in calls:
        call()
    once = batch_ms(calls, len(calls), device) / len(calls)
    count = max(len(calls), round(BATCH_MS / max(once, 1e-3)))
    repeats = REPEATS if device.type == "cuda" else REPEATS_CPU
    return median(batch_ms(calls, count, device) for _ in range(repeats)) / count / 1000


def batch_ms(calls: Sequence[Call], count: int, device: torch.device) -> float:
    """Time so many calls, one after another, by the device's own clock."""
    if device.type != "cuda":
        begun = time.perf_counter()
        for call in islice(cycle(calls), count):
            call()
        return (time.perf_counter() - begun) * 1000
    since, until = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    since.record()
    for call in islice(cycle(calls), count):
        call()
    until.record()
    until.synchronize()
    return since.elapsed_time(until)
