"""Tests of what stands upright: found by its lines, and of one nearness."""

import torch

from pipeline.pocket.uprights import as_feet, standing_lines

CELLS = (60, 104)


def picture(grains: float = 0.0) -> torch.Tensor:
    """A bright tower, columns 80 to 99 and down to row 89, on a plain with grains."""
    generator = torch.Generator().manual_seed(0)
    plain = 90 + grains * torch.rand(1, 1, 120, 208, generator=generator)
    plain[..., 20:90, 80:100] = 200
    return plain


def test_a_tower_is_found_and_a_plain_is_not() -> None:
    """Both sides of a tower and what is between them stand; the ground beside and below it does not, rough as it is."""
    found = standing_lines(picture(20.0), CELLS)[0]
    assert float(found[12:42, 41:49].min()) > 0.8
    assert float(found[:, :34].max()) < 0.1
    assert float(found[50:].max()) < 0.1


def test_a_slope_across_does_not_stand() -> None:
    """Lines across, and soft light from one side, are no upright lines."""
    across = picture()
    across[:] = 90
    across[..., 50:60, 60:160] = 200
    soft = torch.linspace(0, 255, 208).expand(1, 1, 120, 208)
    assert float(standing_lines(soft, CELLS).max()) == 0
    assert float(standing_lines(across, CELLS).max()) < 0.1


def test_what_stands_is_as_near_as_its_foot() -> None:
    """On ground that comes nearer row by row a tower has its foot's nearness to its top; beside it nothing changes."""
    ground = torch.linspace(0, 1, 60)[None, :, None].expand(1, *CELLS)
    near = as_feet(ground, standing_lines(picture(), CELLS))
    tower = near[0, 12:43, 42:48]
    assert float(tower.max() - tower.min()) < 0.03
    assert float(tower.min()) > float(ground[0, 42, 0])
    assert torch.equal(near[..., :30], ground[..., :30])
    assert torch.equal(near[:, 50:], ground[:, 50:])
