"""Two passes over pixels whose channels lie side by side in memory, each as one kernel on a GPU.

Without Triton, or on a CPU, the same is done step by step.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.networks.row_kernels_triton import kernels
from pipeline.networks.upsampling import unblock
from pipeline.recorded import may_compile

NUMBERS = 2048
"""Numbers to a program of 128 threads: two loads of 16 bytes on their way in each."""


def norm_silu(x: Tensor, bias: Tensor | None, shortcut: Tensor | None, gain: Tensor, out: Tensor) -> Tensor:
    """Add a bias and a shortcut, divide by the root mean square, multiply by ``gain``, apply SiLU: into ``out``.

    Args:
        x: ``[..., C]``, contiguous; it is overwritten by the sum.
        bias: ``[C]``, or None.
        shortcut: of the shape of ``x``, or None.
        gain: ``[C]``.
        out: contiguous, of the shape of ``x``.

    Returns:
        ``x``, the sum.
    """
    if may_compile(x.device):
        _norm_silu_kernel(x, bias, shortcut, gain, out)
        return x
    for added in (bias, shortcut):
        if added is not None:
            x += added
    size = x.shape[-1] ** -0.5
    rms = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.promote_types(x.dtype, torch.float32)) * size
    out.copy_(F.silu(x / rms.clamp_min(torch.finfo(x.dtype).tiny).to(x.dtype) * gain))
    return x


def unblock_rows(blocks: Tensor, bias: Tensor) -> Tensor:
    """Put straddling blocks into pixels (:func:`~pipeline.networks.upsampling.unblock`), and add a bias.

    ``blocks`` are ``[T, h + 1, w + 1, 4 N]``, contiguous, ``bias`` is ``[N]``; gives ``[T, 2 h, 2 w, N]``, contiguous.
    """
    if may_compile(blocks.device):
        return _unblock_kernel(blocks, bias)
    return unblock(blocks.permute(0, 3, 1, 2)).permute(0, 2, 3, 1) + bias


def _unblock_kernel(blocks: Tensor, bias: Tensor) -> Tensor:
    frames, height, width, channels = blocks.shape
    pixels = blocks.new_empty(frames, 2 * height - 2, 2 * width - 2, channels // 4)
    rows = pixels.numel() // pixels.shape[-1]
    block, together = _tile(pixels.shape[-1])
    grid = (-(-rows // together),)
    kernels().unblock[grid](blocks, bias, pixels, rows, height, width, pixels.shape[-1], block, together)
    return pixels


def _norm_silu_kernel(x: Tensor, bias: Tensor | None, shortcut: Tensor | None, gain: Tensor, out: Tensor) -> None:
    channels = x.shape[-1]
    rows = x.numel() // channels
    block, together = _tile(channels)
    kernels().norm_silu[(-(-rows // together),)](
        x,
        x if bias is None else bias,
        x if shortcut is None else shortcut,
        gain,
        out,
        rows,
        torch.finfo(x.dtype).tiny,
        channels,
        block,
        together,
        bias is not None,
        shortcut is not None,
    )


def _tile(channels: int) -> tuple[int, int]:
    """Channels rounded up to a power of two, and pixels to a program."""
    block = 1 << (channels - 1).bit_length()
    return block, max(1, NUMBERS // block)
