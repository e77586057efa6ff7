"""The cases of pictures in and out: resizing, bytes, and the mask of the given frame."""

from collections.abc import Iterator
from pathlib import Path

from pipeline import preprocess
from pipeline.parity.result import Result, case, compare, exact

BAR = 1e-6


def run(path: Path) -> Iterator[Result]:
    """Compare one ``image_io*.safetensors``."""
    file = case(path)
    stem, tensors = path.stem, file.tensors
    if "resize.out_chw" in tensors:
        expected = tensors["resize.out_chw"]
        height, width = expected.shape[-2:]
        ours = preprocess.stretch(tensors["resize.raw_hwc_u8"].cpu().numpy(), width, height)
        yield compare(f"{stem}/resize.out_chw", ours[0, :, 0], expected, BAR)
    if "quant.cli_u8_thwc" in tensors:
        ours = preprocess.to_bytes(tensors["quant.video01_tchw"]).permute(0, 2, 3, 1)
        yield exact(f"{stem}/quant.cli_u8_thwc", ours, tensors["quant.cli_u8_thwc"])
    if "quant.demo_u8" in tensors:
        ours = preprocess.signed_to_bytes(tensors["quant.demo_in_m11"])
        yield exact(f"{stem}/quant.demo_u8", ours, tensors["quant.demo_u8"])
    if "i2v_mask" in tensors:
        expected = tensors["i2v_mask"]
        latents, height, width = expected.shape[-3:]
        ours = preprocess.given_frame_mask(1 + preprocess.FRAMES_PER_LATENT * (latents - 1), height, width)
        yield exact(f"{stem}/i2v_mask", ours.expand_as(expected), expected)
