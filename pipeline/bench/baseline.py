"""The usual way to run a causal Wan model, to measure ours against: one eager kernel after another.

It computes the same as our networks and does it as the published code does: keys are kept rotated and the cache is
shifted by copying, its counters live on the GPU and are read by the host in every layer, angles are complex numbers in
float64, the text is embedded anew in every call. Source: Self Forcing (arXiv 2506.08009).
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.networks.rope import THETA, axis_pairs
from pipeline.networks.transformer import TransformerConfig, sinusoid
from pipeline.schedule import FlowSchedule

TABLE_LATENTS = 1024
Grid = tuple[int, int, int]


@dataclass(slots=True, eq=False)
class LayerCache:
    """Rotated keys and values ``[1, tokens, N, D]`` of one layer, and how far they go, in all and in the buffer."""

    k: Tensor
    v: Tensor
    whole_end: Tensor
    local_end: Tensor

    @classmethod
    def empty(cls, tokens: int, heads: tuple[int, int], like: Tensor) -> "LayerCache":
        """A buffer of so many tokens, in dtype and place ``like`` another tensor."""
        k, v = (like.new_zeros(1, tokens, *heads) for _ in range(2))
        return cls(k, v, *(torch.zeros(1, dtype=torch.long, device=like.device) for _ in range(2)))

    def write(self, k: Tensor, v: Tensor, start: int, sink: int) -> int:
        """Put a chunk's keys and values where they belong, the oldest behind the sink making room; give the end."""
        new, end = k.shape[1], start + k.shape[1]
        local = int(self.local_end.item()) + end - int(self.whole_end.item())
        if local > self.k.shape[1]:
            gone = local - self.k.shape[1]
            kept = int(self.local_end.item()) - gone - sink
            for held in (self.k, self.v):
                held[:, sink : sink + kept] = held[:, sink + gone : sink + gone + kept].clone()
            local -= gone
        self.k[:, local - new : local] = k
        self.v[:, local - new : local] = v
        self.whole_end.fill_(end)
        self.local_end.fill_(local)
        return local


class RMSNorm(nn.Module):
    """Root-mean-square norm over the last axis."""

    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()
        return (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.eps)).type_as(x) * self.weight


class Attention(nn.Module):
    """Projections and norms of one attention, heads split."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.num_heads = config.num_heads
        self.q, self.k, self.v, self.o = (nn.Linear(config.dim, config.dim) for _ in range(4))
        self.norm_q, self.norm_k = (RMSNorm(config.dim, config.eps) for _ in range(2))

    def queries(self, x: Tensor) -> Tensor:
        """``[1, L, dim] -> [1, L, N, D]``."""
        return self.norm_q(self.q(x)).view(*x.shape[:2], self.num_heads, -1)

    def keys_values(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """``[1, L, dim] -> two of [1, L, N, D]``."""
        split = (*x.shape[:2], self.num_heads, -1)
        return self.norm_k(self.k(x)).view(split), self.v(x).view(split)

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """PyTorch's own attention, projected: ``[1, L, dim]``."""
        seen = F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))
        return self.o(seen.transpose(1, 2).contiguous().flatten(2))


def table(head_dim: int, latents: int, device: torch.device) -> Tensor:
    """Rotations of every position: ``complex128 [latents, D / 2]``, each axis with its share of the pairs."""
    places = torch.arange(latents, dtype=torch.float64)
    angles = [places[:, None] * THETA ** (-torch.arange(n, dtype=torch.float64) / n) for n in axis_pairs(head_dim)]
    angle = torch.cat(angles, 1)
    return torch.polar(torch.ones_like(angle), angle).to(device)


