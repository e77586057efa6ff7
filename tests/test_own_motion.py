"""Tests of motion of its own: seeds differ, rest stays rest, the mean strength stays, and nothing is kept that can't be
gone back over."""

import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.pocket import own_motion
from pipeline.pocket.camera import soften
from pipeline.pocket.chance import Chance, chance
from pipeline.pocket.decoder import calm
from pipeline.pocket.intents import CAMERAS, NAMED, Asked
from pipeline.pocket.latents import CAMERA, DISPLACEMENT, FLOW, GAIN, GRID, WEATHER, camera_field, fit_camera
from pipeline.pocket.own_motion import CALM_PUSH, HAND, LEAD, PUSH, Asking, told
from pipeline.pocket.showing import Showing
from pipeline.schedule import noise
from tests.pocket_parts import conditioning, pipeline
from tests.pocket_parts import made_once as made_once

SEEDS = range(20)


def asked(camera: str = "none", *effects: str, speed: float = 1.0) -> Asked:
    present = torch.tensor([[name in effects for name in NAMED]])
    ones = torch.ones(1, len(NAMED))
    return Asked(torch.tensor([CAMERAS.index(camera)]), torch.ones(1), present, ones.long(), ones, speed * ones)


def settled(camera: str = "none", *effects: str, speed: float = 1.0) -> Asking:
    """What has been asked for some seconds."""
    asking = Asking()
    for _ in range(30):
        asking = asking.after(asked(camera, *effects, speed=speed))
    return asking


@cache
def drawn(seed: int, latent: int = 9) -> Chance:
    return chance(noise, seed, latent)


def moved(latents: list[Tensor], asking: Asking, chances: Chance, share: float) -> Tensor:
    """What is shown of a latent of a picture without layers."""
    row = told(asking, chances, share)
    return own_motion.moved(torch.stack(latents), chances.fields, torch.zeros(5, *GRID), row)


def swing(pace: float, latent: float, size: float = 0.5) -> Tensor:
    """A latent ``[12, h, w]`` whose whole displacement swings."""
    out = torch.zeros(12, *GRID)
    x = torch.linspace(-1, 1, GRID[1])
    out[DISPLACEMENT.start] = size * torch.cos(latent * pace + 4 * x)
    return out


def shown(seed: int, latent: int, asking: Asking, share: float = 1.0, size: float = 0.5, index: int = 0) -> Tensor:
    """What is seen of a swing of a kind at a latent."""
    pace = asking.paces[index]
    latents = [swing(pace, latent - age, size) for age in range(3)]
    return calm(moved(latents, asking, drawn(seed, latent), share))


@pytest.mark.parametrize(("name", "index"), [("sway", 0), ("ripple", 1), ("breathe", 2)])
def test_seeds_swing_otherwise_at_the_same_mean_strength(name: str, index: int) -> None:
    """Over seeds and time a swing is as large as the transformer's, and no two seeds' are alike."""
    asking = settled("none", name)
    made = torch.stack([
        torch.stack([shown(seed, n, asking, index=index)[DISPLACEMENT] for n in range(0, 24, 4)]) for seed in SEEDS
    ])  # fmt: skip
    plain = torch.stack([calm(swing(asking.paces[index], n))[DISPLACEMENT] for n in range(0, 24, 4)])
    assert float(made.square().mean().sqrt() / plain.square().mean().sqrt()) == pytest.approx(1, abs=0.12)
    each = made[:, :, 0].flatten(1)
    alike = torch.corrcoef(each)[~torch.eye(len(each), dtype=torch.bool)]
    assert alike.mean().abs() < 0.1
    assert alike.max() < 0.999
    assert made.abs().max() < 0.5 * 2.6


def test_a_swing_keeps_its_pace() -> None:
    """The turned half is found at any pace: under a gain of a quarter turn, a cosine becomes a sine."""
    for speed in (0.5, 1.0, 1.6):
        asking = settled("none", "sway", speed=speed)
        half = replace(drawn(1), fields=torch.zeros(8, *GRID), side=0, beginning=1j, breath=0j)
        asking = replace(asking, swings=(0.0, 0.0, 1.0), say=(1.0, 1.0, 1.0), paces=(asking.paces[0],) * 3)
        latents = [swing(asking.paces[0], 5 - age) for age in range(3)]
        turned = calm(moved(latents, asking, half, 1.0))[DISPLACEMENT.start]
        x = torch.linspace(-1, 1, GRID[1])
        wanted = torch.sin(5 * asking.paces[0] + 4 * x).expand(GRID)
        assert float(torch.corrcoef(torch.stack([turned.flatten(), -wanted.flatten()]))[0, 1]) > 0.99


