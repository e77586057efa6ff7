"""Picture quality, rate and cost of the encoders, one Markdown row each: ``python -m stream.encoder_bench``.

The clip is a slow pan, which is what most prompts for a picture come to: over a photo
(``--picture FILE``), or over a drawn one with a photo's statistics.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import cast

import av
import numpy as np
import numpy.typing as npt
from av.video.codeccontext import VideoCodecContext
from PIL import Image

from pipeline.types import Pixels
from stream.clock import VIDEO_CLOCK_HZ
from stream.encoder import Codec, StreamEncoder, YuvConverter, create_encoder
from stream.muxer import Muxer, fragmented_mp4, transport_stream
from stream.nvenc import PROBE_FPS, PROBE_KBPS, NvencEncoder, find_fault
from stream.snapshot import JPEG, PNG, encode_picture
from stream.subscription import VideoPacket

SETTLE_S = 2
PAN_PIXELS = 2.37
CEILING_KBPS = 4000
DECODERS: dict[Codec, str] = {"H264": "h264", "VP8": "libvpx"}


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one encoder made of a clip; decibels after the first two seconds, milliseconds per frame."""

    kbps: float
    psnr_mean: float
    psnr_p5: float
    ms_mean: float
    ms_p95: float
    first_bytes: int


def draw_photo(width: int, height: int, seed: int = 1) -> Pixels:
    """Draw a picture whose spectrum falls like a photo's, with hard edges over it; ``uint8 [H, W, 3]``."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None])
    frequency[0, 0] = 1
    shared = rng.standard_normal((height, width))
    planes: list[npt.NDArray[np.float64]] = []
    for _ in range(3):
        noise = 0.75 * shared + 0.45 * rng.standard_normal((height, width))
        plane = np.fft.ifft2(np.fft.fft2(noise) / frequency**1.15).real
        planes.append(plane / plane.std())
    picture = np.stack(planes, -1) * 42 + 118
    y, x = np.mgrid[0:height, 0:width]
    for number in range(width * height // 10_000):
        at_x, at_y, radius = rng.integers(0, width), rng.integers(0, height), rng.integers(8, 90)
        disc = (x - at_x) ** 2 + (y - at_y) ** 2 < radius**2
        box = (abs(x - at_x) < radius) & (abs(y - at_y) < 0.6 * radius)
        inside = disc if number % 2 else box
        picture[inside] = picture[inside] * 0.45 + rng.uniform(0, 255, 3) * 0.55
    return np.clip(picture, 0, 255).astype(np.uint8)


def pan(picture: Pixels, width: int, height: int, frames: int) -> Iterator[Pixels]:
    """Move a window over a picture by whole and part pixels; gives ``uint8 [height, width, 3]``.

    The picture must be ``PAN_PIXELS`` a frame wider than the window, and 34 pixels higher.
    """
    for number in range(frames):
        x, y = number * PAN_PIXELS, 16 + 15 * np.sin(number / 25)
        left, top = int(x), int(y)
        window = picture[top : top + height + 1, left : left + width + 1].astype(np.float32)
        window = window[:, :-1] * (1 - (x - left)) + window[:, 1:] * (x - left)
        window = window[:-1] * (1 - (y - top)) + window[1:] * (y - top)
        yield np.rint(window).astype(np.uint8)


def load_picture(path: str, width: int, height: int) -> Pixels:
    """Load a photo and scale it to cover ``width`` x ``height``."""
    with Image.open(path) as image:
        scale = max(width / image.width, height / image.height)
        size = (round(image.width * scale), round(image.height * scale))
        return np.asarray(image.convert("RGB").resize(size, Image.Resampling.LANCZOS))


def luma(picture: av.VideoFrame) -> npt.NDArray[np.float32]:
    """Give the luma of a yuv420p picture, ``float32 [H, W]``."""
    plane = picture.planes[0]
    rows = np.frombuffer(bytes(plane), np.uint8).reshape(picture.height, plane.line_size)
    return rows[:, : picture.width].astype(np.float32)


def psnr_y(a: av.VideoFrame, b: av.VideoFrame) -> float:
    """Give the peak signal-to-noise ratio of luma in decibels, at most 100."""
    error = float(((luma(a) - luma(b)) ** 2).mean())
    return 100.0 if error < 255**2 * 1e-10 else 10 * float(np.log10(255**2 / error))


def measure(encoder: StreamEncoder, clip: list[Pixels], fps: Fraction) -> Measurement:
    """Encode and decode a clip, longer than two seconds."""
    converter = YuvConverter()
    decoder = cast(VideoCodecContext, av.CodecContext.create(DECODERS[encoder.codec], "r"))
    psnr, sizes, milliseconds = list[float](), list[int](), list[float]()
    for number, frame in enumerate(clip):
        began = time.perf_counter()
        picture = converter.convert(frame)
        packet = encoder.encode(picture, round(number * VIDEO_CLOCK_HZ / fps))
        milliseconds.append((time.perf_counter() - began) * 1000)
        assert packet is not None, "the rate control left a frame out"
        sizes.append(packet.size)
        psnr += [psnr_y(picture, decoded) for decoded in decoder.decode(av.Packet(bytes(packet)))]
    settled = np.array(psnr[round(SETTLE_S * fps) :])
    return Measurement(
        kbps=sum(sizes) * 8 / 1000 * float(fps) / len(sizes),
        psnr_mean=float(settled.mean()),
        psnr_p5=float(np.percentile(settled, 5)),
        ms_mean=float(np.mean(milliseconds)),
        ms_p95=float(np.percentile(milliseconds, 95)),
        first_bytes=sizes[0],
    )


def measure_outputs(clip: list[Pixels], fps: Fraction, kbps: int) -> dict[str, float]:
    """Give the milliseconds that a frame costs besides its encode, for each thing that is made of it."""
    encoder, converter = create_encoder("H264", fps, kbps, CEILING_KBPS), YuvConverter()
    packets: list[VideoPacket] = []
    for number, frame in enumerate(clip):
        pts = round(number * VIDEO_CLOCK_HZ / fps)
        encoded = encoder.encode(converter.convert(frame), pts)
        if encoded is not None:
            packets.append(VideoPacket(pts, encoded.is_keyframe, encoded, [], (frame.shape[1], frame.shape[0])))
    makers: dict[str, Callable[[], Muxer]] = {"MPEG-TS": transport_stream, "MP4": fragmented_mp4}
    costs: dict[str, float] = {}
    for name, make in makers.items():
        muxer, began = make(), time.perf_counter()
        for packet in packets:
            muxer.mux(packet)
        costs[name] = (time.perf_counter() - began) * 1000 / len(packets)
        muxer.finish()
    for kind in (PNG, JPEG):
        began = time.perf_counter()
        for frame in clip[:8]:
            encode_picture(frame, kind)
        costs[kind] = (time.perf_counter() - began) * 1000 / len(clip[:8])
    return costs


def encoders(fps: Fraction, kbps: int) -> dict[str, StreamEncoder]:
    """Give the encoders to be had here, by name."""
    found: dict[str, StreamEncoder] = {
        "H.264, x264": create_encoder("H264", fps, kbps, CEILING_KBPS),
        "VP8, libvpx": create_encoder("VP8", fps, kbps, CEILING_KBPS),
    }
    if find_fault(NvencEncoder(PROBE_FPS, PROBE_KBPS)) is None:
        found["H.264, NVENC"] = NvencEncoder(fps, kbps)
    return found


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(prog="python -m stream.encoder_bench", description=__doc__)
    parser.add_argument("--picture", help="a photo to pan over (default: a drawn one)")
    parser.add_argument("--size", default="832x480", help="WIDTHxHEIGHT (default: %(default)s)")
    parser.add_argument("--fps", type=Fraction, default=Fraction(16))
    parser.add_argument("--kbps", type=int, default=2500, help="on the wire (default: %(default)s)")
    parser.add_argument("--seconds", type=int, default=10)
    arguments = parser.parse_args()
    width, height = (int(part) for part in arguments.size.split("x"))
    frames = int(arguments.seconds * arguments.fps)
    canvas = (width + int(frames * PAN_PIXELS) + 2, height + 34)
    picture = load_picture(arguments.picture, *canvas) if arguments.picture else draw_photo(*canvas)
    clip = list(pan(picture, width, height, frames))
    print("| encoder | size, frames/s | asked kbit/s | kbit/s | PSNR-Y dB | 5th pct | ms/frame | p95 | first |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name, encoder in encoders(arguments.fps, arguments.kbps).items():
        m = measure(encoder, clip, arguments.fps)
        print(
            f"| {name} | {width}x{height}, {float(arguments.fps):g} | {arguments.kbps} | {m.kbps:.0f} "
            f"| {m.psnr_mean:.1f} | {m.psnr_p5:.1f} | {m.ms_mean:.1f} | {m.ms_p95:.1f} "
            f"| {m.first_bytes / 1000:.0f} kB |"
        )
    costs = measure_outputs(clip, arguments.fps, arguments.kbps)
    print("\nMilliseconds a frame: " + ", ".join(f"{name} {cost:.3g}" for name, cost in costs.items()))


if __name__ == "__main__":
    main()
