"""Rain that wets, on the small scene of the drawn effects."""

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from pipeline.pocket.decoder import AnchoredDecoder, Motion
from pipeline.pocket.drawn import wet as wet_module
from pipeline.pocket.drawn.shot import COARSE, Shot
from pipeline.pocket.drawn.wet import puddles, wetted
from pipeline.pocket.drawn.wetness import DRIES_S, WETS_S, Wetness
from pipeline.pocket.gpu_decoder import GpuDecoder
from pipeline.pocket.latents import CHANNELS, GRID, LATENTS_PER_SECOND, WEATHER, camera_field
from pipeline.pocket.layers import REST, SKY, SUBJECT, WATER
from pipeline.pocket.pose import Pose
from tests.elsewhere import elsewhere
from tests.test_drawn import LARGE, VIEW, canvas, decoder
from tests.test_gpu_decoder import on


def latent(rain: float, pan: float = 0.0) -> torch.Tensor:
    z = torch.zeros(CHANNELS, *GRID)
    z[WEATHER.start] = rain
    z[:2] = camera_field(torch.tensor([[pan, 0.0, 0.0, 0.0]]))[0] if pan else z[:2]
    return z


def share(kind: int) -> np.ndarray:
    (rows, columns), layers = LARGE.room, canvas(LARGE).layers
    assert layers is not None
    return layers.shares[0, kind, rows : rows + LARGE.height, columns : columns + LARGE.width].numpy()


@torch.inference_mode()
def change(wet: Wetness, time_s: float = 3.0) -> np.ndarray:
    """What wetness adds to the scene, ``[3, H, W]``."""
    image, seen = canvas(LARGE).rest.permute(2, 0, 1).float(), canvas(LARGE)
    assert seen.marks is not None
    return (wetted(image.clone(), Shot(LARGE, Pose(), seen, seen.marks, 1), wet, time_s) - image).numpy()


def test_ground_is_wet_after_ten_seconds_of_rain_and_dry_after_twenty_without() -> None:
    """Evenly and without a jump; light rain wets it less, and one that is stronger than whole no more."""
    wet, seen = Wetness(), list[float]()
    for step in range(round((WETS_S + DRIES_S) * LATENTS_PER_SECOND)):
        wet = wet.after(1.4 if step < WETS_S * LATENTS_PER_SECOND else 0.0)
        seen.append(wet.ground)
    assert max(seen) == seen[round(WETS_S * LATENTS_PER_SECOND) - 1] == pytest.approx(1)
    assert seen[-1] == pytest.approx(0, abs=1e-9)
    assert np.abs(np.diff(seen)).max() < 0.03
    for _ in range(100):
        wet = wet.after(0.3)
    assert wet.rain == wet.ground == pytest.approx(0.3)


def test_what_is_left_out_could_not_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """So little rain and wetness are not drawn, and would change no colour by more than half a grey level."""
    least = Wetness(wet_module.LEAST_RAIN, wet_module.LEAST_GROUND)
    assert not least.is_seen
    assert not change(least).any()
    for name in ("LEAST_RAIN", "LEAST_GROUND"):
        monkeypatch.setattr(wet_module, name, 0.0)
    assert 0 < np.abs(change(least)).max() <= 0.5


