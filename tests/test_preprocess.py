"""Pictures in and out: how they meet the frame, how values become bytes, and what says which frame is given."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from pipeline.geometry import cover_crop
from pipeline.preprocess import cover, given_frame, given_frame_mask, signed_to_bytes, stretch, to_bytes
from pipeline.types import Pixels

Way = Callable[[Pixels, int, int], Tensor]


def picture(height: int, width: int) -> Pixels:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("way", [cover, stretch])
def test_a_picture_of_the_frames_size_is_only_scaled(way: Way) -> None:
    """Bytes 0 to 255 become -1 to 1, channels first, with axes for batch and time."""
    image = picture(6, 8)
    given = way(image, 8, 6)
    assert (given.shape, given.dtype) == ((1, 3, 1, 6, 8), torch.float32)
    torch.testing.assert_close(given[0, :, 0], torch.from_numpy(image).permute(2, 0, 1) / 127.5 - 1)
    white = np.full((6, 8, 3), 255, np.uint8)
    assert (way(white, 8, 6).unique().tolist(), way(0 * white, 8, 6).unique().tolist()) == ([1.0], [-1.0])


@pytest.mark.parametrize("way", [cover, stretch])
def test_a_picture_made_smaller_does_not_alias(way: Way) -> None:
    """Stripes one pixel wide become grey at a quarter of the size, where plain sampling would show bands."""
    stripes = np.zeros((64, 96, 3), np.uint8)
    stripes[:, ::2] = 255
    inner = way(stripes, 24, 16)[0, :, 0, 1:-1, 1:-1]
    assert inner.abs().max() < 0.02


def test_stretching_keeps_all_of_the_picture_and_not_its_shape() -> None:
    """Four quarters of a wide picture are four quarters of a tall one, each of its colour, channels in order."""
    quarters = np.zeros((20, 80, 3), np.uint8)
    quarters[:10, :40, 0] = quarters[:10, 40:, 1] = quarters[10:, :40, 2] = 255
    given = stretch(quarters, 16, 32)[0, :, 0]
    assert given.shape == (3, 32, 16)
    assert given[:, 0, 0].tolist() == [1, -1, -1]
    assert given[:, 0, -1].tolist() == [-1, 1, -1]
    assert given[:, -1, 0].tolist() == [-1, -1, 1]
    assert given[:, -1, -1].tolist() == [-1, -1, -1]


@pytest.mark.parametrize("size", [(24, 100), (60, 32), (48, 96)])
def test_covering_scales_the_whole_picture_and_shows_its_centre(size: tuple[int, int]) -> None:
    """It equals scaling the picture as a whole and cropping, where both come out in whole pixels, edges too."""
    image = picture(*size)
    left, top, right, bottom = cover_crop(size[1], size[0], (16, 12))
    factor = 16 / (size[1] - left - right)
    whole = Image.fromarray(image).resize((round(size[1] * factor), round(size[0] * factor)), Image.Resampling.BILINEAR)
    x, y = round(left * factor), round(top * factor)
    kept = np.asarray(whole, np.float32)[y : y + 12, x : x + 16]
    assert left + top + right + bottom > 0
    given, expected = cover(image, 16, 12)[0, :, 0], torch.from_numpy(kept).permute(2, 0, 1) / 127.5 - 1
    # One step of 255: Pillow rounds between its two passes.
    torch.testing.assert_close(given, expected, atol=1.01 / 127.5, rtol=0)


def test_values_are_cut_to_bytes_not_rounded() -> None:
    """Just below a whole step is the step below, out of bounds is the bound, in either range and any precision."""
    unit = torch.tensor([-0.5, 0.0, 0.9999 / 255, 1.0001 / 255, 254.9 / 255, 1.0, 1.5])
    assert to_bytes(unit).tolist() == [0, 0, 0, 1, 254, 255, 255]
    signed = torch.tensor([-1.5, -1.0, -0.001, 0.0, 0.9999, 1.0, 1.5])
    assert signed_to_bytes(signed).tolist() == [0, 0, 127, 127, 254, 255, 255]
    # Just below a whole step as well, which half precision would round up to it.
    assert to_bytes(torch.tensor([1124 / 2048], dtype=torch.float16)).item() == 139
    assert signed_to_bytes(torch.tensor([0.98828125], dtype=torch.bfloat16)).item() == 253
    assert (to_bytes(torch.zeros(2, 3)).dtype, to_bytes(torch.zeros(2, 3)).shape) == (torch.uint8, (2, 3))


@pytest.mark.parametrize(("frames", "latents"), [(1, 1), (9, 3), (81, 21)])
def test_the_mask_is_ones_for_the_first_latent_frame_alone(frames: int, latents: int) -> None:
    """Four channels, one for each frame that a latent stands for; the given frame fills all four of the first."""
    mask = given_frame_mask(frames, 4, 6)
    assert (mask.shape, mask.dtype) == ((4, latents, 4, 6), torch.float32)
    assert (mask[:, 0] == 1).all()
    assert (mask[:, 1:] == 0).all()


def test_the_mask_lies_on_top_of_the_latents() -> None:
    """Channels 0 to 3 are the mask for every item of the batch, the other 16 the latents as they were."""
    latents = torch.randn(2, 16, 3, 4, 6, dtype=torch.bfloat16)
    given = given_frame(latents)
    assert (given.shape, given.dtype) == ((2, 20, 3, 4, 6), torch.bfloat16)
    assert torch.equal(given[:, 4:], latents)
    for item in given:
        assert torch.equal(item[:4].float(), given_frame_mask(9, 4, 6))
