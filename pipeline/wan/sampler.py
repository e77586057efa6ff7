"""Few-step sampling of a chunk and its clean-context pass (Self Forcing, arXiv 2506.08009)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.errors import ConditioningError
from pipeline.networks.transformer import CausalTransformer, CrossKeyValues, KeyValue
from pipeline.schedule import FlowSchedule, noise
from pipeline.wan.passes import Passes
from pipeline.wan.sizes import LATENT_CHANNELS
from pipeline.wan.window import Positions, Seen, WindowCache

Fresh = Callable[[int], Tensor]
"""Noise ``[B, C, T, h, w]`` to be added before the step of this number, from 1."""


@dataclass(frozen=True, slots=True, eq=False)
class Guide:
    """What a chunk is made under: cross-attention keys and values, and what is stacked onto its channels.

    ``beside`` is ``[B, 20, T, h, w]``, mask and picture latents of an I2V network; None for the others.
    """

    cross: Sequence[CrossKeyValues]
    beside: Tensor | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Sampler:
    """How noise becomes latents: network, noise levels, the few timesteps, where latents are placed.

    ``context_noise`` is the timestep that finished latents are read at, for what follows to attend to. ``passes`` make
    the calls that are of their size; the network itself makes the others.
    """

    network: CausalTransformer
    schedule: FlowSchedule
    timesteps: tuple[float, ...]
    positions: Positions = "relative"
    context_noise: float = 0.0
    passes: Passes | None = None

    def flow(
        self, latents: Tensor, timestep: Tensor, guide: Guide, seen: Seen, keep: bool = True
    ) -> tuple[Tensor, Sequence[KeyValue]]:
        """Ask the network once.

        Args:
            latents: ``[B, C, T, h, w]``.
            timestep: ``[B, T]`` or ``[B, 1]``, 0 to 1000.
            guide: text, and picture where the network sees one.
            seen: from :meth:`WindowCache.see`.
            keep: whether the layers' own keys and values are wanted.

        Returns:
            The flow ``[B, C, T, h, w]``, and every layer's own keys (un-rotated) and values if wanted.
        """
        network, patch = self.network, self.network.config.patch
        stacked = latents if guide.beside is None else torch.cat([latents, guide.beside], dim=1)
        if self.passes is not None and self.passes.takes(latents):
            made, own = self.passes.flow(stacked, timestep.expand(-1, latents.shape[2]), guide.cross, seen, keep)
            return made.to(latents.dtype), own
        stacked = stacked.to(network.patch_embedding.weight.dtype)
        grid = (latents.shape[2] // patch[0], latents.shape[3] // patch[1], latents.shape[4] // patch[2])
        time = network.embed_time(timestep)
        patches, own = network(network.patchify(stacked), time, seen.past, guide.cross, seen.rotation, keep)
        return network.unpatchify(patches, grid).to(latents.dtype), own

    def clean(self, latents: Tensor, timestep: Tensor, guide: Guide, seen: Seen) -> Tensor:
        """Estimate the clean latents behind noisy ones, ``[B, C, T, h, w]``."""
        return self.schedule.clean(self.flow(latents, timestep, guide, seen, keep=False)[0], latents, timestep)

    def sample(self, noise: Tensor, fresh: Fresh, guide: Guide, seen: Seen) -> Tensor:
        """Turn noise ``[B, C, T, h, w]`` into clean latents, step by step, with fresh noise between the steps."""
        noisy = clean = noise
        for step, timestep in enumerate(self.timesteps):
            at = self._everywhere(timestep, noise)
            if step:
                noisy = self.schedule.add_noise(clean, fresh(step), at)
            clean = self.clean(noisy, at, guide, seen)
        return clean

    def read(self, clean: Tensor, guide: Guide, seen: Seen, is_given: bool = False) -> Sequence[KeyValue]:
        """Read finished latents: every layer's keys (un-rotated) and values, as the latents to come see them."""
        # What is given is read at timestep 0, whatever the context noise: so were the published models used.
        timestep = 0.0 if is_given else self.context_noise
        return self.flow(clean, self._everywhere(timestep, clean), guide, seen)[1]

    def prepare(self, guide: Guide, seen: Seen) -> None:
        """Take in what the next chunk sees, 3 ms at full size, before anybody waits for it."""
        if self.passes is not None:
            self.passes.take_in(guide.cross, seen)

    def begin_with(self, given: Tensor, guide: Guide, cache: WindowCache, groups: Sequence[int]) -> None:
        """Put given latents, a picture's or an earlier video's, at a stream's beginning, grouped as it would be made.

        Raises ConditioningError when the groups do not add up to the latents given.
        """
        if sum(groups) != given.shape[2]:
            raise ConditioningError(f"{given.shape[2]} given latents cannot be read in groups of {list(groups)}")
        for latents in given.split(list(groups), dim=2):
            seen = cache.see(latents.shape[2], self.positions)
            cache.append(self.read(latents, guide, seen, is_given=True), latents.shape[2])

    def _everywhere(self, timestep: float, latents: Tensor) -> Tensor:
        return torch.full((len(latents), latents.shape[2]), timestep, device=latents.device)


def groups(latents: int, chunk: int, first_alone: bool) -> list[int]:
    """Group a number of latents as a stream makes them: chunks, after a first latent alone if so.

    Raises ConditioningError when they do not come out even.

    >>> groups(7, 3, first_alone=True), groups(6, 3, first_alone=False)
    ([1, 3, 3], [3, 3])
    """
    rest = latents - first_alone
    if rest < 0 or rest % chunk:
        wanted = f"1 + a multiple of {chunk}" if first_alone else f"a multiple of {chunk}"
        raise ConditioningError(f"{latents} latents cannot be made in chunks of {chunk}: give {wanted}")
    return [1] * first_alone + [chunk] * (rest // chunk)


def draw(seed: int, latents: Sequence[int], step: int, like: tuple[tuple[int, int], torch.device]) -> Tensor:
    """Give the noise of a step for these latents, ``float32 [1, C, T, h, w]``; ``like`` is (h, w) and a device.

    The host draws it, 2 ms for three latents at 480x832, and does not wait for what the device is at.
    """
    size, device = like
    drawn = torch.cat([noise(seed, latent, step, (1, LATENT_CHANNELS, 1, *size)) for latent in latents], dim=2)
    return (drawn.pin_memory() if device.type == "cuda" else drawn).to(device, non_blocking=True)
