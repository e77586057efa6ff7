import itertools
from dataclasses import replace
from functools import cache
from typing import Literal

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline.causal import CausalPipeline
from pipeline.errors import ConditioningError
from pipeline.geometry import cover_crop
from pipeline.pocket.decoder import Motion
from pipeline.pocket.latents import CHANNELS, DISPLACEMENT, GAIN, GRID, WEATHER, camera_field
from pipeline.pocket.view import SHAPES, View, views
from pipeline.types import Chunk, Conditioning, Pixels
from tests.pocket_parts import canvas_of, conditioning, decoder_of, ids, network, picture
from tests.pocket_parts import made_once as made_once

pytestmark = pytest.mark.usefixtures("made_once")

SIZES = [(208, 120), (120, 208), (160, 160)]
WIDE, TALL, EVEN = (picture(0, *size) for size in ((250, 450), (450, 250), (300, 310)))
LARGE = [View(416, 240), View(240, 416), View(320, 320)]


def make(count: int, max_streams: int) -> CausalPipeline:
    """A pipeline of the first so many sizes."""
    return CausalPipeline(
        network(),
        ids,
        steps=1,
        latents_per_chunk=1,
        max_streams=max_streams,
        views=views(208, 120, SHAPES)[:count],
        frames_per_latent=2,
    )


@cache
def model() -> CausalPipeline:
    return make(3, 8)


def asked(image: Pixels, size: tuple[int, int] | None = None) -> Conditioning:
    return replace(conditioning(), image=image, size=size)


def take(wanted: Conditioning, count: int = 1) -> list[Chunk]:
    pipeline = model()
    state = pipeline.open(wanted)
    made = [pipeline.generate_chunk(state, wanted) for _ in range(count)]
    pipeline.close(state)
    return made


@pytest.mark.parametrize(("image", "size"), [(WIDE, SIZES[0]), (TALL, SIZES[1]), (EVEN, SIZES[2])])
def test_a_picture_keeps_its_shape(image: Pixels, size: tuple[int, int]) -> None:
    """Its take has the nearest size, and shows the picture at rest, of which only the difference in shape is cut."""
    assert take(asked(image))[0].frames.shape[1:] == (*size[::-1], 3)
    state = model().open(asked(image))
    model().close(state)
    first = state.canvas.rest.numpy()
    left, top, right, bottom = cover_crop(image.shape[1], image.shape[0], size)
    box = (left, top, image.shape[1] - right, image.shape[0] - bottom)
    assert np.array_equal(first, np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS, box=box)))
    assert (left + right) / image.shape[1] + (top + bottom) / image.shape[0] < 0.05


def test_a_take_has_the_size_that_is_asked_for() -> None:
    """The stream may know better than the picture; a size that the model lacks is refused, with those that it has."""
    assert take(asked(WIDE, (120, 208)))[0].frames.shape[1:] == (208, 120, 3)
    with pytest.raises(ConditioningError, match="no 121x208; its sizes are 208x120, 120x208, 160x160"):
        model().open(asked(WIDE, (121, 208)))
    assert model().capabilities.sizes == tuple(SIZES)


def test_streams_of_several_sizes_share_a_model() -> None:
    """What is made beside changes nothing."""
    pipeline, wanted = model(), [asked(image) for image in (WIDE, TALL, EVEN)]
    states = [pipeline.open(one) for one in wanted]
    rounds = [[pipeline.generate_chunk(*each).frames for each in zip(states, wanted, strict=True)] for _ in range(2)]
    for number, one in enumerate(wanted):
        alone = take(one, 2)
        assert all(np.array_equal(made[number], chunk.frames) for made, chunk in zip(rounds, alone, strict=True))
    for state in states:
        pipeline.close(state)


@pytest.mark.parametrize("enter", ["flush", "blend"])
def test_a_picture_that_comes_into_a_take_is_cropped_to_its_size(enter: Literal["flush", "blend"]) -> None:
    """A landscape that is swapped into a portrait does not turn it."""
    pipeline, before = model(), asked(TALL)
    after = replace(asked(WIDE), enter=enter, enter_s=0.25)
    state = pipeline.open(before)
    pipeline.generate_chunk(state, before)
    state = pipeline.swap(state, after)
    shown = [pipeline.generate_chunk(state, after).frames for _ in range(2)]
    assert {frames.shape[1:] for frames in shown} == {(208, 120, 3)}
    pipeline.close(state)


