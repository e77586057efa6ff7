"""What a picture looks like under night and under golden light."""

from itertools import product

import pytest
import torch
import torch.nn.functional as F

from pipeline.pocket.grade import graded, is_seen, light, relit
from pipeline.pocket.truth import LOG_GAINS

# Black, a dark green, a grey, a light red, white.
COLOURS = torch.tensor([[4.0, 4, 4], [30, 70, 30], [128, 128, 128], [220, 150, 140], [250, 250, 250]])


def under(name: str, share: float = 1.0) -> torch.Tensor:
    """The colours under a share of a light, ``[5, 3]``."""
    gain = share * torch.tensor(LOG_GAINS[name])[:, None, None]
    return graded(COLOURS.T[:, None].clone(), light(gain).expand(5, 1, len(COLOURS)))[:, 0].T


def chroma(colours: torch.Tensor) -> torch.Tensor:
    return (colours.amax(1) - colours.amin(1)) / colours.amax(1)


def test_no_light_is_the_picture() -> None:
    """Under no gain a picture is itself, bit for bit."""
    assert torch.equal(under("night", 0.0), COLOURS)


def test_a_night_is_dark_blue_and_greyish() -> None:
    """Nothing is more than a third as bright; a grey turns blue; a colour loses some of itself."""
    night = under("night")
    assert (night.mean(1) < COLOURS.mean(1) * 0.36).all()
    assert float(night[2, 2]) > 1.5 * float(night[2, 0])
    gains = COLOURS[1] * torch.tensor(LOG_GAINS["night"]).exp()
    assert float(night[1, 1] / night[1, 0]) < 0.8 * float(gains[1] / gains[0])


def test_a_night_takes_most_from_what_is_dark() -> None:
    """What is dark keeps a smaller part of its light than what is white."""
    kept = under("night").mean(1) / COLOURS.mean(1)
    assert float(kept[0]) < 0.8 * float(kept[-1])
    assert float(kept[2]) < 0.9 * float(kept[-1])


def test_light_that_falls_is_monotone() -> None:
    """The further a night is, the darker is every channel of every colour."""
    steps = torch.stack([under("night", share) for share in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)])
    # A colour that greys may gain in its least channel, but not in all.
    assert (steps.mean(2).diff(dim=0) < 0).all()


def test_gold_lies_on_what_is_light() -> None:
    """Golden light warms all, and the light parts by more levels than the shadows."""
    warmer = under("warm") - COLOURS
    red_over_blue = warmer[:, 0] - warmer[:, 2]
    assert (red_over_blue > 4).all()
    assert float(red_over_blue[-1]) > 1.5 * float(red_over_blue[2]) > 3 * float(red_over_blue[0])


def test_gold_takes_yellow_no_colour() -> None:
    """A yellow flower gets no more blue under gold, as it would if it went grey; a blue sky loses some."""
    flower, sky = torch.tensor([250.0, 200, 20]), torch.tensor([100.0, 150, 220])
    for colour in (flower, sky):
        gold = graded(colour[:, None, None].clone(), light(torch.tensor(LOG_GAINS["warm"])[:, None, None]))[:, 0, 0]
        assert float((gold[2] + 4) / (colour[2] + 4)) < 0.9
        assert float(gold[0]) > float(colour[0])


def test_rain_stays_gains_alone() -> None:
    """The dull light of rain multiplies, and greys nothing."""
    torch.testing.assert_close(under("rain"), COLOURS * torch.tensor(LOG_GAINS["rain"]).exp(), rtol=0.02, atol=0.1)


def test_cold_light_leaves_a_cloud_its_shades() -> None:
    """It is blue and as bright as day, pales colours, and brightens no white by more than a little: nothing is lost."""
    cold = under("cold")
    assert (cold[:, 2] > 1.25 * COLOURS[:, 2] / COLOURS[:, 0] * cold[:, 0]).all()
    assert (cold.mean(1) > 0.8 * COLOURS.mean(1)).all()
    assert float((cold / COLOURS)[-1].max()) < 1.06
    gains = COLOURS[3] * torch.tensor([float(cold[2, n] / COLOURS[2, n]) for n in range(3)])
    assert float(cold[3, 0] / cold[3, 1]) < 0.9 * float(gains[0] / gains[1])


def test_frames_at_once_are_as_frames_alone() -> None:
    """Any batch dimensions before the channels give the same."""
    image, gain = torch.rand(2, 3, 4, 5) * 255, -torch.rand(2, 3, 4, 5)
    alone = torch.stack([graded(one.clone(), light(by)) for one, by in zip(image, gain, strict=True)])
    torch.testing.assert_close(graded(image, light(gain)), alone)


EVERY = torch.tensor(list(product([0.0, 60, 128, 190, 255], repeat=3))).T[:, None]


def test_light_that_is_not_seen_changes_no_colour_by_a_level() -> None:
    """What is left out moves no colour by a grey level; a light just above what is left out is seen."""
    generator = torch.Generator().manual_seed(0)
    for size in (0.0003, 0.001, 0.002, 0.004):
        for _ in range(40):
            gain = size * (2 * torch.rand(3, 1, 1, generator=generator) - 1)
            change = (graded(EVERY, light(gain).expand(5, 1, EVERY.shape[2])) - EVERY).abs().max()
            assert change < 1 or is_seen(gain)
    assert not is_seen(torch.full((3, 4, 4), 0.0005))
    assert is_seen(torch.full((3, 4, 4), -0.005))


@pytest.mark.parametrize("size", [0.002, 0.01, 0.1, 1.0])
@pytest.mark.parametrize("name", ["night", "warm", "cold", "rain"])
@pytest.mark.parametrize("span", [0.0, 0.002, 0.5])
def test_a_relit_picture_is_the_graded_one(name: str, size: float, span: float) -> None:
    """Faint and full, even and growing: no colour differs by a grey level from where nothing is left out."""
    shares = size * torch.linspace(1 - span, 1, 12).expand(1, 6, 12)
    planes = light(shares * torch.tensor(LOG_GAINS[name])[:, None, None])
    image = (torch.rand(3, 60, 120, generator=torch.Generator().manual_seed(0)) * 255).round()
    image[:, 0], image[:, 1] = EVERY[:, 0, :120], EVERY[:, 0, -120:]

    def enlarge(some: torch.Tensor) -> torch.Tensor:
        return F.interpolate(some[None], size=(60, 120), mode="bilinear", align_corners=True)[0]

    wanted = graded(image, enlarge(planes))
    assert (relit(image.clone(), planes, enlarge) - wanted).abs().max() < 1
