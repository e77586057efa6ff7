import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.networks.upsampling import clear_outside, fold_reading, fold_upsampling, unblock


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def upsampled(x: Tensor, weight: Tensor) -> Tensor:
    return F.conv2d(F.interpolate(x, scale_factor=2.0, mode="nearest"), weight, padding=1)


@pytest.mark.parametrize("size", [(1, 1), (2, 5), (4, 3)])
def test_the_folded_kernel_does_what_upsampling_and_convolution_do(size: tuple[int, int]) -> None:
    """In float64 the difference is rounding, at the picture's edges too."""
    x, weight = noise(2, 3, *size), noise(5, 3, 3, 3, seed=1)
    folded = fold_upsampling(weight)
    assert folded.shape == (20, 3, 2, 2)
    torch.testing.assert_close(unblock(F.conv2d(x, folded, padding=1)), upsampled(x, weight), rtol=0, atol=1e-13)


@pytest.mark.parametrize("size", [(1, 1), (2, 5), (4, 3)])
def test_a_second_convolution_reads_the_blocks_as_they_lie(size: tuple[int, int]) -> None:
    """What lies outside is cleared, and the result comes in whole blocks: no picture of full size is put together."""
    x, first, second = noise(2, 3, *size), noise(5, 3, 3, 3, seed=1), noise(4, 5, 3, 3, seed=2)
    blocks = F.conv2d(x, fold_upsampling(first), padding=1)
    spoilt = blocks.clone()
    clear_outside(blocks)
    assert torch.equal(unblock(blocks), unblock(spoilt))
    whole = F.conv2d(blocks, fold_reading(second)).unflatten(1, (2, 2, 4))
    pixels = whole.permute(0, 3, 4, 1, 5, 2).flatten(4, 5).flatten(2, 3)
    torch.testing.assert_close(pixels, F.conv2d(upsampled(x, first), second, padding=1), rtol=0, atol=1e-12)
    assert not torch.equal(F.conv2d(spoilt, fold_reading(second)), F.conv2d(blocks, fold_reading(second)))


def test_weights_keep_their_dtype_and_pixels_lie_channels_last() -> None:
    """Half-precision weights are added in float32 and rounded once."""
    weight = noise(5, 3, 3, 3).half()
    folded = fold_upsampling(weight)
    assert folded.dtype == torch.float16
    assert torch.equal(folded, fold_upsampling(weight.float()).half())
    assert unblock(noise(1, 8, 3, 3)).is_contiguous(memory_format=torch.channels_last)
