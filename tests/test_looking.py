"""Tests of looking for layers: what words that ask for a layer are given."""

import itertools

import pytest
import torch
import torch.nn.functional as F

from pipeline.pocket.layers import FOLIAGE, REST, SKY, SUBJECT, WATER, sharp
from pipeline.pocket.layers_network import LayersNetwork
from pipeline.pocket.looking import LOOKS, Finder, ask, asked_of, find, looked_for, placed
from pipeline.pocket.salient_network import SalientNetwork
from tests.test_layers import canvas, finder

KINDS = {"sky": SKY, "water": WATER, "leaves": FOLIAGE, "subject": SUBJECT}


def nothing() -> torch.Tensor:
    """Shares of a picture in which nothing was found."""
    found = torch.zeros(1, 5, 96, 168)
    found[:, REST] = 1
    return found


def whole(found: torch.Tensor) -> bool:
    return bool(torch.allclose(found.sum(1), torch.ones(1, 96, 168), atol=1e-5))


def test_the_network_is_asked_for_shares() -> None:
    """Shares of five kinds on half its input's size, which sum to one; the same picture gives the same."""
    asked = finder().at_rest()
    found = find(asked, canvas())
    assert found.shape == (1, 5, 128, 224)
    torch.testing.assert_close(found.sum(1), torch.ones(1, 128, 224))
    assert torch.equal(found, find(asked, canvas()))


def test_what_is_hardly_seen_is_looked_for_where_it_is_likeliest() -> None:
    """Leaves of a share of a fiftieth become a layer there and hardly elsewhere; what is seen well stays as it is."""
    found = nothing()
    found[:, REST, :20, :60], found[:, FOLIAGE, :20, :60] = 0.98, 0.02
    found[:, REST, 50:], found[:, FOLIAGE, 50:], found[:, WATER, 50:] = 0.05, 0.05, 0.9
    sure = looked_for(found)
    assert whole(sure)
    assert sure[:, FOLIAGE, :20, :60].min() > 0.3
    assert sure[:, FOLIAGE, 20:50].max() < 0.1
    assert sharp(sure[:, WATER, 50:]).min() == 1


def test_what_several_would_take_goes_to_what_was_seen_most() -> None:
    """A tower before the sky that is hardly taken for a subject, less for leaves or water, becomes the subject."""
    found = torch.zeros(1, 5, 96, 168)
    found[:, SKY] = 1
    found[:, :, 20:, 60:120] = torch.tensor([0.9, 0.0, 0.01, 0.02, 0.07])[None, :, None, None]
    sure = looked_for(found)
    assert whole(sure)
    assert sure[:, SUBJECT, 20:, 60:120].min() > 0.4
    assert sure[:, SUBJECT, 20:, 60:120].min() > 2 * sure[:, [WATER, FOLIAGE], 20:, 60:120].max()
    assert sharp(sure[:, [WATER, FOLIAGE]]).max() == 0
    assert sharp(sure[:, SKY, :, :60]).min() == 1


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_what_nobody_saw_is_a_part_of_the_picture_not_all_of_it(kind: int) -> None:
    """Whatever is asked for there is a layer of, not too large, however little of it was seen."""
    y = torch.linspace(-6, -3, 96)[:, None].expand(96, 168)
    found = nothing()
    found[:, kind] = 10.0 ** (y if kind != SKY else y.flip(0))
    sure = looked_for(found / found.sum(1, keepdim=True))
    assert whole(sure)
    assert 0.025 < float(sharp(sure[:, kind]).mean()) < 0.4