def test_rest_stays_rest_to_the_bit() -> None:
    """What is within the dead zone, and a camera that no hand holds, are shown as they were."""
    rest = 0.9 * torch.full((12, *GRID), 0.012)
    rest[CAMERA] = camera_field(torch.tensor([[0.5, -0.2, 0.1, 0.0]]))[0]
    for seed in SEEDS:
        made = moved([rest, rest, rest], settled("pan_left"), drawn(seed), 1.0)
        assert torch.equal(calm(made), calm(rest))
        assert torch.equal(made[CAMERA], rest[CAMERA])


def test_flow_light_and_weather_keep_their_mean() -> None:
    """A wind blows either way with eddies, light flickers by percents, weather comes in patches; none is lost."""
    latent = torch.zeros(12, *GRID)
    latent[FLOW.start], latent[GAIN], latent[WEATHER.start] = 0.9, -0.8, 0.7
    plain, asking = calm(latent), settled("none", "clouds", "night", "rain")
    made = torch.stack([calm(moved([latent] * 3, asking, drawn(seed), 1.0)) for seed in SEEDS])
    speed = made[:, FLOW].norm(dim=1)
    assert float(speed.square().mean().sqrt()) == pytest.approx(float(plain[FLOW.start].mean()), rel=0.1)
    sides = made[:, FLOW.start].mean((1, 2)).sign()
    assert sides.min() == -1
    assert sides.max() == 1
    for part, most in ((GAIN, 0.2), (slice(9, 10), 0.7)):
        ratio = made[:, part] / plain[part]
        assert float(ratio.mean()) == pytest.approx(1, abs=0.05)
        assert 0.01 < float((ratio - 1).abs().max()) < most
    assert not made[:, 10:].any()


def test_a_hand_holds_the_camera_that_drifts_and_no_other() -> None:
    """It comes with the drift, comes slowly closer, goes elsewhere by seed, and goes with the next move."""
    latent = torch.zeros(12, *GRID)
    ways = [fit_camera(moved([latent] * 3, settled("drift"), drawn(s), 1.0)[None, CAMERA])[0] for s in SEEDS]
    way = torch.stack(ways)
    assert 0.05 < float(way[:, 0].std()) < 0.2
    assert 0.05 < float(way[:, 1].std()) < 0.2
    assert [soften(z) for z in way[:, 2].tolist()] == pytest.approx([PUSH] * len(SEEDS), abs=1e-3)
    chances = drawn(1)
    (right, down, clockwise), side = chances.hand, chances.beginning
    meant = [HAND[0] * right + LEAD[0] * side.real, HAND[1] * down + LEAD[1] * side.imag, HAND[2] * clockwise]
    assert [soften(float(way[1, axis])) for axis in (0, 1, 3)] == pytest.approx(meant, abs=1e-3)
    asking = settled("drift")
    assert asking.hand == pytest.approx(1, abs=1e-3)
    for _ in range(10):
        asking = asking.after(asked("pan_left"))
    assert asking.hand == 0


@pytest.mark.usefixtures("made_once")
@pytest.mark.parametrize(("speed", "push"), [(1.0, PUSH), (0.5, CALM_PUSH)])
def test_a_hand_comes_closer_more_slowly_where_it_is_to_be_slow(speed: float, push: float) -> None:
    """As fast as the meaning of the prompt says, whatever is shown besides."""
    state = pipeline(variety=1.0).open(conditioning("x"))
    here = replace(state.now, asking=settled("drift"))
    meaning = replace(asked("drift"), camera_speed=torch.tensor([speed]))
    latent = Showing(noise, 1.0, torch.device("cpu")).of(state, [torch.zeros(1, 12, 1, *GRID)], here, meaning)
    assert soften(float(fit_camera(latent[None, CAMERA])[0, 2])) == pytest.approx(push, abs=2e-3)


