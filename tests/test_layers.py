"""Tests of layers: found, brought to edges, moved one by one, reached by words; with no weights."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from pipeline.causal import CausalPipeline
from pipeline.pocket.canvas import Canvas, prepare, repainted
from pipeline.pocket.decoder import Motion
from pipeline.pocket.fade import Fade, fade_from
from pipeline.pocket.intents import NAMED, REGIONS, Asked
from pipeline.pocket.latents import CHANNELS, DISPLACEMENT, GAIN, GRID, WEATHER
from pipeline.pocket.layers import (
    FOLIAGE,
    REST,
    SKY,
    SUBJECT,
    WATER,
    Layers,
    drawing,
    layered,
    with_layers,
)
from pipeline.pocket.layers_network import LayersNetwork
from pipeline.pocket.looking import Finder
from pipeline.pocket.reach import LIGHT, MOTION, everything, goal
from pipeline.pocket.reach import WEATHER as COVER
from pipeline.pocket.view import View
from pipeline.types import Conditioning, PicturePolicy
from tests.pocket_parts import canvas_of, conditioning, decoder_of, ids, network
from tests.pocket_parts import made_once as made_once

# A quarter of the frame, which the scene is drawn for.
VIEW, SMALL = View(416, 240), View(208, 120)
TREE, LAKE, CAT = slice(120, 300), slice(340, 480), slice(560, 660)


@cache
def scene() -> tuple[np.ndarray, torch.Tensor]:
    """A sky, a tree before it, a lake and a cat on a plain; the picture and its coarse shares ``[1, 5, 96, 168]``."""
    rng = np.random.default_rng(0)
    image = np.full((480, 832, 3), (150, 190, 235), np.uint8)
    kinds = np.full((480, 832), SKY)
    image[240:], kinds[240:] = (160, 140, 110), REST
    image[LAKE], kinds[LAKE] = (40, 80, 150), WATER
    image[TREE, 100:260], kinds[TREE, 100:260] = (30, 90, 30), FOLIAGE
    image[180:400, CAT], kinds[180:400, CAT] = (200, 120, 60), SUBJECT
    image[240:] = np.clip(image[240:] + rng.integers(-12, 12, image[240:].shape), 0, 255).astype(np.uint8)
    image[TREE, 100:260] += rng.integers(0, 30, (180, 160, 3), dtype=np.uint8)
    image[180:400, CAT] += rng.integers(0, 30, (220, 100, 3), dtype=np.uint8)
    shares = torch.from_numpy(np.eye(5, dtype=np.float32)[kinds]).permute(2, 0, 1)[None]
    return image, torch.nn.functional.interpolate(shares, (96, 168), mode="area")


@cache
def canvas() -> Canvas:
    image, shares = scene()
    return with_layers(canvas_of(image, VIEW.width, VIEW.height), shares)


def layers() -> Layers:
    found = canvas().layers
    assert found is not None
    return found


def inside(kind: int) -> torch.Tensor:
    """The shares of a kind in each of the view's pixels."""
    rows, columns = VIEW.room
    return layers().shares[0, kind, rows:-rows, columns:-columns]


def frames(z: torch.Tensor, reach: torch.Tensor, count: int = 3, on: Canvas | None = None) -> np.ndarray:
    """Frames of latents that stay at ``z``, with a reach that has held for long, but for the first latent."""
    decoder, out = decoder_of(view=VIEW), []
    motion = replace(Motion.at_rest(), reach=reach, heading=reach)
    for _ in range(count):
        made, motion = decoder.decode(motion, z, on or canvas(), 2)
        out.append(made.numpy())
    return np.concatenate(out[1:]).astype(np.int16)


def changed(made: np.ndarray) -> np.ndarray:
    return np.abs(made - canvas().rest.numpy().astype(np.int16)).max((0, 3))


def only(row: int, *kinds: int) -> torch.Tensor:
    reach = everything()
    reach[row] = 0
    reach[row, list(kinds)] = 1
    return reach


def swing(size: float = 0.8) -> torch.Tensor:
    z = torch.zeros(CHANNELS, *GRID)
    z[DISPLACEMENT] = size
    return z


@cache
def swung(kind: int) -> np.ndarray:
    """Frames in which one layer has been swung aside."""
    return frames(swing(), only(MOTION, kind))


