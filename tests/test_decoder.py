import itertools
from functools import cache

import numpy as np
import pytest
import torch

from pipeline.pocket.canvas import Canvas, prepare
from pipeline.pocket.decoder import DEAD_ZONES, AnchoredDecoder, Motion, between, calm
from pipeline.pocket.latents import CHANNELS, DISPLACEMENT, FLOW, GAIN, GRID, WEATHER, camera_field
from pipeline.pocket.view import NOMINAL, View
from pipeline.pocket.weather import LEAST_WEATHER, Weather, rain_shifts
from tests.pocket_parts import picture

SMALL, LARGE = View(208, 120), View(416, 240)


@cache
def whole(view: View = LARGE) -> Canvas:
    """The picture's canvas, made once, and not where tests are only collected."""
    return prepare(picture(), view.width, view.height)


@cache
def decoder(view: View = LARGE) -> AnchoredDecoder:
    return AnchoredDecoder(view=view)


def latent(**values: float) -> torch.Tensor:
    out = torch.zeros(CHANNELS, *GRID)
    if "pan" in values:
        out[:2] = camera_field(torch.tensor([[values["pan"], 0.0, 0.0, 0.0]]))[0]
    for name, channels in (("swing", DISPLACEMENT), ("flow", FLOW), ("gain", GAIN)):
        out[channels] = values.get(name, 0.0)
    for index, name in enumerate(("rain", "snow", "fog")):
        out[WEATHER.start + index] = values.get(name, 0.0)
    return out


def play(z: torch.Tensor, latents: int, frames: int = 4, view: View = LARGE) -> np.ndarray:
    motion, out = Motion.at_rest(), []
    for _ in range(latents):
        made, motion = decoder(view).decode(motion, z, whole(view), frames)
        out.append(made.numpy())
    return np.concatenate(out)


def test_rest_is_the_picture_for_ever() -> None:
    """Zero latents, and latents inside the dead zone, show the picture itself, bit for bit."""
    for z in (latent(), torch.full((CHANNELS, *GRID), 0.01)):
        assert all(np.array_equal(frame, whole(NOMINAL).rest.numpy()) for frame in play(z, 2, view=NOMINAL))