def test_a_share_of_chance_is_between_none_and_all() -> None:
    """The less there is of it the more seeds are alike; the strength stays."""
    asking, alike, sizes = settled("none", "sway"), [], []
    for share in (0.05, 0.5, 1.0):
        made = torch.stack([shown(seed, 9, asking, share)[DISPLACEMENT.start] for seed in SEEDS])
        alike.append(float(torch.corrcoef(made.flatten(1)).mean()))
        sizes.append(float(made.square().mean().sqrt()))
    assert alike[0] > 0.95 > alike[1] > 0.4 > 0.25 > alike[2]
    assert max(sizes) / min(sizes) < 1.2


def test_what_swings_is_remembered_until_another_swing_is_asked_for() -> None:
    """A prompt that names no swing leaves the pace in which the last one fades; the next one takes over smoothly."""
    asking = settled("none", "ripple", speed=1.6)
    after = asking.after(asked("still"))
    assert (after.swings, after.paces) == (asking.swings, asking.paces)
    assert 0.8 < after.say[1] < asking.say[1]
    after = asking.after(asked("none", "sway"))
    assert 0.3 < after.swings[0] < 0.5
    assert after.paces[0] == pytest.approx(2 * math.pi * 0.45 / 4)
    assert asking.after(None) == asking


def test_a_swing_begins_at_once_and_chance_takes_over() -> None:
    """In its first quarter of a second it is nearly what the transformer says, under every seed."""
    asking = Asking().after(asked("none", "sway"))
    first = torch.stack([shown(seed, 9, asking)[DISPLACEMENT.start] for seed in SEEDS]).flatten(1)
    plain = calm(swing(asking.paces[0], 9))[DISPLACEMENT.start].flatten()
    assert torch.corrcoef(torch.cat([first, plain[None]]))[-1].min() > 0.8
    for _ in range(7):
        asking = asking.after(asked("none", "sway"))
    assert asking.say[0] > 0.8


def test_without_noise_nothing_lives() -> None:
    """All swing, flow and drift are carried by the noise."""
    silent = chance(lambda *key: 0 * noise(*key), 1, 3)
    latent = swing(0.7, 3)
    latent[FLOW.start] = 1
    made = calm(moved([latent] * 3, settled("drift", "sway"), silent, 1.0))
    assert made[DISPLACEMENT].abs().max() < 0.01
    assert not made[FLOW].any()
    assert made[CAMERA].abs().max() < 1e-3


@pytest.mark.usefixtures("made_once")
def test_a_pipeline_shows_another_motion_under_another_seed_and_the_same_under_the_same() -> None:
    """Same seed, same bytes, in chunks of one latent or two, after going back too; without variety, today's frames."""

    def frames(seed: int, variety: float, latents: int = 1) -> list[np.ndarray]:
        model, asking = pipeline(latents, variety=variety), conditioning("leaves sway", seed=seed)
        state = model.open(asking)
        return [model.generate_chunk(state, asking).frames for _ in range(6 // latents)]

    one = frames(3, 1.0)
    assert np.array_equal(np.concatenate(one), np.concatenate(frames(3, 1.0, latents=2)))
    assert not np.array_equal(one, frames(4, 1.0))
    assert not np.array_equal(one, frames(3, 0.0))


@pytest.mark.usefixtures("made_once")
def test_going_back_and_on_again_is_the_same() -> None:
    """What chance made is made again after going back, also from a saved stream, under the pace asked for then."""
    model, asking = pipeline(variety=1.0), conditioning("leaves sway")
    state = model.open(asking)
    made = [model.generate_chunk(state, asking).frames for _ in range(5)]
    saved = model.save(state)
    model.commit(state)
    model.truncate(state, 2)
    assert np.array_equal(made[2:], [model.generate_chunk(state, asking).frames for _ in range(3)])
    other = model.open(asking)
    model.restore(other, saved)
    assert other.now.asking == state.now.asking
    assert np.array_equal(model.generate_chunk(other, asking).frames, model.generate_chunk(state, asking).frames)


@pytest.mark.usefixtures("made_once")
def test_a_cut_knows_nothing_of_what_swung_before() -> None:
    """After a prompt that comes in by a cut, frames are the same whatever was asked for before it."""

    def after(prompt: str) -> list[np.ndarray]:
        model, cut = pipeline(variety=1.0), replace(conditioning("pan right"), policy="cut")
        state = model.open(conditioning(prompt))
        for _ in range(3):
            model.generate_chunk(state, conditioning(prompt))
        return [model.generate_chunk(state, cut).frames for _ in range(2)]

    assert np.array_equal(after("leaves sway"), after("water"))