def test_wet_ground_is_darker_and_nothing_else_is() -> None:
    """Ground and no sky, nobody before it, no water; the wetter the more."""
    damp, wet = (change(Wetness(0.0, ground)) for ground in (0.5, 1.0))
    ground = (share(REST) > 0.99) & (np.arange(LARGE.height)[:, None] > LARGE.height // 2)
    assert wet.mean(0)[ground].mean() < damp.mean(0)[ground].mean() < -2
    for kind in (SKY, SUBJECT, WATER):
        # But for the pixels within which it ends.
        assert np.abs(wet[:, cv2.erode((share(kind) > 0.999).astype(np.uint8), np.ones((9, 9))) > 0]).max() < 0.1


def test_drops_leave_rings_on_water_alone_while_it_rains() -> None:
    """Light and dark, elsewhere a second later; none when the rain is over."""
    early, late = (change(Wetness(1.0, 0.0), second) for second in (3.0, 4.1))
    water = share(WATER) > 0.99
    assert early[:, water].max() > 8
    assert early[:, water].min() < -3
    assert np.abs(early - late)[:, water].max() > 8
    assert np.abs(early[:, share(WATER) < 0.001]).max() < 0.1
    assert np.abs(change(Wetness(0.0, 0.0))).max() == 0


def test_puddles_stay_where_they_are_when_the_camera_moves() -> None:
    """From beside it a place of the picture is as deep under water, and there is more of it the wetter it is."""
    seen = canvas(LARGE)
    assert seen.marks is not None
    views = [Shot(LARGE, Pose(x=x / LARGE.scale), seen, seen.marks, seed) for x, seed in ((0.0, 1), (20.0, 2))]
    here, beside = (puddles(shot, *shot.places(COARSE), 1.0) for shot in views)
    assert torch.allclose(here[:, 5:], beside[:, :-5], atol=1e-3)
    assert 0.1 < float(here[-20:].mean()) < 0.7
    damp = puddles(views[0], *views[0].places(COARSE), 0.3)
    assert float(damp.mean()) < 0.5 * float(here.mean())


@torch.inference_mode()
def test_after_the_rain_the_picture_comes_back_to_the_bit() -> None:
    """It is wet for long after, and then it is the picture."""
    motion, frames = Motion.at_rest(), torch.empty(0)
    rest = canvas().rest
    for step in range(8 + 12):
        frames, motion = decoder().decode(motion, latent(float(step < 8)), canvas(), 1)
    assert motion.wet.ground > 0.02
    assert not torch.equal(frames[0], rest)
    for _ in range(8):
        frames, motion = decoder().decode(motion, latent(0.0), canvas(), 1)
    assert motion.wet == Wetness()
    assert torch.equal(frames[0], rest)


@torch.inference_mode()
def played(made_by: AnchoredDecoder | GpuDecoder, device: torch.device) -> np.ndarray:
    """Rain and a pan over ground that has been rained on."""
    seen, motion = on(canvas(), device), replace(Motion.at_rest(device), wet=Wetness(1.0, 0.9))
    shown: list[np.ndarray] = []
    for _ in range(3):
        frames, motion = made_by.decode(motion, latent(0.7, pan=1.0).to(device), seen, 2)
        shown.append(frames.cpu().numpy().astype(int))
    assert motion.wet.rain == pytest.approx(0.675, abs=1e-3)
    return np.concatenate(shown)


Played = Callable[[AnchoredDecoder | GpuDecoder, torch.device], np.ndarray]


def of_gpu_decoder(play: Played) -> None:
    """The GPU's arithmetic gives the CPU's frames on the CPU, and where no tensor meets one of the host's."""
    plain, cpu = play(decoder(), torch.device("cpu")), torch.device("cpu")
    apart = np.abs(play(GpuDecoder(VIEW, 2, cpu), cpu) - plain)
    assert np.quantile(apart, 0.99) <= 2
    assert apart.mean() < 0.2
    with elsewhere() as device:
        there = play(GpuDecoder(VIEW, 2, device), device)
    assert np.quantile(np.abs(there - plain), 0.99) <= 2


def of_gpu(play: Played) -> None:
    """Over recorded frames."""
    device = torch.device("cuda")
    apart = np.abs(play(GpuDecoder(VIEW, 2, device), device) - play(decoder(), torch.device("cpu")))
    assert np.quantile(apart, 0.99) <= 2
    assert apart.mean() < 0.2


def test_the_gpu_decoder_wets_as_the_cpu_does() -> None:
    """On the CPU, and on a device of its own."""
    of_gpu_decoder(played)


@pytest.mark.gpu
def test_a_gpu_wets_as_the_cpu_does() -> None:
    """Over recorded frames."""
    of_gpu(played)
