"""Noise for few-step sampling: where it comes from, and how much of it there is at each step."""

import hashlib
from collections.abc import Sequence

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


class FlowSchedule:
    """The noise levels that flow-matching models of the Wan family were trained at (arXiv 2210.02747, 2403.03206).

    ``sigmas`` is ``float32 [steps]`` falling from 1, moved up by ``shift``; ``timesteps`` is a thousand times that.
    A timestep means the nearest entry of the table, so 0 means the last one and not a noise level of 0.

    >>> schedule = FlowSchedule(shift=5.0)
    >>> [round(t, 3) for t in schedule.warped([1000, 750, 500, 250])]
    [1000.0, 937.5, 833.333, 625.0]
    >>> round(schedule.sigma(torch.tensor([0.0])).item(), 5)
    0.00498
    """

    def __init__(self, shift: float, steps: int = 1000) -> None:
        even = torch.linspace(1.0, 0.0, steps + 1)[:-1]
        self.sigmas = shift * even / (1 + (shift - 1) * even)
        self.timesteps = self.sigmas * 1000
        self._copies: dict[torch.device, tuple[Tensor, Tensor]] = {}

    def warped(self, steps: Sequence[int]) -> tuple[float, ...]:
        """Give the timesteps of an unshifted list of steps, 1000 down to 0: the table's entry so far from its end."""
        table = torch.cat([self.timesteps, torch.zeros(1)])
        return tuple(table[len(self.timesteps) - step].item() for step in steps)

    def sigma(self, timestep: Tensor) -> Tensor:
        """Noise levels ``float32 [...]`` of timesteps ``[...]``, on their device."""
        # Copied to a device once: the copy waits for all that the device is at.
        if timestep.device not in self._copies:
            self._copies[timestep.device] = (self.sigmas.to(timestep.device), self.timesteps.to(timestep.device))
        sigmas, timesteps = self._copies[timestep.device]
        return sigmas[(timesteps - timestep.float()[..., None]).abs().argmin(-1)]

    def add_noise(self, clean: Tensor, fresh: Tensor, timestep: Tensor) -> Tensor:
        """Bring latents ``[B, C, T, h, w]`` to the noise level of ``[B, T]`` or ``[B, 1]``; in float32, cast back."""
        sigma = self._per_frame(timestep)
        return ((1 - sigma) * clean.float() + sigma * fresh.float()).to(fresh.dtype)

    def clean(self, flow: Tensor, noisy: Tensor, timestep: Tensor) -> Tensor:
        """Estimate clean latents from the flow (noise minus clean), in float64, as the flow's dtype."""
        return (noisy.double() - self._per_frame(timestep).double() * flow.double()).to(flow.dtype)

    def flow(self, clean: Tensor, noisy: Tensor, timestep: Tensor) -> Tensor:
        """Give the flow that leads from a clean estimate to the noisy latents: :meth:`clean` turned round."""
        return ((noisy.double() - clean.double()) / self._per_frame(timestep).double()).to(clean.dtype)

    def step(self, flow: Tensor, noisy: Tensor, timestep: Tensor) -> Tensor:
        """Follow the flow from a timestep's level to the next one of the table, from the last one to 0."""
        table = torch.cat([self.sigmas, torch.zeros(1)]).to(timestep.device)
        here = (self.timesteps.to(timestep.device) - timestep.float()[..., None]).abs().argmin(-1)
        distance = (table[here + 1] - table[here])[:, None, :, None, None]
        return noisy + flow * distance

    def _per_frame(self, timestep: Tensor) -> Tensor:
        return self.sigma(timestep)[:, None, :, None, None]