def asked(name: str, region: str) -> Asked:
    present = torch.zeros(1, len(NAMED), dtype=torch.bool)
    regions = torch.zeros(1, len(NAMED), dtype=torch.long)
    present[0, NAMED.index(name)], regions[0, NAMED.index(name)] = True, REGIONS.index(region)
    ones = torch.ones(1, len(NAMED))
    return Asked(torch.zeros(1, dtype=torch.long), torch.ones(1), present, regions, ones, ones)


def test_shares_end_where_the_picture_does() -> None:
    """Coarse shares, as vague as a network's, come to the picture's edges within two pixels, and sum to one."""
    image, coarse = scene()
    vague = torch.nn.functional.avg_pool2d(coarse, 7, 1, 3, count_include_pad=False)
    found = with_layers(canvas_of(image, VIEW.width, VIEW.height), vague).layers
    assert found is not None
    rows, columns = VIEW.room
    shares = found.shares[0, :, rows:-rows, columns:-columns]
    torch.testing.assert_close(shares.sum(0), torch.ones(240, 416))
    assert shares[FOLIAGE, 100, 52:128].min() > 0.9
    assert shares[FOLIAGE, 100, :48].max() < 0.15
    assert shares[SUBJECT, 150, 282:328].min() > 0.8
    assert shares[WATER, 173, 10:45].min() > 0.9


def test_a_layer_that_is_hardly_there_is_not_there() -> None:
    """A few pixels are taken for a mistake: no layer, no share."""
    image, shares = scene()
    without = shares.clone()
    without[:, FOLIAGE] *= 0.02
    without[:, SKY] += shares[:, FOLIAGE] * 0.98
    found = with_layers(canvas_of(image, VIEW.width, VIEW.height), without).layers
    assert found is not None
    assert found.foliage is None
    assert found.shares[:, FOLIAGE].max() == 0
    assert not found.has(FOLIAGE)
    assert found.has(WATER)