def turned(x: Tensor, rotations: Tensor, grid: Grid, first: int) -> Tensor:
    """Rotate ``[1, L, N, D]``, whose first latent stands at ``first``, by complex numbers in float64."""
    t, h, w = rotations.split(axis_pairs(x.shape[-1]), 1)
    frames, rows, columns = grid
    angle = torch.cat(
        [
            t[first : first + frames, None, None].expand(*grid, -1),
            h[None, :rows, None].expand(*grid, -1),
            w[None, None, :columns].expand(*grid, -1),
        ],
        dim=-1,
    ).reshape(frames * rows * columns, 1, -1)
    made = []
    for sample in x:
        pairs = torch.view_as_complex(sample.to(torch.float64).reshape(*sample.shape[:2], -1, 2))
        made.append(torch.view_as_real(pairs * angle).flatten(2))
    return torch.stack(made).type_as(x)


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """What is the same for every layer of one call; ``time`` is ``[1, T, 6, dim]``, ``sink`` in tokens."""

    time: Tensor
    text: Tensor
    rotations: Tensor
    grid: Grid
    first: int
    sink: int


class Block(nn.Module):
    """One layer."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        dim, eps = config.dim, config.eps
        self.norm1 = nn.LayerNorm(dim, eps, elementwise_affine=False)
        self.self_attn = Attention(config)
        self.norm3 = nn.LayerNorm(dim, eps)
        self.cross_attn = Attention(config)
        self.norm2 = nn.LayerNorm(dim, eps, elementwise_affine=False)
        self.ffn = nn.Sequential(
            nn.Linear(dim, config.ffn_dim), nn.GELU(approximate="tanh"), nn.Linear(config.ffn_dim, dim)
        )
        self.modulation = nn.Parameter(torch.zeros(1, 6, dim))

    def forward(self, x: Tensor, call: Call, cache: LayerCache, cross: dict[str, Tensor]) -> Tensor:
        """Run the layer on ``[1, L, dim]``; ``cross`` holds the text's keys and values from the first call on."""
        by_frame = (call.grid[0], call.grid[1] * call.grid[2])
        e = (self.modulation.unsqueeze(1) + call.time).chunk(6, dim=2)
        h = (self.norm1(x).unflatten(1, by_frame) * (1 + e[1]) + e[0]).flatten(1, 2)
        y = self.attend_to_window(h, call, cache)
        x = x + (y.unflatten(1, by_frame) * e[2]).flatten(1, 2)
        q = self.cross_attn.queries(self.norm3(x))
        if not cross:
            cross["k"], cross["v"] = self.cross_attn.keys_values(call.text)
        x = x + self.cross_attn.attend(q, cross["k"], cross["v"])
        h = (self.norm2(x).unflatten(1, by_frame) * (1 + e[4]) + e[3]).flatten(1, 2)
        return x + (self.ffn(h).unflatten(1, by_frame) * e[5]).flatten(1, 2)

    def attend_to_window(self, h: Tensor, call: Call, cache: LayerCache) -> Tensor:
        """Rotate, write into the cache, attend to all of it."""
        q = turned(self.self_attn.queries(h), call.rotations, call.grid, call.first)
        k, v = self.self_attn.keys_values(h)
        k = turned(k, call.rotations, call.grid, call.first)
        end = cache.write(k, v, call.first * call.grid[1] * call.grid[2], call.sink)
        return self.self_attn.attend(q, cache.k[:, :end], cache.v[:, :end])


