# pyright: reportMissingParameterType=false, reportInvalidTypeForm=false
"""The kernels of :mod:`pipeline.networks.row_kernels` in Triton (doi 10.1145/3315508.3329973)."""

from functools import cache
from importlib import import_module
from types import SimpleNamespace


@cache
def kernels() -> SimpleNamespace:
    """Give the kernels: ``norm_silu`` and ``unblock``, each for rows of channels."""
    # Triton comes with PyTorch for GPUs alone, so it is imported where one is used.
    triton, tl = import_module("triton"), import_module("triton.language")

    @triton.jit
    def norm_silu(
        x,
        bias,
        shortcut,
        gain,
        out,
        rows,
        floor,
        CHANNELS: tl.constexpr,
        BLOCK: tl.constexpr,
        TOGETHER: tl.constexpr,
        HAS_BIAS: tl.constexpr,
        HAS_SHORTCUT: tl.constexpr,
    ):
        row = tl.program_id(0).to(tl.int64) * TOGETHER + tl.arange(0, TOGETHER)
        channel = tl.arange(0, BLOCK)
        at = row[:, None] * CHANNELS + channel[None, :]
        inside = (row[:, None] < rows) & (channel[None, :] < CHANNELS)
        value = tl.load(x + at, mask=inside, other=0.0).to(tl.float32)
        if HAS_BIAS:
            value += tl.load(bias + channel, mask=channel < CHANNELS, other=0.0).to(tl.float32)[None, :]
        if HAS_SHORTCUT:
            value += tl.load(shortcut + at, mask=inside, other=0.0).to(tl.float32)
        if HAS_BIAS or HAS_SHORTCUT:
            tl.store(x + at, value.to(x.dtype.element_ty), mask=inside)
        rms = tl.sqrt(tl.sum(value * value, 1) / CHANNELS)
        value = value / tl.maximum(rms, floor)[:, None]
        value *= tl.load(gain + channel, mask=channel < CHANNELS, other=0.0).to(tl.float32)[None, :]
        tl.store(out + at, (value * tl.sigmoid(value)).to(out.dtype.element_ty), mask=inside)

    @triton.jit
    def unblock(
        blocks,
        bias,
        pixels,
        rows,
        height,
        width,
        CHANNELS: tl.constexpr,
        BLOCK: tl.constexpr,
        TOGETHER: tl.constexpr,
    ):
        row = tl.program_id(0).to(tl.int64) * TOGETHER + tl.arange(0, TOGETHER)
        channel = tl.arange(0, BLOCK)
        across, down = 2 * width - 2, 2 * height - 2
        # Rows and columns of the blocks' grid, which begins one pixel outside.
        column, line, frame = row % across + 1, row // across % down + 1, row // across // down
        block = (frame * height + line // 2) * width + column // 2
        source = (block * 4 + line % 2 * 2 + column % 2) * CHANNELS
        inside = (row[:, None] < rows) & (channel[None, :] < CHANNELS)
        value = tl.load(blocks + source[:, None] + channel[None, :], mask=inside, other=0.0).to(tl.float32)
        value += tl.load(bias + channel, mask=channel < CHANNELS, other=0.0).to(tl.float32)[None, :]
        tl.store(pixels + row[:, None] * CHANNELS + channel[None, :], value.to(pixels.dtype.element_ty), mask=inside)

    return SimpleNamespace(norm_silu=norm_silu, unblock=unblock)
