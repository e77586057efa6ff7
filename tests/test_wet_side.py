"""Rain on one side wets that side, on the small scene of the drawn effects."""

from dataclasses import replace
from typing import cast

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.pocket.decoder import AnchoredDecoder, Motion
from pipeline.pocket.drawn.shot import Shot
from pipeline.pocket.drawn.wet import wetted
from pipeline.pocket.drawn.wetness import DRIES, DRIES_S, LEAST_GROUND, WETS, WETS_S, Fall, Patches, Wetness, fallen
from pipeline.pocket.gpu_decoder import GpuDecoder
from pipeline.pocket.latents import GRID, LATENTS_PER_SECOND, WEATHER, screen_grid
from pipeline.pocket.pose import REST, Pose
from pipeline.pocket.reach import bordered
from pipeline.pocket.view import NOMINAL, View
from tests.pocket_parts import made_once as made_once
from tests.test_drawn import LARGE, VIEW, canvas, decoder
from tests.test_drawn_live import UNDER, chunks, frames, made
from tests.test_gpu_decoder import on
from tests.test_wet import latent, of_gpu, of_gpu_decoder

WETTING, DRYING = round(WETS_S * LATENTS_PER_SECOND), round(DRIES_S * LATENTS_PER_SECOND)
# Cells of the grid on which it rains, and on which it does not.
LEFT, RIGHT = slice(0, 17), slice(39, 56)
SHAPES = (LARGE, View(240, 416), View(320, 320))


def sided(rain: float = 1.2, pan: float = 0.0, side: int = -1) -> Tensor:
    """Rain on a side as the decoder is shown it."""
    z = latent(rain, pan)
    z[WEATHER] *= torch.sigmoid(side * 12 * screen_grid()[0])
    z[WEATHER] = bordered(z[WEATHER])
    return z


def gusts(rain: float = 1.3, weakest: float = 0.42) -> Tensor:
    """Rain everywhere, as a transformer says it."""
    z, (x, y) = latent(1.0), screen_grid()
    z[WEATHER.start] = rain * (weakest + (1 - weakest) * torch.sin(7 * x + 3 * y).square())
    return z


@torch.inference_mode()
def rained(motion: Motion, z: Tensor, latents: int, view: View = VIEW) -> Motion:
    """A state so many latents of the same later, of which no frame is wanted."""
    for _ in range(latents):
        motion = decoder(view).decode(motion, z, canvas(view), 1, first=1)[1]
    return motion


@torch.inference_mode()
def shown(motion: Motion, z: Tensor, count: int = 3, frames: int = 2, view: View = VIEW) -> tuple[np.ndarray, Motion]:
    made = list[np.ndarray]()
    for _ in range(count):
        some, motion = decoder(view).decode(motion, z, canvas(view), frames)
        made.append(some.numpy().copy())
    return np.concatenate(made), motion


def ground(motion: Motion) -> Tensor:
    wet = motion.wet
    return torch.full(GRID, wet.ground) if wet.patches is None else wet.patches.ground


