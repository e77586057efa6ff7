"""What the decoder is shown of a latent: with motion of its own, and with light that takes its time.

On a GPU both are recorded as one CUDA graph: they are some two hundred operations on small fields, and a host that
begins them one by one takes longer than the fields do.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from pipeline.pocket import arrival, own_motion
from pipeline.pocket.chance import FIELDS, Draws, Noise
from pipeline.pocket.intents import Asked
from pipeline.pocket.latents import GRID, WEATHER
from pipeline.pocket.own_motion import PAST
from pipeline.pocket.reach import bordered
from pipeline.recorded import Recorded, may_record
from pipeline.state import Boundary, StreamState


class Showing:
    """Latents as they are shown; holds no stream's state."""

    def __init__(self, noise: Noise, variety: float, device: torch.device) -> None:
        self._draws, self._variety, self._device = Draws(noise, device), variety, device
        self._still = torch.zeros(FIELDS, *GRID, device=device)
        self._no_layers = torch.zeros(5, *GRID, device=device)
        self._recorded: Recorded[Tensor] | None = None

    def of(self, state: StreamState, made: Sequence[Tensor], here: Boundary, asked: Asked | None) -> Tensor:
        """Give what is shown of the latent after ``here``, ``float32 [12, h, w]``, which holds until the next call.

        Args:
            state: the stream at the chunk's beginning.
            made: all latents ``[1, 12, 1, h, w]`` that the chunk has so far, this one last.
            here: where it begins, aimed at what was asked for.
            asked: the prompt's meaning, on the host.
        """
        known = [*list(state.known)[-PAST:], *made][-1 - min(PAST, here.latents - here.rested) :]
        latents = [latent[0, :, 0] for latent in reversed(known)]
        latents += [torch.zeros_like(latents[0])] * (1 + PAST - len(latents))
        is_calm = asked is not None and float(asked.camera_speed[0]) < 1
        fields, own = self._chance(state.seed, here, is_calm)
        row = torch.cat([own, arrival.told(here.motion.drawing, asked, state.canvas)])
        coarse = state.canvas.layers.coarse if state.canvas.layers else self._no_layers
        inputs = torch.stack(latents), fields, coarse, here.motion.recent, row.to(self._device, non_blocking=True)
        if not may_record(self._device):
            return self._shown(*inputs)
        if self._recorded is None:
            self._recorded = Recorded(self._shown, inputs)
        return self._recorded(*inputs)

    def draw_ahead(self, seed: int, latent: int) -> None:
        """Draw chance of a latent to come, which costs nothing while a GPU renders."""
        if self._variety:
            self._draws.of(seed, latent)

    def _chance(self, seed: int, here: Boundary, is_calm: bool) -> tuple[Tensor, Tensor]:
        """Chance's fields on the device, and the numbers of the motion that it makes."""
        if not self._variety:
            return self._still, torch.zeros(sum(own_motion.SIZES))
        chances = self._draws.of(seed, here.latents)
        return chances.fields, own_motion.told(here.asking, chances, self._variety, is_calm)

    def _shown(self, latents: Tensor, fields: Tensor, coarse: Tensor, recent: Tensor, row: Tensor) -> Tensor:
        own, light = row.split((sum(own_motion.SIZES), sum(arrival.SIZES)))
        newest = latents[:1].clone()
        newest[0, WEATHER] = bordered(newest[0, WEATHER])
        latents = torch.cat([newest, latents[1:]])
        latent = own_motion.moved(latents, fields, coarse, own) if self._variety else latents[0]
        return arrival.arrived(latent, recent, coarse, light)
