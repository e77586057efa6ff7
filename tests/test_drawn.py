"""Effects that are drawn by rule, on a small scene that has something for each of them."""

import itertools
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from pipeline.errors import PipelineError
from pipeline.pocket.canvas import Canvas, prepare
from pipeline.pocket.decoder import AnchoredDecoder, Motion
from pipeline.pocket.drawn import playing
from pipeline.pocket.drawn.draw import draw
from pipeline.pocket.drawn.drawing import Drawing, Drawn, Wish, wishes_of
from pipeline.pocket.drawn.light import aurora
from pipeline.pocket.drawn.marks import with_marks
from pipeline.pocket.drawn.shot import COARSE, Shot
from pipeline.pocket.drawn.water import afloat
from pipeline.pocket.intents import Asked
from pipeline.pocket.latents import CHANNELS, GRID, LATENTS_PER_SECOND, camera_field
from pipeline.pocket.layers import FOLIAGE, REST, SKY, SUBJECT, WATER, with_layers
from pipeline.pocket.names import CAMERAS, DEFAULT_REGION, DRAWN, NAMED, REGIONS
from pipeline.pocket.pose import REST as REST_POSE
from pipeline.pocket.pose import Pose
from pipeline.pocket.view import View
from pipeline.types import Pixels

VIEW, LARGE = View(208, 120), View(416, 240)
KINDS = {"sky": SKY, "water": WATER, "foliage": FOLIAGE, "subject": SUBJECT}


def scene() -> Pixels:
    """Dusk: a dark sky with stars, a lamp, a lake, somebody, a tree."""
    rng = np.random.default_rng(1)
    image = np.empty((240, 416, 3), np.float32)
    image[:110] = (28, 34, 62)
    image[110:170] = (96, 84, 60)
    image[170:] = (60, 84, 110)
    image += rng.normal(0, 1, (60, 104, 1)).repeat(4, 0).repeat(4, 1) * np.array((9, 9, 9), np.float32)
    for x, y in rng.integers((6, 6), (410, 80), (26, 2)):
        image[y : y + 2, x : x + 2] = 225
    image[130:150, 40:60] = (255, 190, 90)
    image[90:175, 200:240] = (170, 60, 90)
    image[60:150, 320:400] = (40, 90, 46)
    return np.clip(image, 0, 255).astype(np.uint8)


@cache
def canvas(view: View = VIEW) -> Canvas:
    """The scene with its layers and marks."""
    shares = torch.zeros(1, 5, 96, 168)
    shares[:, SKY, :44], shares[:, REST, 44:68], shares[:, WATER, 68:] = 1, 1, 1
    for kind, rows, columns in ((FOLIAGE, slice(24, 60), slice(129, 162)), (SUBJECT, slice(36, 70), slice(80, 97))):
        shares[:, :, rows, columns] = 0
        shares[:, kind, rows, columns] = 1
    return with_marks(with_layers(prepare(scene(), view.width, view.height), shares))


@cache
def decoder(view: View = VIEW) -> AnchoredDecoder:
    return AnchoredDecoder(view=view)


def one(name: str, strength: float = 1.0, region: str = "") -> dict[str, Wish]:
    return {name: Wish(strength, region or DEFAULT_REGION[name])}


@torch.inference_mode()
def played(
    wishes: dict[str, Wish], seconds: float = 1.25, frames: int = 2, seed: int = 1, motion: Motion | None = None,
    pan: float = 0.0, view: View = VIEW,
) -> tuple[np.ndarray, Motion]:  # fmt: skip
    """Frames under wishes, from rest or on from a state."""
    motion, made = motion or Motion.at_rest(), list[np.ndarray]()
    latent = torch.zeros(CHANNELS, *GRID)
    if pan:
        latent[:2] = camera_field(torch.tensor([[pan, 0.0, 0.0, 0.0]]))[0]
    for _ in range(round(seconds * LATENTS_PER_SECOND)):
        shown_frames, motion = decoder(view).decode(motion.wishing(wishes, seed), latent, canvas(view), frames)
        made.append(shown_frames.numpy().copy())
    return np.concatenate(made), motion


