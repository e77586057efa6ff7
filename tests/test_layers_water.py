"""Tests of the water that pictures are flooded with in the training of the network of layers."""

import torch
from torch import Tensor

from pipeline.pocket.layers_water import flooded

COUNT = 48


def _flooded() -> tuple[Tensor, Tensor, Tensor]:
    """Pictures that are light above and dark below, the same flooded, and where."""
    torch.manual_seed(0)
    image = torch.full((COUNT, 3, 96, 176), 0.2)
    image[:, :, :48] = 0.8
    return image, *flooded(image)


def test_water_is_a_picture_and_its_place_a_mask() -> None:
    """Colours stay colours, and a place is water or not."""
    image, water, here = _flooded()
    assert water.shape == image.shape
    assert here.shape == (COUNT, 1, 96, 176)
    assert float(water.min()) >= 0
    assert float(water.max()) <= 1
    assert set(here.unique().tolist()) == {0.0, 1.0}


def test_there_are_seas_that_fill_the_frame_and_waters_with_a_shore() -> None:
    """Some have no horizon; of the others none reaches the top, and most cover a part of the picture."""
    here = _flooded()[2].mean((1, 2, 3))
    assert 0 < int((here == 1).sum()) < COUNT / 2
    assert int(((here > 0.02) & (here < 0.8)).sum()) > COUNT / 2
    assert not _flooded()[2][here < 1, 0, :20].any()


def test_a_sea_without_shores_is_never_a_plain_colour() -> None:
    """It has waves, so that fog and walls are not learned to be water."""
    _, water, here = _flooded()
    seas = water[here.mean((1, 2, 3)) == 1].mean(1)
    waves = seas - torch.nn.functional.avg_pool2d(seas, 9, 1, 4)
    assert (waves[:, 9:-9, 9:-9].std((1, 2)) > 0.002).all()


def test_a_still_lake_mirrors_what_is_above_it() -> None:
    """A light sky over it makes water lighter, in the mean, than a dark one does."""
    image = _flooded()[0]
    means = list[float]()
    for picture in (image, 0.2 * image):
        torch.manual_seed(1)
        water, here = flooded(picture)
        means.append(float((water * here).sum() / here.sum()))
    assert means[0] > 2 * means[1]