def test_a_subject_that_is_hardly_seen_is_larger_than_leaves_are() -> None:
    """Of a faint one so much is found as subjects take on the whole; of a small one that is seen no more than it is."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, 96), torch.linspace(-1, 1, 168), indexing="ij")
    found = nothing()
    faint = 0.25 * torch.exp(-3 * (x * x + y * y))
    for kind, size in ((SUBJECT, 0.2), (FOLIAGE, 0.12)):
        found = nothing()
        found[:, REST], found[:, kind] = 1 - faint, faint
        assert float(sharp(looked_for(found)[:, kind]).mean()) == pytest.approx(size, rel=0.1)
    doubtful = nothing()
    doubtful[:, REST], doubtful[:, SUBJECT] = 0.95, 0.05
    doubtful[:, REST, 40:56, 60:88], doubtful[:, SUBJECT, 40:56, 60:88] = 0.2, 0.8
    assert float(sharp(looked_for(doubtful)[:, SUBJECT]).mean()) == pytest.approx(16 * 28 / (96 * 168), rel=0.05)
    seen = nothing()
    seen[:, REST], seen[:, SUBJECT] = 0.95, 0.05
    seen[:, REST, 40:50, 60:80], seen[:, SUBJECT, 40:50, 60:80] = 0.02, 0.98
    assert float(sharp(looked_for(seen)[:, SUBJECT]).mean()) == pytest.approx(10 * 20 / (96 * 168), rel=0.05)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_at_no_size_does_what_is_found_come_or_go_at_once(kind: int) -> None:
    """A layer that is seen on a little more of the view is not found on much less of it."""
    found, sizes = nothing(), list[float]()
    for rows in range(8, 60):
        found = nothing()
        # Half of it is as good as seen, and as much beside it may be.
        found[:, REST, :rows, 40:80], found[:, kind, :rows, 40:80] = 0.35, 0.65
        found[:, REST, :rows, 80:120], found[:, kind, :rows, 80:120] = 0.75, 0.25
        sizes.append(float(sharp(looked_for(found)[:, kind]).mean()))
    steps = [after - before for before, after in itertools.pairwise(sizes)]
    assert min(steps) > -0.02
    assert sizes[-1] == pytest.approx(0.875 * 60 * 40 / (96 * 168), rel=0.05)


class _Whatever(LayersNetwork):
    """Takes whatever is brighter than a half for sky, and remembers what it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.shown = list[torch.Tensor]()

    def both(self, picture: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        self.shown.append(picture)
        bright = 9 * F.avg_pool2d(picture.mean(1), 2)
        never = torch.full_like(bright, -9)
        return torch.stack([-bright, bright, never, never, never], dim=1), None


class _LeftIsSalient(SalientNetwork):
    """The left half of whatever it is shown draws the eye."""

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        seen = torch.zeros(1, 1, 80, 80)
        seen[..., :40] = 1
        return seen


def test_what_draws_the_eye_bears_witness() -> None:
    """With a network that tells it, subjects are likelier there and less likely elsewhere than without."""
    alone = finder().at_rest()
    before = asked_of(alone, canvas())[0, SUBJECT]
    after = asked_of(Finder(alone.layers, _LeftIsSalient()), canvas())[0, SUBJECT]
    assert (after[:, :108] > before[:, :108]).all()
    assert (after[:, 116:] < before[:, 116:]).all()


@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_it_looks_three_times_once_without_what_is_fine(scale: float) -> None:
    """In two sizes, the second time in a mirror; the third time bright lines of two pixels are gone, in any size."""
    picture = torch.full((1, 3, round(480 * scale), round(832 * scale)), -0.6)
    picture[..., : round(416 * scale)] = 0.6
    for column in range(round(2 * scale)):
        picture[..., column :: round(32 * scale)] = 1
    network = _Whatever().eval()
    found = ask(network, picture, LOOKS, scale)
    assert found.shape == (1, 5, 128, 224)
    assert [tuple(one.shape[2:]) for one in network.shown] == [(256, 448), (448, 784), (448, 784)]
    plain, mirrored, smooth = (one[0, 0] for one in network.shown)
    assert plain[:, 0:200].mean() > 0.5 > plain[:, 250:].mean()
    assert mirrored[:, :350].mean() < -0.5 < mirrored[:, 450:].mean()
    assert mirrored[:, :350].max() > 0
    assert smooth[:, 420:].max() < -0.59
    assert found[0, SKY, :, :100].min() > 0.9 > 0.1 > found[0, SKY, :, 124:].mean()


def test_what_may_be_a_subject_is_likelier_in_the_middle() -> None:
    """Half a subject is more of one in the middle than at a corner; what is sure stays so, as do other kinds."""
    found = nothing()
    found[:, REST], found[:, SUBJECT] = 0.5, 0.5
    found[:, :, :, 100:110] = 0
    found[:, SUBJECT, :, 100:110] = 1
    found[:, :, :, 120:] = 0
    found[:, REST, :, 120:], found[:, SKY, :, 120:] = 0.3, 0.7
    likely = placed(found)
    assert whole(likely)
    assert likely[0, SUBJECT, 50, 84] > 0.65
    assert likely[0, SUBJECT, 0, 0] < 0.15
    assert likely[:, SUBJECT, :, 100:110].min() == 1
    torch.testing.assert_close(likely[:, SKY, :, 120:], found[:, SKY, :, 120:])