@pytest.mark.parametrize("view", SHAPES)
@pytest.mark.parametrize("pan", [0.0, 1.0])
def test_rain_on_the_left_leaves_the_right_as_it_is_without_wetness(
    view: View, pan: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the last bit, under the same rain; ground and rings, in every shape, at rest and in a pan, in a live stream.

    What lies on the right is rained on nowhere, the whole of ten seconds.
    """
    z = sided(pan=pan)
    motion = rained(Motion.at_rest(), z, WETTING if not pan else 12, view)
    wet = shown(motion, z, view=view)[0]
    with monkeypatch.context() as without:
        without.setattr("pipeline.pocket.decoder.wetted", lambda image, *_: image)
        plain = shown(motion, z, view=view)[0]
    middle, apart = view.width // 2, np.abs(wet.astype(int) - plain)
    assert apart[:, :, round(1.3 * middle) :].max() == 0
    assert apart[:, :, : round(0.7 * middle)].max() > 20
    # Little by little: nowhere beside the border does one column differ much more than the next.
    across = apart[:, view.height // 2 :].mean((0, 1, 3))
    assert across[:middle].mean() > 20 * across[middle + round(0.2 * middle) :].mean()


@pytest.mark.parametrize("weakest", [0.42, 1.0])
def test_rain_everywhere_is_as_it_was(weakest: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bit for bit as if it were all alike, from its first drops to where the picture is dry again."""

    def take() -> tuple[np.ndarray, list[Wetness]]:
        motion, made, states = Motion.at_rest(), list[np.ndarray](), list[Wetness]()
        # Both come and go within a second, of which the dead zone takes its part.
        for rain in (0.08, 0.3, 0.8, *[1.3] * 12, 0.6, 0.2, 0.08, 0.05, *[0.0] * 12):
            some, motion = shown(motion, gusts(rain, weakest), 1)
            made.append(some)
            states.append(motion.wet)
        return np.concatenate(made), states

    now, states = take()
    assert all(wet.patches is None for wet in states)
    assert max(wet.ground for wet in states) > 0.3
    monkeypatch.setattr("pipeline.pocket.decoder.fallen", lambda *_: None)
    assert np.array_equal(now, take()[0])


def test_from_the_left_to_everywhere_the_right_is_wetted_in_ten_seconds() -> None:
    """And then all is alike again: two numbers."""
    motion = rained(Motion.at_rest(), sided(), WETTING)
    assert float(ground(motion)[:, LEFT].min()) == pytest.approx(1)
    assert float(ground(motion)[:, RIGHT].max()) == 0
    half = rained(motion, gusts(), WETTING // 2)
    assert ground(half)[:, RIGHT].numpy() == pytest.approx(0.5, abs=1e-5)
    assert float(ground(half)[:, LEFT].min()) == pytest.approx(1)
    whole = rained(half, gusts(), WETTING // 2)
    assert whole.wet[1:] == (pytest.approx(1), None)


def test_from_the_left_to_the_right_one_is_wetted_and_the_other_dries() -> None:
    """In the same times as ever, no cell by more than a step."""
    motion = rained(Motion.at_rest(), sided(), WETTING)
    for _ in range(WETTING):
        before, motion = ground(motion), rained(motion, sided(side=1), 1)
        steps = ground(motion) - before
        assert -DRIES - 1e-6 <= float(steps.min()) <= float(steps.max()) <= WETS + 1e-6
    assert ground(motion)[:, LEFT].numpy() == pytest.approx(0.5, abs=1e-5)
    assert ground(motion)[:, RIGHT].numpy() == pytest.approx(1, abs=1e-5)
    motion = rained(motion, sided(side=1), DRYING - WETTING)
    assert float(ground(motion)[:, LEFT].max()) == pytest.approx(0, abs=1e-5)


def test_when_it_stops_the_wet_side_dries_in_place() -> None:
    """It stays where it is, gets less, and at the end the picture is there to the bit."""
    motion = rained(Motion.at_rest(), sided(), WETTING)
    halfway = rained(motion, latent(0.0), DRYING // 2)
    assert ground(halfway)[:, LEFT].numpy() == pytest.approx(0.5, abs=1e-5)
    assert float(ground(halfway)[:, RIGHT].max()) == 0
    assert halfway.wet.rain == 0
    some = shown(halfway, latent(0.0), 1)[0].astype(int)
    apart = np.abs(some - canvas().rest.numpy())
    assert apart[:, :, : VIEW.width // 3].max() > 5
    assert apart[:, :, -VIEW.width // 3 :].max() == 0
    over = rained(halfway, latent(0.0), DRYING // 2 + 1)
    assert over.wet == Wetness()
    assert np.array_equal(shown(over, latent(0.0), 1)[0][0], canvas().rest.numpy())


def test_a_border_of_wetness_is_softer_than_the_rain_and_where_it_is() -> None:
    """Within two cells of where half as much falls, a little at each; next to nothing where none falls."""
    rain, wet = sided()[WEATHER.start], ground(rained(Motion.at_rest(), sided(), WETTING))
    assert float(wet[rain == 0].max()) < 0.02
    middles = [int((plane[16] > plane[16, 0] / 2).sum()) for plane in (rain, wet)]
    assert abs(middles[1] - middles[0]) <= 2
    assert float((wet[:, 1:] - wet[:, :-1]).abs().max()) < 0.15


def test_what_is_wet_goes_along_with_the_picture() -> None:
    """From a camera that has gone a quarter to the right, rain on its left falls a quarter further right."""
    rain, view = sided()[WEATHER.start], NOMINAL
    bounds = float(rain.min()), float(rain.max())
    here = fallen(rain, bounds, REST, view)
    there = fallen(rain, bounds, Pose(x=view.extent[0] / 4), view)
    assert here is not None
    assert there is not None
    assert torch.allclose(there.share[:, 14:], here.share[:, :-14], atol=1e-5)
    assert torch.allclose(there.share[:, :14], here.share[:, :1].expand(-1, 14), atol=1e-5)
    # The way back from the picture to the screen is that of the places of a frame.
    pose = Pose(30.0, -12.0, 0.2, 0.1)
    share = cast(Fall, fallen(rain, bounds, pose, LARGE)).share
    seen = canvas(LARGE)
    assert seen.marks is not None
    shot = Shot(LARGE, pose, seen, seen.marks, 1)
    wet = shot.local(share[None, None], *shot.places(4))[0]
    assert float((wet[:, : wet.shape[1] // 3] - 1).abs().max()) < 0.05
    assert float(wet[:, -wet.shape[1] // 3 :].max()) < 0.05


def test_rings_are_where_it_rains_though_all_is_wet() -> None:
    """After rain everywhere, too light for the ground to stay as wet as it is: all dries alike, rings are left."""
    before = replace(Motion.at_rest(), wet=Wetness(1.0, 1.0))
    motion = rained(before, sided(0.4), 2)
    seen = canvas(LARGE)
    assert seen.marks is not None
    shot, image = Shot(LARGE, REST, seen, seen.marks, 1), seen.rest.permute(2, 0, 1).float()
    fields, still = sided(0.4)[WEATHER.start], motion.wet._replace(rain=0.0)
    one, other = (wetted(image.clone(), shot, wet, 3.0, fields) for wet in (motion.wet, still))
    rings = (one - other).abs().amax((0, 1))
    assert float(rings[: LARGE.width // 3].max()) > 2
    assert float(rings[-LARGE.width // 3 :].max()) == 0


def test_going_back_wets_the_same_and_paints_on_nothing() -> None:
    """A state that was kept leads to the same frames once more."""
    motion = rained(Motion.at_rest(), sided(), 8)
    kept = ground(motion).clone()
    first, again = (shown(motion, sided(side=1, pan=1.0), 4)[0] for _ in range(2))
    assert np.array_equal(first, again)
    assert torch.equal(ground(motion), kept)


def test_between_two_latents_each_place_goes_an_even_way() -> None:
    """From where all is alike to where it is not, and back."""
    alike, fall = Wetness(0.2, 0.5), Fall(torch.tensor([[1.0, 0.0]]), 0.0)
    sides = alike.after(1.0, fall)
    for one, other in ((alike, sides), (sides, alike)):
        rain, ground, patches = one.towards(other, 0.5)
        assert (rain, ground) == (pytest.approx(0.6), pytest.approx(0.5 + WETS / 2))
        assert patches is not None
        assert patches.ground.tolist() == [[pytest.approx(0.5 + WETS / 2), pytest.approx(0.5 - DRIES / 2)]]
        assert patches.least == pytest.approx(0.5 - DRIES / 2)


def test_two_rates_have_their_moments_in_common() -> None:
    """Two frames a latent are every third of six, bit for bit."""
    motion = rained(Motion.at_rest(), sided(), 8)
    dense = shown(motion, sided(side=1), 2, 6)[0]
    assert np.array_equal(shown(motion, sided(side=1), 2, 2)[0], dense[::3])


@pytest.mark.usefixtures("one_thread", "made_once")
def test_a_saved_stream_is_as_wet_at_each_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Saved when a side is wet and restored, the next frames have the same bytes, as does going back behind that."""
    monkeypatch.setattr("pipeline.pocket.aim.wishes_of", lambda asked: {})
    # Whatever the network says, the decoder is shown rain on the left.
    monkeypatch.setattr("pipeline.pocket.decoder.calm", lambda z: sided())
    pipeline, under = made(), UNDER
    state, again = pipeline.open(under), pipeline.open(under)
    seen = chunks(pipeline, state, 5)
    pipeline.restore(again, pipeline.save(state))
    wet, restored = state.now.motion.wet, again.now.motion.wet
    assert wet.ground > 2 * LEAST_GROUND
    assert isinstance(wet.patches, Patches)
    assert isinstance(restored.patches, Patches)
    assert torch.equal(restored.patches.ground, wet.patches.ground)
    assert restored[:2] == wet[:2]
    assert restored.patches.least == wet.patches.least
    went_on, other = (frames(chunks(pipeline, one, 2)) for one in (state, again))
    assert np.array_equal(went_on, other)
    for one in (state, again):
        pipeline.truncate(one, 2)
        assert np.array_equal(frames(chunks(pipeline, one, 2)), frames(seen[2:4]))


@torch.inference_mode()
def played(made_by: AnchoredDecoder | GpuDecoder, device: torch.device) -> np.ndarray:
    """Rain from one side to the other and a pan, over ground that is wet on the left, and over ground that is wet."""
    plane = torch.linspace(0.9, 0.0, GRID[1], device=device).expand(GRID).contiguous()
    seen, some = on(canvas(), device), list[np.ndarray]()
    for patches in (Patches(plane, 0.0), None):
        motion = replace(Motion.at_rest(device), wet=Wetness(1.0, 0.9, patches))
        for side in (-1, 1, 1):
            made_frames, motion = made_by.decode(motion, sided(0.9, pan=1.0, side=side).to(device), seen, 2)
            some.append(made_frames.cpu().numpy().astype(int))
        assert motion.wet.patches is not None
        assert motion.wet.patches.ground.device.type == device.type
    return np.concatenate(some)


def test_the_gpu_decoder_wets_the_side_as_the_cpu_does() -> None:
    """On the CPU, and on a device of its own."""
    of_gpu_decoder(played)


@pytest.mark.gpu
def test_a_gpu_wets_the_side_as_the_cpu_does() -> None:
    """Over recorded frames."""
    of_gpu(played)