def test_weather_that_nobody_could_see_is_not_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A transformer that is asked for none still says a little of it, under which the picture is the picture."""
    least = next(zone for channels, zone in DEAD_ZONES if channels == WEATHER) + 0.99 * LEAST_WEATHER
    monkeypatch.setattr(Weather, "over", lambda *_: pytest.fail("weather was laid over a frame"))
    assert all(np.array_equal(frame, whole().rest.numpy()) for frame in play(latent(rain=least, fog=least), 2))


@cache
def dense() -> np.ndarray:
    """Three latents of a camera, a swing and snow, in twelve frames each."""
    return play(latent(pan=1.0, swing=0.8, snow=0.5), 3, 12)


@pytest.mark.parametrize("frames", [2, 3, 6])
def test_the_frame_rate_does_not_change_the_motion(frames: int) -> None:
    """Frames that two rates have in common are the same, so motion keeps its speed when the rate falls."""
    other = play(latent(pan=1.0, swing=0.8, snow=0.5), 3, frames)
    assert np.array_equal(other, dense()[:: 12 // frames])


MOVES = {"pan": 1.0, "swing": 0.8, "gain": -0.4}


@cache
def at_size(size: View, frames: int, latents: int = 3) -> np.ndarray:
    """Latents of a camera, a swing and light, at any size and rate."""
    return play(latent(**MOVES), latents, frames, size)


@pytest.mark.parametrize(("fine", "coarse"), [(15, 5), (15, 3), (10, 5), (12, 4), (7, 1)])
def test_moments_that_two_rates_have_in_common_are_one_frame(fine: int, coarse: int) -> None:
    """Any number of frames of a latent shows the same motion: what is n frames of m is bit-equal."""
    assert np.array_equal(at_size(SMALL, fine)[:: fine // coarse], at_size(SMALL, coarse))


def test_rates_that_divide_nothing_agree_where_they_meet() -> None:
    """15 frames and 10 meet at every fifth of a latent."""
    assert np.array_equal(at_size(SMALL, 15)[::3], at_size(SMALL, 10)[::2])


def test_a_frame_of_twice_the_size_shows_the_same() -> None:
    """Twice as many pixels each way are the same picture, moved by the same share of it."""
    large = at_size(LARGE, 4).astype(float)
    halved = large.reshape(len(large), 120, 2, 208, 2, 3).mean((2, 4))
    assert np.abs(halved - at_size(SMALL, 4)).mean() < 0.6
    still = np.stack([halved[0]] * len(halved))
    assert np.abs(halved - still)[-1].mean() > 5


def test_weather_has_one_look_at_every_size() -> None:
    """Drops and banks are as many, as large and as fast as shares of the frame."""

    def shares(size: View) -> list[float]:
        weather = Weather(0, size)
        return [float(sheet.mean()) for sheet in (*weather.rain, weather.fog)]

    for small, nominal in zip(shares(View(416, 240)), shares(View(832, 480)), strict=True):
        assert small == pytest.approx(nominal, rel=0.5)
    assert rain_shifts(0.5, 2.0)[0][1] == pytest.approx(2 * rain_shifts(0.5, 1.0)[0][1], abs=1)


def test_a_pan_to_the_left_moves_the_picture_to_the_right() -> None:
    """Camera words mean the camera: what was on the left comes into view."""
    frames, motion = decoder().decode(Motion.at_rest(), latent(), whole(), 1)
    assert np.array_equal(frames[0].numpy(), whole().rest.numpy())
    for _ in range(8):
        frames, motion = decoder().decode(motion, latent(pan=-1.0), whole(), 4)
    made = frames[-1].numpy().astype(float)
    best = min(range(-40, 41, 2), key=lambda d: np.abs(np.roll(whole().rest.numpy().astype(float), d, 1) - made).mean())
    assert best > 10


def test_light_and_weather_do_what_they_say() -> None:
    """A negative gain darkens, fog takes contrast, rain and snow add something brighter that moves."""
    rest = whole().rest.numpy().astype(float)
    assert play(latent(gain=-0.7), 4)[-1].mean() < 0.6 * rest.mean()
    assert play(latent(fog=1.0), 4)[-1].std() < 0.6 * rest.std()
    for name in ("rain", "snow"):
        frames = play(latent(**{name: 1.0}), 4).astype(float)
        assert np.abs(frames[-1] - frames[-2]).mean() > 1.0


def test_flow_is_endless_without_a_jump() -> None:
    """Over several periods of the cross-fade no step between frames stands out."""
    frames = play(latent(flow=1.0), 24, frames=2).astype(np.int16)
    steps = [np.abs(b - a).mean() for a, b in itertools.pairwise(frames[8:])]
    assert max(steps) < 2.0 * float(np.median(steps))


def test_displacement_has_no_corners() -> None:
    """The path between latents is smooth: slopes on both sides of a boundary agree."""
    z = [torch.zeros(CHANNELS, *GRID) for _ in range(5)]
    for index, value in enumerate((0.0, 0.3, 0.8, 0.6, -0.2)):
        z[index][DISPLACEMENT] = value
    step = 1e-3
    before = between(torch.stack([z[2], z[1], z[0]]), z[3], 1 - step)[DISPLACEMENT]
    at = z[3][DISPLACEMENT]
    after = between(torch.stack([z[3], z[2], z[1]]), z[4], step)[DISPLACEMENT]
    torch.testing.assert_close((at - before) / step, (after - at) / step, atol=0.02, rtol=0)


def test_calm_is_continuous_and_keeps_the_sign() -> None:
    """The dead zone shortens, it does not cut: near its edge nothing jumps."""
    z = torch.zeros(CHANNELS, *GRID)
    z[GAIN] = torch.linspace(-0.05, 0.05, z[GAIN].numel()).view_as(z[GAIN])
    out = calm(z)[GAIN].flatten()
    assert (out[1:] - out[:-1]).abs().max() < 1e-4
    assert out.min() < 0 < out.max()


def test_decoding_leaves_its_inputs_alone() -> None:
    """The state before is still good to go back to, and the canvas is not painted on."""
    motion, z = Motion.at_rest(), latent(pan=1.0, flow=1.0, gain=-0.3, rain=1.0)
    texture = whole().texture.clone()
    first, _ = decoder().decode(motion, z, whole(), 4)
    again, _ = decoder().decode(motion, z, whole(), 4)
    assert torch.equal(first, again)
    assert torch.equal(texture, whole().texture)