EVERYTHING = {name: Wish(1.0, DEFAULT_REGION[name]) for name in DRAWN}


def test_nothing_asked_for_is_the_picture_bit_for_bit() -> None:
    """Neither words without drawn effects nor marks change a frame."""
    frames, motion = played({})
    assert all(np.array_equal(frame, canvas().rest.numpy()) for frame in frames)
    assert motion.drawn.is_empty
    moved = played({}, pan=1.0)[0]
    unmarked = decoder().decode(Motion.at_rest(), _panned(), replace(canvas(), marks=None), 2)[0].numpy()
    assert np.array_equal(moved[:2], unmarked)


def _panned() -> torch.Tensor:
    latent = torch.zeros(CHANNELS, *GRID)
    latent[:2] = camera_field(torch.tensor([[1.0, 0.0, 0.0, 0.0]]))[0]
    return latent


@pytest.mark.parametrize("name", DRAWN)
def test_an_effect_comes_and_goes_within_a_second_and_a_half(name: str) -> None:
    """It begins at the picture itself, and after it is no longer asked for the picture is back, bit for bit."""
    rest = canvas().rest.numpy()
    frames, motion = played(one(name), frames=1)
    assert np.array_equal(frames[0], rest)
    frames, motion = played({}, 1.5, 1, motion=motion)
    assert np.array_equal(frames[-1], rest)
    assert motion.drawn.is_empty


@pytest.mark.parametrize("name", sorted(set(DRAWN) - {"shake", "leaves", "dust", "twinkle"}))
def test_an_effect_comes_and_goes_without_a_jump(name: str) -> None:
    """No step between frames while it comes or goes stands out from those while it is there."""
    there, motion = played(one(name), 2.5, 3)
    gone = played({}, 1.5, 3, motion=motion)[0]
    steps = [np.abs(a - b).mean() for a, b in itertools.pairwise(np.concatenate([there, gone]).astype(np.float32))]
    lived = max(steps[18:30])
    assert max(steps) < 2.0 * lived + 1.2


