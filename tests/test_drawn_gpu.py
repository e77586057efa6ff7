"""Drawn effects on a GPU: the same code as on the CPU, on another device."""

from functools import cache

import numpy as np
import pytest
import torch

from pipeline.pocket.canvas import Canvas
from pipeline.pocket.decoder import AnchoredDecoder, Motion
from pipeline.pocket.drawn.drawing import Wish
from pipeline.pocket.gpu_decoder import GpuDecoder
from pipeline.pocket.latents import CHANNELS, GRID, camera_field
from pipeline.pocket.names import DEFAULT_REGION, DRAWN
from tests.elsewhere import elsewhere
from tests.test_drawn import VIEW, canvas
from tests.test_gpu_decoder import on

WISHES = {name: Wish(1.0, DEFAULT_REGION[name]) for name in DRAWN}
PLACED = {"smoke": Wish(1.0, "subject"), "heat": Wish(1.0, "ground"), "leaves": Wish(1.5, "left"), "fire": Wish()}


@torch.inference_mode()
def played(decoder: AnchoredDecoder | GpuDecoder, seen: Canvas, wishes: dict[str, Wish]) -> np.ndarray:
    """Five latents of a pan, of which the last two are shown."""
    device = seen.texture.device
    motion, latent = Motion.at_rest(device), torch.zeros(CHANNELS, *GRID)
    latent[:2] = camera_field(torch.tensor([[1.0, 0.0, 0.2, 0.0]]))[0]
    shown: list[np.ndarray] = []
    for _ in range(5):
        frames, motion = decoder.decode(motion.wishing(wishes, 3), latent.to(device), seen, 2)
        shown.append(frames.cpu().numpy().copy())
    return np.concatenate(shown[-2:]).astype(int)


@cache
def on_cpu(name: str) -> np.ndarray:
    return played(AnchoredDecoder(view=VIEW), canvas(), of(name))


def of(name: str) -> dict[str, Wish]:
    return {"all": WISHES, "placed": PLACED}.get(name) or {name: WISHES[name]}


@pytest.mark.parametrize("name", ["all", "placed", "dolly"])
def test_the_gpu_decoder_draws_what_the_cpu_does(name: str) -> None:
    """Its arithmetic, on the CPU: the same but for rounding, which moves few pixels by more than a level."""
    decoder = GpuDecoder(VIEW, 2, torch.device("cpu"))
    apart = np.abs(played(decoder, canvas(), of(name)) - on_cpu(name))
    assert np.quantile(apart, 0.99) <= 2
    assert apart.mean() < 0.2


def test_nothing_that_is_drawn_is_left_on_the_host() -> None:
    """On a device of its own no tensor meets one of the host's, and the frames are the same."""
    with elsewhere() as device:
        decoder = GpuDecoder(VIEW, 2, device)
        there = played(decoder, on(canvas(), device), WISHES)
    apart = np.abs(there - on_cpu("all"))
    assert np.quantile(apart, 0.99) <= 2


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["all", "placed", *DRAWN])
def test_a_gpu_draws_as_the_cpu_does(name: str) -> None:
    """Over recorded frames, each alone and all together; and the same once more."""
    device = torch.device("cuda")
    decoder = GpuDecoder(VIEW, 2, device)
    seen = on(canvas(), device)
    made = played(decoder, seen, of(name))
    apart = np.abs(made - on_cpu(name))
    assert np.quantile(apart, 0.99) <= 2
    assert apart.mean() < 0.2
    assert np.array_equal(made, played(decoder, seen, of(name)))