class Head(nn.Module):
    """The last norm and projection."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        pt, ph, pw = config.patch
        self.norm = nn.LayerNorm(config.dim, config.eps, elementwise_affine=False)
        self.head = nn.Linear(config.dim, pt * ph * pw * config.out_channels)
        self.modulation = nn.Parameter(torch.zeros(1, 2, config.dim))

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """``[1, L, dim]`` and ``[1, T, dim]`` to ``[1, L, patch values]``."""
        e = (self.modulation.unsqueeze(1) + time.unsqueeze(2)).chunk(2, dim=2)
        by_frame = self.norm(x).unflatten(1, (time.shape[1], -1))
        return self.head((by_frame * (1 + e[1]) + e[0]).flatten(1, 2))


class EagerTransformer(nn.Module):
    """The network; its parameters have the published names, so weights of ours fit."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        dim = config.dim
        self.patch_embedding = nn.Conv3d(config.in_channels, dim, config.patch, config.patch)
        self.text_embedding = nn.Sequential(
            nn.Linear(config.text_dim, dim), nn.GELU(approximate="tanh"), nn.Linear(dim, dim)
        )
        self.time_embedding = nn.Sequential(nn.Linear(config.freq_dim, dim), nn.SiLU(), nn.Linear(dim, dim))
        self.time_projection = nn.Sequential(nn.SiLU(), nn.Linear(dim, 6 * dim))
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.num_layers))
        self.head = Head(config)

    def forward(self, latents: Tensor, timestep: Tensor, rollout: "Rollout") -> Tensor:
        """Give the flow of ``[1, C, T, h, w]`` at ``[1, T]``."""
        x = self.patch_embedding(latents)
        grid: Grid = (x.shape[2], x.shape[3], x.shape[4])
        x = x.flatten(2).transpose(1, 2)
        time = self.time_embedding(sinusoid(timestep.flatten(), self.config.freq_dim).type_as(x)).unsqueeze(0)
        text = rollout.text
        padded = torch.cat([text, text.new_zeros(1, (self.config.text_len or 0) - text.shape[1], text.shape[2])], 1)
        sink = rollout.sink * grid[1] * grid[2]
        projected = self.time_projection(time).unflatten(2, (6, -1))
        call = Call(projected, self.text_embedding(padded), rollout.rotations, grid, rollout.made, sink)
        for block, cache, cross in zip(self.blocks, rollout.caches, rollout.crosses, strict=True):
            x = block(x, call, cache, cross)
        return self.unpatchify(self.head(x, time), grid)

    def unpatchify(self, patches: Tensor, grid: Grid) -> Tensor:
        """``[1, L, patch values]`` to ``[1, C, T, h, w]``."""
        pt, ph, pw = self.config.patch
        cells = patches.view(*grid, pt, ph, pw, self.config.out_channels)
        made = torch.einsum("fhwpqrc->cfphqwr", cells)
        return made.reshape(1, self.config.out_channels, grid[0] * pt, grid[1] * ph, grid[2] * pw)


@dataclass(slots=True, eq=False)
class Rollout:
    """A video in the making: the network, its caches, the text ``[1, S, text_dim]``, latents that are made.

    It ends after ``latents``, as many as the table of rotations has.
    """

    network: EagerTransformer
    schedule: FlowSchedule
    timesteps: tuple[float, ...]
    text: Tensor
    window: int
    sink: int
    frame_tokens: int
    context_noise: float = 0.0
    latents: int = TABLE_LATENTS
    made: int = 0
    rotations: Tensor = field(init=False)
    caches: list[LayerCache] = field(init=False)
    crosses: list[dict[str, Tensor]] = field(init=False)

    def __post_init__(self) -> None:
        config = self.network.config
        self.rotations = table(config.head_dim, self.latents, self.text.device)
        heads = (config.num_heads, config.head_dim)
        layers = range(config.num_layers)
        self.caches = [LayerCache.empty(self.window * self.frame_tokens, heads, self.text) for _ in layers]
        self.crosses = [{} for _ in layers]

    def sample(self, noise: Tensor, fresh: Callable[[int], Tensor]) -> Tensor:
        """Turn noise ``[1, C, T, h, w]`` into clean latents; ``fresh`` gives the noise before each later step."""
        noisy = clean = noise
        for step, timestep in enumerate(self.timesteps):
            at = torch.full((1, noise.shape[2]), timestep, device=noise.device)
            if step:
                noisy = self.schedule.add_noise(clean, fresh(step), at)
            clean = self.schedule.clean(self.network(noisy, at, self), noisy, at)
        return clean

    def read(self, clean: Tensor) -> None:
        """Write the clean latents' keys and values over those of the last step, and go on behind them."""
        at = torch.full((1, clean.shape[2]), self.context_noise, device=clean.device)
        self.network(clean, at, self)
        self.made += clean.shape[2]
