"""Noise for few-step sampling: where it comes from, and how much of it there is at each step."""

import hashlib

import torch
from torch import Tensor


def noise(seed: int, latent: int, step: int, shape: tuple[int, ...]) -> Tensor:
    """Standard normal noise ``float32 shape``, keyed by (seed, latent index, step).

    Nothing else enters the key, so the same commands make the same frames however latents are grouped into
    chunks, remade after a truncation, or mixed with other streams.
    """
    key = hashlib.blake2b(f"{seed}/{latent}/{step}".encode(), digest_size=8).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(key, "big") >> 1)
    return torch.randn(shape, generator=generator)


def sigmas(steps: int, shift: float = 1.0) -> tuple[float, ...]:
    """Noise levels of a few-step sampler, from 1 downward; ``shift`` keeps them higher (arXiv 2403.03206).

    >>> sigmas(2)
    (1.0, 0.5)
    >>> [round(s, 4) for s in sigmas(4, 5.0)]
    [1.0, 0.9375, 0.8333, 0.625]
    """
    even = [1 - i / steps for i in range(steps)]
    return tuple(shift * s / (1 + (shift - 1) * s) for s in even)


def renoise(clean: Tensor, fresh: Tensor, sigma: float) -> Tensor:
    """Bring a clean latent to a noise level: ``(1 - sigma) * clean + sigma * fresh``."""
    return (1 - sigma) * clean + sigma * fresh
