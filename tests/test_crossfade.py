import pytest
import torch

from pipeline.pocket.crossfade import cell, mixed


def detail(image: torch.Tensor) -> float:
    return float((image.diff(dim=-1).square().mean() + image.diff(dim=-2).square().mean()).sqrt())


def grain(seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    small = torch.rand(1, 3, 60, 104, generator=generator)
    return 255 * torch.nn.functional.interpolate(small, scale_factor=2, mode="bicubic")[0]


@pytest.mark.parametrize("share", [0.1, 0.35, 0.5, 0.8])
def test_a_mix_of_two_is_as_crisp_as_each(share: float) -> None:
    """Detail that the two have not in common stays within a twelfth, where mixing alone loses up to 30 %."""
    one, other = grain(1), grain(2)
    assert detail(mixed(one, other, share, 8)) == pytest.approx(detail(one), rel=0.08)


def test_wide_shapes_are_left_as_they_are() -> None:
    """A slope of colour, which both phases show, comes out of the mix unchanged, and one phase alone as it is."""
    slope = torch.linspace(0, 255, 104).expand(3, 64, 104)
    assert (mixed(slope, slope, 0.5, 8) - slope).abs()[..., 8:-8].max() < 0.5
    assert torch.equal(mixed(grain(1), slope[:, :1, :1].expand(3, 120, 208), 0.0, 8), grain(1))


def test_rows_of_whole_cells_are_mixed_as_in_the_whole() -> None:
    """What is cut out at a cell's edge has the same pixels, but for the row of cells at the cut."""
    one, other = grain(1), grain(2)
    part = mixed(one[:, 16:80], other[:, 16:80], 0.5, 8)
    assert torch.allclose(part[:, 8:-8], mixed(one, other, 0.5, 8)[:, 24:72], atol=1e-3)


def test_frames_of_other_sizes_have_cells_as_wide_in_the_scene() -> None:
    """A cell is 8 units, and sides that are no multiples of it are mixed whole."""
    assert (cell(1.0), cell(2.25), cell(0.05)) == (8, 18, 1)
    assert mixed(grain(1)[:, :101, :77], grain(2)[:, :101, :77], 0.5, 18).shape == (3, 101, 77)