@pytest.mark.parametrize("kind", [WATER, FOLIAGE, SUBJECT])
@pytest.mark.parametrize("share", [0.35, 0.45, 0.65])
def test_what_is_less_than_half_of_a_layer_stays(kind: int, share: float) -> None:
    """Beside a layer that is sure lies what may be of it: it moves with the layer if it rather is than is not."""
    bare = canvas_of(scene()[0], VIEW.width, VIEW.height)
    shares = torch.zeros(1, 5, *(side // 2 for side in bare.size))
    middle, right = shares.shape[2] // 2, shares.shape[3] // 2
    shares[:, kind, middle:, :right] = 1
    shares[:, kind, middle:, right:] = share
    shares[:, REST] = 1 - shares[:, kind]
    layers = layered(bare, shares).layers
    assert layers is not None
    layer = {WATER: layers.water, FOLIAGE: layers.foliage, SUBJECT: layers.subject}[kind]
    assert layer is not None
    moves = layer.cut[0, 0, middle + 12 : -12]
    assert moves[:, 12 : right - 12].min() == 1
    beside = moves[:, right + 12 : -12]
    assert (beside.min() == 1) if share > 0.5 else (beside.max() == 0)


@pytest.mark.parametrize("kind", [WATER, FOLIAGE, SUBJECT])
def test_one_layer_moves_and_nothing_else(kind: int) -> None:
    """Far from the layer not a grey level changes; in it much does, and where it left there is no ghost of it."""
    change = changed(swung(kind))
    far = torch.nn.functional.max_pool2d(inside(kind)[None], 21, 1, 10)[0] < 0.01
    assert change[far.numpy()].max() == 0
    assert (change[inside(kind).numpy() > 0.99] > 3).mean() > 0.5


def test_what_stood_before_the_sky_leaves_sky() -> None:
    """A tree that sways to the right shows sky where its left edge was, and its own colour beyond its right edge."""
    made = swung(FOLIAGE)[-1]
    assert made[100, 50:52, 2].min() > 180
    assert made[100, 130:132, 2].max() < 120


def test_water_moves_between_its_shores() -> None:
    """The shore stays, and no shore is drawn into the water."""
    made = swung(WATER)[-1]
    assert np.array_equal(made[150:169, 10:45], canvas().rest.numpy()[150:169, 10:45])
    assert made[172:175, 10:45, 0].max() < 80


def test_at_rest_layers_cannot_be_seen() -> None:
    """However the layers lie, a displacement too small to see shows the picture, bit for bit."""
    for kind in (WATER, FOLIAGE, SUBJECT):
        assert changed(frames(swing(0.03), only(MOTION, kind))).max() <= 1


def test_light_ends_where_the_layer_ends() -> None:
    """A dark field over everything, reached only by the sky, darkens the sky up to its edges and nothing else."""
    z = torch.zeros(CHANNELS, *GRID)
    z[GAIN] = -0.8
    change = changed(frames(z, only(LIGHT, SKY)))
    assert change[inside(SKY).numpy() > 0.99].min() > 60
    assert change[-50:].max() == 0
    assert change[100, 283:325].max() <= 2


def test_weather_can_pass_behind_the_subject() -> None:
    """Fog that does not reach the subject leaves it clear."""
    z = torch.zeros(CHANNELS, *GRID)
    z[WEATHER.start + 2] = 1.0
    change = changed(frames(z, only(COVER, REST, SKY, WATER, FOLIAGE)))
    assert change[100:190, 285:325].max() == 0
    assert change[210:, :150].min() > 10


def test_words_reach_layers() -> None:
    """Each effect moves its own matter, a named layer takes light, what is behind is all but the subject."""
    now = everything()
    assert goal(asked("sway", "foliage"), False, layers(), now)[MOTION].tolist() == [0, 0, 0, 1, 0]
    assert goal(asked("ripple", "left"), False, layers(), now)[MOTION].tolist() == [0, 0, 1, 0, 0]
    assert goal(asked("warm", "water"), False, layers(), now)[LIGHT].tolist() == [0, 0, 1, 0, 0]
    assert goal(asked("night", "whole"), True, layers(), now)[LIGHT].tolist() == [1, 1, 1, 1, 0]
    assert goal(asked("fog", "sky"), True, layers(), now)[COVER].tolist() == [1, 1, 1, 1, 0]
    assert torch.equal(goal(None, True, layers(), only(LIGHT, SKY)), only(LIGHT, SKY))


def test_what_the_picture_lacks_stands_for_everything() -> None:
    """Leaves that are not there: the whole picture may move, as the transformer then means it to."""
    lacking = replace(layers(), foliage=None)
    assert goal(asked("sway", "foliage"), False, lacking, everything())[MOTION].tolist() == [1, 1, 1, 1, 1]


def test_a_reach_comes_and_goes_without_a_jump() -> None:
    """A new prompt's reach is gone to over several latents."""
    decoder, wanted = decoder_of(view=VIEW), only(MOTION, FOLIAGE)
    _, once = decoder.decode(Motion.at_rest().aimed(wanted), swing(0.0), canvas(), 2)
    assert 0 < float(once.reach[MOTION, REST]) < 1
    _, kept = decoder.decode(once, swing(0.0), canvas(), 2)
    assert torch.equal(kept.reach, once.reach)


def test_the_drawing_is_plain_and_the_same_for_ever() -> None:
    """Where there is sky the drawing is blue, where leaves green; it does not depend on anything drawn before."""
    made = drawing(layers().coarse, (128, 224))
    assert torch.equal(made, drawing(layers().coarse, (128, 224)))
    assert made.shape == (1, 3, 128, 224)
    assert made.abs().max() <= 1
    assert made[0, 2, 20, 200] > made[0, 0, 20, 200]
    assert made[0, 1, 50, 45] > made[0, 2, 50, 45]


@pytest.mark.parametrize(("width", "height"), [(208, 120), (240, 416), (936, 540)])
def test_layers_are_found_in_frames_of_any_size(width: int, height: int) -> None:
    """The shares of the view have the frame's size, and what moves at one size moves at another."""
    image, shares = scene()
    sized = with_layers(prepare(image, width, height), shares)
    assert sized.layers is not None
    rows, columns = sized.view.room
    shown = sized.layers.shares[..., rows:-rows, columns:-columns]
    assert shown.shape == (1, 5, height, width)
    motion = replace(Motion.at_rest(), reach=only(MOTION, WATER), heading=only(MOTION, WATER))
    decoder = decoder_of(view=View(width, height))
    made, motion = decoder.decode(motion, swing(), sized, 1)
    made, _ = decoder.decode(motion, swing(), sized, 1)
    change = (made[0].float() - sized.rest.float()).abs().amax(2)
    assert change[shown[0, WATER] > 0.99].max() > 3
    assert change[shown[0, WATER] == 0].max() <= 1


@cache
def finder() -> Finder:
    torch.manual_seed(1)
    return Finder(LayersNetwork())


def pipeline(latents_per_chunk: int = 1) -> CausalPipeline:
    return CausalPipeline(
        network(), ids, steps=1, latents_per_chunk=latents_per_chunk, max_streams=2, finder=finder(), views=(SMALL,)
    )


DARK = Conditioning("i2v", "it gets dark behind her", scene()[0], 3)


@pytest.mark.usefixtures("made_once")
def test_a_stream_with_layers_is_the_same_again_and_goes_on_where_it_was_saved() -> None:
    """The same seed gives the same frames; a stream restored elsewhere gives those that would have come."""
    made = [pipeline() for _ in range(2)]
    one, other = (each.open(DARK) for each in made)
    assert one.canvas.layers is not None
    first = [made[0].generate_chunk(one, DARK).frames for _ in range(2)]
    saved = made[0].save(one)
    assert np.array_equal(made[1].generate_chunk(other, DARK).frames, first[0])
    made[1].close(other)
    other = made[1].open(DARK)
    made[1].restore(other, saved)
    assert torch.equal(other.now.motion.reach, one.now.motion.reach)
    chunks = [each.generate_chunk(state, DARK) for each, state in zip(made, (one, other), strict=True)]
    assert np.array_equal(chunks[0].frames, chunks[1].frames)


@pytest.mark.usefixtures("made_once")
def test_a_chunk_that_is_cut_leaves_the_reach_of_its_first_latent() -> None:
    """Going back into the middle of a chunk, under other words, is having asked for these from there on."""
    whole, single = pipeline(2), pipeline()
    one, other = whole.open(DARK), single.open(DARK)
    whole.generate_chunk(one, DARK)
    whole.truncate(one, 1)
    single.generate_chunk(other, DARK)
    assert torch.equal(one.now.motion.reach, other.now.motion.reach)
    swaying = replace(DARK, prompt="the leaves sway in the wind")
    cut = whole.generate_chunk(one, swaying).frames
    straight = [single.generate_chunk(other, swaying).frames for _ in range(2)]
    assert np.array_equal(cut, np.concatenate(straight))


@pytest.mark.usefixtures("made_once")
@pytest.mark.parametrize("enter", ["flush", "blend"])
def test_another_picture_comes_in_with_its_own_layers(enter: PicturePolicy) -> None:
    """What moves, and what words reach, goes on; each picture is cut by its own layers, and by none else's."""
    model = pipeline()
    state = model.open(DARK)
    model.generate_chunk(state, DARK)
    before, reach = state.canvas.layers, state.now.motion.reach
    other = replace(conditioning(DARK.prompt, picture_seed=1), enter=enter, enter_s=0.5)
    state = model.swap(state, other)
    assert state.canvas.layers is not before
    assert state.fade is not None
    assert state.fade.before.layers is before
    assert torch.equal(state.now.motion.reach, reach)
    assert model.generate_chunk(state, other).frames.shape == (4, 120, 208, 3)


def test_a_picture_in_the_midst_of_a_fade_moves_by_the_layers_that_are_seen_more() -> None:
    """Behind them lies the mixture of both pictures, as before them."""
    dark = repainted(canvas(), torch.zeros_like(canvas().texture))
    plain = canvas_of(scene()[0], VIEW.width, VIEW.height)
    mixed = fade_from(canvas(), Fade(dark, 0, 4.0), 3, 1.0).before
    share = Fade(dark, 0, 4.0).share(3)
    own = layers().foliage
    assert own is not None
    assert mixed.layers is not None
    assert mixed.layers.foliage is not None
    torch.testing.assert_close(mixed.layers.foliage.behind, share * own.behind)
    assert fade_from(plain, Fade(dark, 0, 4.0), 3, 1.0).before.layers is None
    assert fade_from(plain, Fade(dark, 0, 4.0), 1, 1.0).before.layers is not None