def test_a_saved_portrait_goes_on_as_a_portrait() -> None:
    """Opened in its size and restored, the next chunk has the same bytes."""
    pipeline, wanted = model(), asked(WIDE, (120, 208))
    first, again = pipeline.open(wanted), pipeline.open(wanted)
    pipeline.generate_chunk(first, wanted)
    pipeline.restore(again, pipeline.save(first))
    shown = [pipeline.generate_chunk(state, wanted).frames for state in (first, again)]
    assert np.array_equal(shown[0], shown[1])
    assert shown[0].shape[1:] == (208, 120, 3)
    for state in (first, again):
        pipeline.close(state)


def test_a_picture_that_was_looked_at_is_looked_at_again_for_another_size() -> None:
    """What the model remembers of it is of one shape."""
    model().prepare(asked(WIDE, (208, 120)))
    assert take(asked(WIDE, (160, 160)))[0].frames.shape[1:] == (160, 160, 3)


def test_the_warm_up_has_every_size_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """No stream waits for a decoder later, and no place stays taken."""
    pipeline = make(2, max_streams=1)
    told: list[str] = []
    pipeline.warm_up(told.append)
    assert told == ["warming up", "warming up: 120x208"]
    monkeypatch.setattr("pipeline.pocket.decoders.AnchoredDecoder", None)
    assert pipeline.generate_chunk(pipeline.open(asked(TALL)), asked(TALL)).frames.shape[1:] == (208, 120, 3)


def moved(view: View, latent: torch.Tensor, count: int) -> np.ndarray:
    """The first frames of so many latents."""
    decoder, motion, shown = decoder_of(view=view), Motion.at_rest(), []
    canvas = canvas_of(picture(0, view.height, view.width), view.width, view.height)
    for _ in range(count):
        made, motion = decoder.decode(motion, latent, canvas, 1)
        shown.append(made[0].numpy().astype(float))
    return np.stack(shown)


def shift(before: np.ndarray, after: np.ndarray, axis: int, most: int) -> int:
    """Pixels by which a picture has moved along an axis."""
    inner = slice(most, -most)
    # One colour is enough to find it by.
    green, wanted = before[..., 1], after[inner, inner, 1]

    def error(by: int) -> float:
        return float(np.abs(np.roll(green, by, axis)[inner, inner] - wanted).mean())

    return min(range(-most, most + 1), key=error)


@pytest.mark.parametrize("view", LARGE)
def test_motion_is_as_large_in_every_shape(view: View) -> None:
    """A swing of two units moves by as many pixels either way, and a still picture stays the picture."""
    latent = torch.zeros(CHANNELS, *GRID)
    assert all(np.array_equal(*pair) for pair in itertools.pairwise(moved(view, latent, 2)))
    for axis in (0, 1):
        latent[DISPLACEMENT] = 0.0
        latent[DISPLACEMENT.start + 1 - axis] = 2.02
        first, *_, last = moved(view, latent, 5)
        assert shift(first, last, axis, 20) == round(2 * 6 * view.scale)


def test_light_falls_where_it_is_meant_to_in_a_portrait() -> None:
    """The lower quarter of the fields is the lower quarter of the frame."""
    latent = torch.zeros(CHANNELS, *GRID)
    latent[GAIN, 3 * GRID[0] // 4 :] = -0.7
    still, *_, lit = moved(View(120, 208), latent, 6)
    darker = ((lit + 1) / (still + 1)).mean((1, 2))
    assert darker[:144].min() > 0.98
    assert darker[170:].max() < 0.6


@pytest.mark.parametrize("view", LARGE)
def test_a_pan_is_as_fast_as_its_shape_is_wide(view: View) -> None:
    """Seen in frames: 25 px a second of 832 px, and the same share of a narrower frame."""
    latent = torch.zeros(CHANNELS, *GRID)
    latent[:2] = camera_field(torch.tensor([[-0.975, 0.0, 0.0, 0.0]]))[0]
    shown = moved(view, latent, 13)
    speed = shift(shown[4], shown[12], 1, 40) / (2 * 25 * view.width / 832)
    assert speed == pytest.approx(1.0, abs=0.07)


def test_weather_falls_through_the_whole_of_a_portrait() -> None:
    """Snow reaches every edge."""
    latent = torch.zeros(CHANNELS, *GRID)
    latent[WEATHER.start + 1] = 1.0
    still, *_, snowy = moved(View(120, 208), latent, 4)
    changed = np.abs(snowy - still).mean(-1) > 8
    assert min(changed[:20].mean(), changed[-20:].mean(), changed[:, :20].mean(), changed[:, -20:].mean()) > 0.02
