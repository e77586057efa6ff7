"""How far a video has drifted, and its bringing back."""

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.drift import PULL, Look, Seen, Watch, channels_of, follow, pulled
from pipeline.types import Conditioning, Pixels
from stream.encoder_bench import draw_photo

PHOTO = draw_photo(208, 120)
CALM = Conditioning("i2v", "leaves sway", PHOTO, 0)
CHUNK_S = 0.75


def darker(share: float) -> Pixels:
    """The photo with so much of its brightness."""
    return (PHOTO * share).astype(np.uint8)


def watched(frames: list[Pixels], asked: Conditioning = CALM, latents: Tensor | None = None) -> Watch:
    """Follow these frames, a chunk each."""
    watch = None
    for frame in frames:
        watch = follow(watch, asked, Seen(frame, CHUNK_S, latents), 0.25)
    assert watch is not None
    return watch


@pytest.mark.parametrize(
    ("changed", "name", "sign"),
    [
        (darker(0.6), "luma", -1),
        ((PHOTO // 2 + 64), "contrast", -1),
        (np.repeat(PHOTO.mean(2, keepdims=True), 3, 2).astype(np.uint8), "saturation", -1),
        (np.repeat(PHOTO[:, ::2], 2, 1), "sharpness", -1),
        ((PHOTO // 2 + 127), "luma", 1),
    ],
)
def test_each_figure_tells_its_own_change(changed: Pixels, name: str, sign: int) -> None:
    """A video that grows dark, flat, grey or coarse shows so in the figure of that name, the further the longer."""
    some, more = (watched([PHOTO] * 6 + [changed] * count).drift() for count in (1, 8))
    assert some is not None
    assert more is not None
    assert 0.02 < sign * getattr(some, name) < sign * getattr(more, name)
    assert more.similarity is None


def test_nothing_is_told_before_the_prompt_has_settled() -> None:
    """In the first two seconds there is no anchor; a video that stays the same does not drift."""
    assert watched([PHOTO] * 2).drift() is None
    steady = watched([PHOTO] * 12).drift()
    assert steady is not None
    assert steady.largest == 0


def test_change_that_was_asked_for_is_no_drift() -> None:
    """A new prompt or picture begins anew: what it does to the light is not held against the video before."""
    watch = watched([PHOTO] * 8)
    night = Conditioning("i2v", "night falls", PHOTO, 0, revision=2)
    for _ in range(8):
        watch = follow(watch, night, Seen(darker(0.3), CHUNK_S), 0.25)
    drift = watch.drift()
    assert drift is not None
    assert drift.largest < 0.01
    other = follow(watch, Conditioning("i2v", "night falls", darker(0.9), 0), Seen(PHOTO, CHUNK_S), 0.25)
    assert other.drift() is None


def test_same_prompt_at_another_quality_goes_on() -> None:
    """A busy machine that lowers the quality does not make the anchor anew."""
    watch = watched([PHOTO] * 8)
    cheaper = Conditioning("i2v", "leaves sway", PHOTO, 0, revision=5, quality=1)
    assert follow(watch, cheaper, Seen(PHOTO, CHUNK_S), 0.25).anchor is watch.anchor


def test_latents_are_brought_back_past_the_threshold_alone() -> None:
    """Within the threshold latents are left as they are; past it each channel's mean and spread go part of the way."""
    torch.manual_seed(0)
    latents = torch.randn(1, 16, 3, 8, 8)
    fine = watched([PHOTO] * 12, latents=latents)
    assert pulled(fine, latents) is latents
    far = watched([PHOTO] * 6 + [darker(0.5)] * 8, latents=latents)
    assert far.is_reanchoring
    gone = 0.7 * latents - 0.4
    before, after, wanted = (channels_of(each) for each in (gone, pulled(far, gone), latents))
    assert torch.allclose(after, before + PULL * (wanted - before), atol=1e-4)
    assert pulled(None, latents) is latents


def test_it_is_held_until_half_the_threshold_and_never_at_none() -> None:
    """What has begun to come back is not let go at once; a threshold of 0 is never passed."""
    watch = watched([PHOTO] * 6 + [darker(0.5)] * 8)
    states: list[bool] = []
    for _ in range(12):
        watch = follow(watch, CALM, Seen(PHOTO, CHUNK_S), 0.25)
        drift = watch.drift()
        assert drift is not None
        states.append(watch.is_reanchoring)
        assert watch.is_reanchoring == (drift.largest > 0.125)
    assert states[0]
    assert not states[-1]
    off = watch
    for _ in range(8):
        off = follow(off, CALM, Seen(darker(0.2), CHUNK_S), 0.0)
    assert not off.is_reanchoring


def test_likeness_is_told_where_there_are_features() -> None:
    """The cosine to the anchor's features: 1 for the same, 0 for what has nothing in common."""
    watch = None
    for number in range(8):
        features = torch.eye(4)[[0 if number < 7 else 1]]
        watch = follow(watch, CALM, Seen(PHOTO, CHUNK_S, features=features), 0.25)
        if number == 6:
            drift = watch.drift()
            assert drift is not None
            assert drift.similarity == 1
    assert watch is not None
    drift = watch.drift()
    assert drift is not None
    assert drift.similarity == 0


def test_look_of_any_size() -> None:
    """Odd and tiny frames are looked at like others."""
    for height, width in ((2, 2), (5, 9), (481, 833)):
        assert Look.of(np.full((height, width, 3), 10, np.uint8)).luma == pytest.approx(10, abs=0.01)
