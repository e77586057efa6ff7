"""Tests of cut-outs that are set into pictures as subjects."""

import pytest
import torch
from torch import Tensor

from pipeline.pocket import layers_subjects
from pipeline.pocket.layers_subjects import SUBJECT, peopled

WATER = 2


def _peopled(count: int = 24, grey: float = 0.3, is_bust: bool = False) -> tuple[Tensor, Tensor]:
    """Grey pictures of water, into each of which a bright red disc is set, or half of one that is cut off below."""
    torch.manual_seed(0)
    kinds = torch.zeros(count, 5, 96, 176)
    kinds[:, WATER] = 1
    y, x = torch.linspace(-1.2, 1.2, 240)[:, None], torch.linspace(-2.08, 2.08, 416)
    y = (y - 1.2) / 2 if is_bust else y
    cuts = torch.zeros(count, 4, 240, 416, dtype=torch.uint8)
    cuts[:, 0], cuts[:, 3] = 250, 255 * (x**2 + y**2 < 1)
    return peopled(torch.full((count, 3, 96, 176), grey), kinds, cuts)


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Nothing is sunk, mirrored, in shadow or against the light."""
    for name in ("SUNK", "MIRRORED", "MIRRORED_DRY", "SHADOWED", "BACKLIT"):
        monkeypatch.setattr(layers_subjects, name, 0.0)
    return monkeypatch


@pytest.mark.usefixtures("plain")
def test_a_subject_is_where_its_colours_are() -> None:
    """Where all is subject the disc is seen, redder than the ground; where none is, the ground is as it was."""
    image, kinds = _peopled()
    share = kinds[:, SUBJECT]
    redder = image[:, 0] - image[:, 1]
    torch.testing.assert_close(kinds.sum(1), torch.ones_like(share))
    assert redder[share > 0.99].min() > 0.02
    assert (image[(share == 0)[:, None].expand_as(image)] == 0.3).all()
    assert ((share > 0.1) & (share < 0.9)).any((1, 2)).all()


@pytest.mark.usefixtures("plain")
def test_subjects_are_small_and_large_and_lie_anywhere() -> None:
    """Shares of the frame are from a fiftieth to a quarter, and hardly a place is always free, none always taken."""
    kinds = _peopled(96)[1]
    covered = kinds[:, SUBJECT].mean((1, 2))
    assert covered.min() < 0.03
    assert covered.max() > 0.25
    assert covered.median() > 0.04
    often = (kinds[:, SUBJECT] > 0.5).float().mean(0)[8::16, 8::16]
    assert (often > 0).float().mean() > 0.9
    assert often.max() < 0.6


def test_what_is_sunk_has_less_below(plain: pytest.MonkeyPatch) -> None:
    """Of a disc that is sunk the upper third stays all but as it was, and of the whole some 15 to 60 % are gone."""
    whole = _peopled()[1][:, SUBJECT]
    plain.setattr(layers_subjects, "SUNK", 1.0)
    sunk, beneath = (_peopled()[1][:, kind] for kind in (SUBJECT, WATER))
    for before, after in zip(whole, sunk, strict=True):
        rows = (before > 0.5).any(1).nonzero()[:, 0]
        top, foot = int(rows[0]), int(rows[-1])
        # A small one's border is as wide as itself, and one that the frame cuts off has lost its lower part to it.
        if foot - top > 20 and foot < 94 and top > 1:
            middle = top + (foot - top) * 3 // 10
            torch.testing.assert_close(after[:middle], before[:middle], atol=0.3, rtol=0)
            assert 0.1 < 1 - after.sum() / before.sum() < 0.65
            assert after[foot].max() < 0.2
    torch.testing.assert_close(beneath, 1 - sunk)


def test_a_bust_stands_at_the_lower_edge_and_is_not_sunk() -> None:
    """Each reaches the last row, over its whole width there, and some are small, some large."""
    share = _peopled(48, is_bust=True)[1][:, SUBJECT]
    widest, lowest = ((some > 0.5).sum(-1) for some in (share, share[:, -1]))
    seen = widest.amax(1) > 0
    assert seen.float().mean() > 0.9
    assert (lowest[seen] > 0.8 * widest.amax(1)[seen]).all()
    covered = share.mean((1, 2))[seen]
    assert covered.min() < 0.1
    assert covered.max() > 0.25


def test_a_mirror_image_and_a_shadow_are_no_subject(plain: pytest.MonkeyPatch) -> None:
    """They change what is seen of the ground, one towards the colours of the thing, the other darker; no kinds."""
    kinds = _peopled()[1]
    off = kinds[:, SUBJECT] == 0
    plain.setattr(layers_subjects, "MIRRORED_DRY", 1.0)
    mirrored, same = _peopled()
    assert torch.equal(same, kinds)
    assert (mirrored[:, 0] - mirrored[:, 1])[off].max() > 0.05
    plain.setattr(layers_subjects, "MIRRORED_DRY", 0.0)
    plain.setattr(layers_subjects, "SHADOWED", 1.0)
    shadowed, same = _peopled()
    assert torch.equal(same, kinds)
    assert shadowed.mean(1)[off].min() < 0.27
    assert shadowed.amax(1)[off].max() <= 0.3


@pytest.mark.usefixtures("plain")
def test_a_subject_has_something_of_the_pictures_light() -> None:
    """In a dark picture it is darker than in a bright one, by differing shares, yet it keeps something of its hue."""

    def light(grey: float) -> Tensor:
        image, kinds = _peopled(grey=grey)
        is_it = kinds[:, SUBJECT] > 0.99
        assert (image[:, 0] - image[:, 1])[is_it].min() > 0.01
        share = is_it.float()
        return (image.mean(1) * share).sum((1, 2)) / share.sum((1, 2))

    dark, bright = light(0.1), light(0.6)
    assert (bright > dark).all()
    assert (bright / dark).std() > 0.2
