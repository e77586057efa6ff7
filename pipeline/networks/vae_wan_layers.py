"""The parts of the Wan VAE: convolutions that look back in time, their memory in the caller's hands.

Source: Wan2.1 (arXiv 2503.20314), section 4.1.
"""

from collections.abc import Iterator
from itertools import repeat

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.networks.frame_decoder import VAEMemory

LOOK_BACK = 2
"""Earlier frames that a kernel of three frames sees."""
NORM_FLOOR = 1e-12


class SlotTape:
    """The slots of one forward pass: the past is taken in order, what the next pass needs is kept in that order."""

    def __init__(self, memory: VAEMemory) -> None:
        self.at_beginning = memory.is_beginning
        self._past: Iterator[Tensor | None] = repeat(None) if self.at_beginning else iter(memory.slots)
        self._kept: list[Tensor | None] = []

    def take(self) -> Tensor | None:
        """Give the next slot of the past; None where it has no history."""
        return next(self._past)

    def keep(self, frames: Tensor | None) -> None:
        """Set the next slot for the pass to come."""
        self._kept.append(frames)

    def through(self, conv: nn.Module, x: Tensor) -> Tensor:
        """Run a causal convolution on ``[B, C, T, h, w]`` with the next slot as its past."""
        out, last = causal(conv, x, self.take())
        self.keep(last)
        return out

    def memory(self) -> VAEMemory:
        """Give what was kept."""
        return VAEMemory(tuple(self._kept))


def causal(conv: nn.Module, x: Tensor, past: Tensor | None) -> tuple[Tensor, Tensor]:
    """Convolve ``[B, C, T, h, w]`` over its past frames, zeros where there are too few; T is kept.

    Returns the result and the newest frames seen, at most two: the past of the next call.
    """
    seen = x if past is None else torch.cat([past, x], 2)
    # A copy: a view would hold the whole input in memory, three times the slot at full size.
    last = seen[:, :, -LOOK_BACK:].clone()
    missing = LOOK_BACK + x.shape[2] - seen.shape[2]
    if missing:
        seen = F.pad(seen, (0, 0, 0, 0, missing, 0))
    return conv(seen), last


def causal_conv(in_channels: int, out_channels: int, spatial: int = 3) -> nn.Conv3d:
    """A kernel of three frames for :func:`causal`, padded in space alone."""
    return nn.Conv3d(in_channels, out_channels, (3, spatial, spatial), padding=(0, spatial // 2, spatial // 2))


def per_frame(module: nn.Module, x: Tensor) -> Tensor:
    """Run a module for pictures ``[B * T, C, h, w]`` on each frame of ``[B, C, T, h, w]``."""
    return module(x.transpose(1, 2).flatten(0, 1)).unflatten(0, (-1, x.shape[2])).transpose(1, 2)


class ChannelNorm(nn.Module):
    """Root-mean-square norm over the channels (axis 1) at each place, with a learned gain."""

    def __init__(self, channels: int, axes: int = 3) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels, *[1] * axes))

    def forward(self, x: Tensor) -> Tensor:
        size = x.shape[1] ** -0.5
        # The mean and not the sum is divided by: in float16 the norm of a few hundred channels could overflow.
        # 1e-12 is zero in float16, hence the floor of its own.
        floor = max(NORM_FLOOR * size, torch.finfo(x.dtype).tiny)
        wide = torch.promote_types(x.dtype, torch.float32)
        rms = torch.linalg.vector_norm(x, dim=1, keepdim=True, dtype=wide) * size
        return x / rms.clamp_min(floor).to(x.dtype) * self.gamma


class ResidualBlock(nn.Module):
    """Twice norm, SiLU and causal convolution, beside a shortcut."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.residual = nn.ModuleDict(
            {
                "0": ChannelNorm(in_channels),
                "2": causal_conv(in_channels, out_channels),
                "3": ChannelNorm(out_channels),
                "6": causal_conv(out_channels, out_channels),
            }
        )
        self.shortcut = nn.Conv3d(in_channels, out_channels, 1) if in_channels != out_channels else nn.Identity()

    def forward(self, x: Tensor, tape: SlotTape) -> Tensor:
        """``[B, C, T, h, w]`` to the same with this block's channels."""
        h = norm_silu_conv(self.residual["0"], self.residual["2"], x, tape)
        return norm_silu_conv(self.residual["3"], self.residual["6"], h, tape) + self.shortcut(x)