@pytest.mark.parametrize("pan", [0.0, 1.0])
def test_moments_that_two_rates_have_in_common_are_one_frame(pan: float) -> None:
    """All effects at once, at two, three and six frames a latent, are the same where they meet, bit for bit."""
    dense = played(EVERYTHING, 0.75, 6, pan=pan)[0]
    for frames in (2, 3):
        assert np.array_equal(played(EVERYTHING, 0.75, frames, pan=pan)[0], dense[:: 6 // frames])


def test_going_back_makes_the_same_frames() -> None:
    """A state that was kept leads to the same frames once more, and none of the inputs is painted on."""
    rest, texture = canvas().rest.clone(), canvas().texture.clone()
    _, motion = played(EVERYTHING, 0.5)
    first, again = (played(EVERYTHING, 0.5, motion=motion)[0] for _ in range(2))
    assert np.array_equal(first, again)
    assert torch.equal(rest, canvas().rest)
    assert torch.equal(texture, canvas().texture)


@pytest.mark.parametrize("name", sorted(set(DRAWN) - {"day", "hue", "dolly"}))
def test_another_seed_looks_otherwise(name: str) -> None:
    """What chance there is comes from the stream's seed."""
    assert not np.array_equal(played(one(name), 1.0, 1)[0], played(one(name), 1.0, 1, seed=2)[0])


@pytest.mark.parametrize("name", sorted(set(DRAWN) - {"shake", "dolly", "twinkle"}))
@pytest.mark.parametrize("region", ["sky", "subject"])
def test_nothing_changes_outside_of_a_layer(name: str, region: str) -> None:
    """Where a layer is named, what is surely not of it stays as it was, and something of it does not."""
    rows, columns = VIEW.room
    share = canvas().layers
    assert share is not None
    inside = share.shares[0, KINDS[region], rows : rows + VIEW.height, columns : columns + VIEW.width].numpy()
    frame = played(one(name, region=region), 2.0, 1)[0][-1].astype(int)
    change = np.abs(frame - canvas().rest.numpy()).max(-1)
    assert change[inside < 0.001].max() == 0
    if region == "sky" and name not in ("leaves", "dust", "fire", "stream", "waves"):
        assert change[inside > 0.9].max() > 3


@pytest.mark.parametrize("name", sorted(set(DRAWN) - {"hue", "day", "shake", "dolly"}))
def test_strength_matters(name: str) -> None:
    """A strong one changes more of the picture than a faint one."""
    rest = canvas().rest.numpy().astype(np.float32)
    faint, strong = (np.abs(played(one(name, size), 2.0, 1)[0][-4:] - rest).mean() for size in (0.5, 1.5))
    assert strong > 1.25 * faint


def test_a_dolly_zoom_is_seen_around_a_subject_that_fills_the_frame() -> None:
    """Its middle keeps its size; at the border something goes, or who asked for a dolly zoom would see nothing."""
    shares = torch.zeros(1, 5, 96, 168)
    shares[:, SUBJECT] = 1
    filled = with_marks(with_layers(prepare(scene(), VIEW.width, VIEW.height), shares))
    assert filled.marks is not None
    kept = filled.marks.kept[0, 0]
    assert kept[14:18, 26:30].min() > 0.9
    assert kept[:, 0].max() < 0.2
    change = np.abs(playing.played(filled, one("dolly"), [64])[64].astype(int) - filled.rest.numpy()).max(-1)
    assert change[:, :30].mean() > 4
    small = canvas().marks
    assert small is not None
    assert small.kept.max() > 0.95


def test_several_go_together() -> None:
    """Three at once are all there."""
    three = {"twinkle": slice(0, 48), "smoke": slice(60, 90), "waves": slice(90, 120)}
    wishes = {"twinkle": Wish(1.0, "sky"), "smoke": Wish(1.0, "ground"), "waves": Wish(1.0, "water")}
    together = played(wishes, 1.5)[0][-1].astype(int)
    for name, rows in three.items():
        without = played({other: wish for other, wish in wishes.items() if other != name}, 1.5)[0][-1]
        assert np.abs(together - without)[rows].max() > 8


def test_what_floats_goes_past_with_the_camera() -> None:
    """Motes are elsewhere on the screen after a pan than without one."""
    still, panned = (played(one("dust"), 1.5, pan=pan)[0][-1].astype(int) for pan in (0.0, 1.0))
    plain = played({}, 1.5, pan=1.0)[0][-1].astype(int)
    motes = [np.abs(a - b).max(-1) > 12 for a, b in ((still, canvas().rest.numpy()), (panned, plain))]
    assert motes[0].sum() > 30
    assert motes[1].sum() > 30
    assert (motes[0] & motes[1]).sum() < 0.6 * motes[0].sum()


def test_what_floats_streams_outwards_in_a_zoom_and_comes_round_unseen() -> None:
    """Every mote goes away from the middle, and at each depth all zooms leave as many to be seen."""
    rng, begin = np.random.default_rng(0), shot(canvas())
    x, y, depth = (rng.random((3, 4000)) - 0.5) * 800
    seen: list[float] = []
    for zoom in (0.0, 0.13, 0.3, 0.6):
        one, other = (replace(begin, pose=Pose(zoom=z)).floating(x, y, 0.5, depth % 1) for z in (zoom, zoom + 1e-4))
        middle = ((VIEW.width - 1) / 2, (VIEW.height - 1) / 2)
        outward = (one[0] - middle[0]) * (other[0] - one[0]) + (one[1] - middle[1]) * (other[1] - one[1])
        assert (outward[one[3] > 0.01] > 0).all()
        inside = (np.abs(one[0] - middle[0]) < middle[0]) & (np.abs(one[1] - middle[1]) < middle[1])
        seen.append(float(one[3][inside].sum()))
    assert max(seen) < 1.1 * min(seen)


def by_day() -> Canvas:
    """The scene as its marks would be by day; where it is light is not looked at again."""
    marks = canvas().marks
    assert marks is not None
    return replace(canvas(), marks=replace(marks, luma=150.0, sky_luma=190.0))


@torch.inference_mode()
def twinkled(of: Canvas) -> np.ndarray:
    """What stars change in a canvas, one frame a latent for six seconds, ``[24, H, W]``."""
    motion, made = Motion.at_rest(), list[np.ndarray]()
    for _ in range(24):
        frames, motion = decoder().decode(motion.wishing(one("twinkle"), 1), torch.zeros(CHANNELS, *GRID), of, 1)
        made.append(np.abs(frames[0].numpy().astype(int) - canvas().rest.numpy()).max(-1))
    return np.stack(made)


def test_by_day_stars_come_out_slowly_and_in_the_sky_alone() -> None:
    """For a second there is none, later there are many, and on the ground no bright place ever changes."""
    day, ground = by_day(), slice(62, None)
    assert day.marks is not None
    assert len(day.marks.spots) > 10
    assert twinkled(day)[:, ground].max() == 0
    empty = replace(day, marks=replace(day.marks, spots=day.marks.spots[:0], tints=day.marks.tints[:0]))
    changes = twinkled(empty)
    assert changes[:5].max() == 0
    assert (changes[-1] > 25).sum() > 15
    assert changes[:, ground].max() == 0


def test_by_day_northern_lights_wait_for_the_dark() -> None:
    """Over a sky of day nothing is seen of them at first, and they never dim it; by night they are there at once."""
    for of, seconds, sees in ((by_day(), 0.4, False), (by_day(), 5.0, True), (canvas(), 0.4, True)):
        before = of.rest.permute(2, 0, 1).float()
        after = aurora(before.clone(), shot(of), Drawn(1.0, seconds, tuple(float(name == "sky") for name in REGIONS)))
        assert bool((after > before + 20).any()) == sees
        assert bool((after >= before).all())


def shot(of: Canvas) -> Shot:
    assert of.marks is not None
    return Shot(VIEW, REST_POSE, of, of.marks, 1)


def test_swell_dies_away_towards_what_is_no_water() -> None:
    """Open water is moved whole, the shore and what stands in it not at all."""
    here = shot(canvas())
    share = afloat(here, *here.places(COARSE))
    assert isinstance(share, torch.Tensor)
    water = here.share(WATER)
    assert water is not None
    coarse = torch.nn.functional.avg_pool2d(water[None], COARSE)[0]
    assert float(share[coarse < 0.6].max()) == 0
    assert float(share[-3:].mean()) > 0.95


def test_a_small_fire_lights_what_is_around_and_reddish_specks_are_none() -> None:
    """A candle's glow is seen well beyond it; what is nowhere bright gets a fire below it, as what has none."""
    dark = np.full((240, 416, 3), (40, 36, 34), np.uint8)
    candle, specks = dark.copy(), np.full_like(dark, 150)
    candle[100:108, 200:208] = (255, 190, 90)
    specks[::3, ::3] = (190, 130, 110)
    glows = [with_marks(prepare(image, LARGE.width, LARGE.height)).marks for image in (candle, specks, dark)]
    lit, below, none = (marks.glow[0, 0] for marks in glows if marks is not None)
    assert float(lit[25, 50]) > 0.9
    assert float(lit.quantile(0.95)) > 0.03
    assert float(lit[-1, 0]) < 0.01
    assert torch.equal(below, none)
    assert float(below[-1].min()) > 0.5


def test_dust_floats_in_the_light() -> None:
    """What is added to the bright half of a picture is well more than to the dark one."""
    image = torch.full((3, VIEW.height, VIEW.width), 4.0)
    image[:, :, VIEW.width // 2 :] = 110
    places = tuple(float(name == "whole") for name in REGIONS)
    added = sum(
        draw(image.clone(), shot(by_day()), {"dust": Drawn(1.5, time_s, places)}) - image
        for time_s in np.arange(3.0, 150.0, 3.0).tolist()
    )
    assert isinstance(added, torch.Tensor)
    dark, bright = (float(added[:, :, part].mean()) for part in (slice(0, 80), slice(128, None)))
    assert bright > 1.3 * dark > 0


@pytest.mark.parametrize("view", [View(240, 416), View(320, 320), View(210, 118), View(64, 64)])
def test_every_shape_is_drawn_on(view: View) -> None:
    """All effects at once reach all quarters of a portrait, a square, and sizes that are no whole blocks."""
    image = with_marks(prepare(scene(), view.width, view.height))
    made, motion = AnchoredDecoder(view=view), Motion.at_rest()
    frames = image.rest[None]
    with torch.inference_mode():
        for _ in range(5):
            frames, motion = made.decode(motion.wishing(EVERYTHING, 1), torch.zeros(CHANNELS, *GRID), image, 1)
    change = np.abs(frames[0].numpy().astype(int) - image.rest.numpy()).max(-1) > 4
    height, width = view.height // 2, view.width // 2
    assert min(change[y : y + height, x : x + width].mean() for y in (0, height) for x in (0, width)) > 0.2


def asked(name: str, region: str, strength: float, speed: float) -> Asked:
    index, size = NAMED.index(name), (1, len(NAMED))
    present, where = torch.zeros(size, dtype=torch.bool), torch.zeros(size, dtype=torch.long)
    strengths, speeds = torch.ones(2, *size)
    present[0, index], where[0, index] = True, REGIONS.index(region)
    strengths[0, index], speeds[0, index] = strength, speed
    return Asked(torch.tensor([CAMERAS.index("none")]), torch.ones(1), present, where, strengths, speeds)


def test_what_a_prompt_asks_for_is_read() -> None:
    """Only drawn effects are, with their strength, place and speed; without a meaning all stays."""
    assert wishes_of(asked("leaves", "left", 1.5, 0.5)) == {"leaves": Wish(1.5, "left", 0.5)}
    assert wishes_of(asked("rain", "whole", 1.0, 1.0)) == {}
    assert wishes_of(None) is None
    state = Drawing().after(one("fire"), 7)
    assert state.seed == 7
    after = state.after(None, 8)
    assert (after.amounts, after.seed) == (state.amounts, 7)
    assert after.times_s > state.times_s


def test_a_state_is_read_again_as_it_was_told_or_refused_in_words() -> None:
    """Plain numbers lead to the same state; those of another list of effects are not guessed at."""
    state = Drawing().after(one("fire"), 7)
    told = {"amounts": [*state.amounts], "times_s": [*state.times_s], "speeds": [*state.speeds]}
    told |= {"places": [[*row] for row in state.places], "seed": 7}
    assert Drawing.from_json(told) == state
    assert Drawing.from_json(None) == Drawing()
    with pytest.raises(PipelineError, match="draws other effects"):
        Drawing.from_json(told | {"amounts": [1.0]})


@pytest.mark.parametrize("pan", [0.0, 1.0])
def test_what_is_left_out_would_not_be_seen(pan: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stamps that lie outside of the frame, and rows without a layer, are left out of no frame's pixels."""
    made = played(EVERYTHING, 0.75, pan=pan)[0]
    monkeypatch.setattr(Shot, "around", lambda self, x, y, size: np.ones(len(x), bool))
    monkeypatch.setattr(Shot, "_band", lambda self, coarse: slice(0, self.view.height))
    assert np.array_equal(played(EVERYTHING, 0.75, pan=pan)[0], made)