def norm_silu_conv(norm: nn.Module, conv: nn.Module, x: Tensor, tape: SlotTape) -> Tensor:
    """The step that blocks and heads are made of."""
    return tape.through(conv, F.silu(norm(x)))


class FrameAttention(nn.Module):
    """Attention of one head among the places of a frame; frames do not see each other."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(channels, axes=2)
        self.to_qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.proj = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """``[B * T, C, h, w]`` to the same."""
        q, k, v = self.to_qkv(self.norm(x)).flatten(2).transpose(1, 2).unsqueeze(1).chunk(3, dim=-1)
        seen = F.scaled_dot_product_attention(q, k, v)
        return x + self.proj(seen.squeeze(1).transpose(1, 2).unflatten(2, x.shape[2:]))


class Middle(nn.Module):
    """Residual block, attention, residual block; registered under the names 0, 1 and 2."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.add_module("0", ResidualBlock(channels, channels))
        self.add_module("1", FrameAttention(channels))
        self.add_module("2", ResidualBlock(channels, channels))

    def forward(self, x: Tensor, tape: SlotTape) -> Tensor:
        """``[B, C, T, h, w]`` to the same."""
        before, attention, after = self.children()
        return after(per_frame(attention, before(x, tape)), tape)


class Head(nn.Module):
    """Norm, SiLU and the last causal convolution; registered under the names 0 and 2."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.add_module("0", ChannelNorm(in_channels))
        self.add_module("2", causal_conv(in_channels, out_channels))

    def forward(self, x: Tensor, tape: SlotTape) -> Tensor:
        """``[B, C, T, h, w]`` to the same with ``out_channels``."""
        norm, conv = self.children()
        return norm_silu_conv(norm, conv, x, tape)


class Downsample(nn.Module):
    """Half the size, and with ``in_time`` half the frames, where a stream's first frame stands for itself."""

    def __init__(self, channels: int, in_time: bool) -> None:
        super().__init__()
        self.resample = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(channels, channels, 3, stride=2))
        self.time_conv = nn.Conv3d(channels, channels, (3, 1, 1), stride=(2, 1, 1)) if in_time else None

    def forward(self, x: Tensor, tape: SlotTape) -> Tensor:
        """``[B, C, T, h, w]`` to ``[B, C, T or T / 2, h / 2, w / 2]``; T is 1 at the beginning, else even."""
        x = per_frame(self.resample, x)
        if self.time_conv is None:
            return x
        before = tape.take()
        tape.keep(x[:, :, -1:].clone())
        return x if before is None else self.time_conv(torch.cat([before, x], 2))


class Upsample(nn.Module):
    """Twice the size at half the channels, and with ``in_time`` two frames for each but a stream's first."""

    def __init__(self, channels: int, in_time: bool) -> None:
        super().__init__()
        self.resample = nn.Sequential(
            nn.Upsample(scale_factor=2.0, mode="nearest"), nn.Conv2d(channels, channels // 2, 3, padding=1)
        )
        self.time_conv = causal_conv(channels, 2 * channels, spatial=1) if in_time else None

    def forward(self, x: Tensor, tape: SlotTape) -> Tensor:
        """``[B, C, T, h, w]`` to ``[B, C / 2, T or 2 T, 2 h, 2 w]``."""
        return per_frame(self.resample, x if self.time_conv is None else self._grow(self.time_conv, x, tape))

    def _grow(self, time_conv: nn.Conv3d, x: Tensor, tape: SlotTape) -> Tensor:
        past = tape.take()
        if tape.at_beginning:
            # The first latent is one frame, and no history either: the second finds zeros for its past.
            tape.keep(None)
            return x
        if past is None:
            past = torch.zeros_like(x[:, :, :1]).expand(-1, -1, LOOK_BACK, -1, -1)
        pairs, last = causal(time_conv, x, past)
        tape.keep(last)
        return pairs.unflatten(1, (2, -1)).permute(0, 2, 3, 1, 4, 5).flatten(2, 3)
