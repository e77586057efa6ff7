"""H.264 by the GPU's own encoder, NVENC, where there is one that works; x264 everywhere else.

A card may lack the unit (H100 and H200 do), a driver its library, a container the right to use it, and consumer
cards open only so many at once. So it is tried at the start with real frames, and a stream whose encoder fails
later goes on with x264.
"""

import glob
import logging
from collections.abc import Callable
from fractions import Fraction
from typing import cast

import av.logging
import numpy as np
from av.error import FFmpegError
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace

from pipeline.errors import ConfigError
from stream.clock import VIDEO_CLOCK_HZ
from stream.config import EncoderChoice
from stream.encoder import (
    Codec,
    EncodedPacket,
    FFmpegEncoder,
    StreamEncoder,
    X264Encoder,
    YuvConverter,
    create_encoder,
)

logger = logging.getLogger(__name__)

MakeH264 = Callable[[Fraction, int], StreamEncoder]

# What the drivers of NVIDIA make, on Linux and in WSL.
GPU_DEVICES = "/dev/nvidia[0-9]*", "/dev/dxg"
PROBE_SIZE = (320, 256)
PROBE_FPS = Fraction(16)
PROBE_KBPS = 1000
PROBE_FRAMES = 4
PROBE_KEYFRAME = 2
SPS = b"\x00\x00\x01\x67"
BASELINE = 66
BUFFER_S = 0.25
# FFmpeg resets NVENC whenever its rate changes (nvenc.c of 8.1), which costs a keyframe.
CHANGE = 0.15


class NvencUnusable(ConfigError):
    """The configuration wants NVENC in any case, and it does not work here."""


class NvencEncoder(FFmpegEncoder):
    """H.264 baseline by the GPU; a change of rate costs a keyframe, so it follows only large ones, falls sooner."""

    codec: Codec = "H264"
    fall_settle_s = 1
    rise_settle_s = 4

    def __init__(self, fps: Fraction, kbps: int) -> None:
        super().__init__(fps, kbps)
        self._applied_kbps = kbps
        self._since_change = 0

    def encode(self, picture: VideoFrame, pts: int, keyframe: bool = False) -> EncodedPacket | None:
        change = self._kbps / self._applied_kbps - 1
        settle_s = self.fall_settle_s if change < 0 else self.rise_settle_s
        if self._context is not None and abs(change) > CHANGE and self._since_change >= settle_s * self._fps:
            self._context.bit_rate = self._bits
            self._applied_kbps, self._since_change = self._kbps, 0
        packet = super().encode(picture, pts, keyframe)
        self._since_change += 1
        return packet

    def set_bitrate(self, kbps: int) -> None:
        self._kbps = kbps

    def _open(self, width: int, height: int) -> VideoCodecContext:
        context = self._create("h264_nvenc", width, height)
        self._applied_kbps, self._since_change = self._kbps, 0
        context.bit_rate = self._bits
        context.max_b_frames = 0
        context.colorspace = Colorspace.ITU601
        context.color_range = ColorRange.MPEG
        context.options = {
            "preset": "p4",
            "tune": "ull",
            "profile": "baseline",
            "rc": "cbr",
            "bufsize": str(round(self._bits * BUFFER_S)),
            # With these each frame's packet comes out of the call that put the frame in.
            "zerolatency": "1",
            "delay": "0",
            "forced-idr": "1",
        }
        return context


class SparedEncoder:
    """An encoder that may fail, and the one that takes over for good when it does, from that very frame on.

    ``make`` and ``make_spare`` are called with frames/s and kbit/s.
    """

    def __init__(self, make: MakeH264, make_spare: MakeH264, fps: Fraction, kbps: int) -> None:
        self._encoder = make(fps, kbps)
        self._make_spare: MakeH264 | None = make_spare
        self._fps = fps
        self._kbps = kbps

    @property
    def codec(self) -> Codec:
        """The RTP name of the codec."""
        return self._encoder.codec

    def encode(self, picture: VideoFrame, pts: int, keyframe: bool = False) -> EncodedPacket | None:
        """Encode a picture, as :class:`stream.encoder.StreamEncoder` says.

        Raises av.error.FFmpegError only when the spare encoder breaks too.
        """
        if self._make_spare is None:
            return self._encoder.encode(picture, pts, keyframe)
        try:
            packet = self._encoder.encode(picture, pts, keyframe)
            if packet is not None and packet.pts == pts:
                return packet
            # It leaves no frame out by itself: one that does not come out comes late, or never.
            reason = "a frame did not come out"
        except FFmpegError as error:
            reason = _words(error)
        logger.warning("NVENC failed at %sx%s (%s): on with x264", picture.width, picture.height, reason)
        self._encoder.close()
        self._encoder, self._make_spare = self._make_spare(self._fps, self._kbps), None
        return self._encoder.encode(picture, pts, keyframe)

    def set_bitrate(self, kbps: int) -> None:
        """Aim at this rate on the wire from the next frame on."""
        self._kbps = kbps
        self._encoder.set_bitrate(kbps)

    def set_rate(self, fps: Fraction) -> None:
        """Expect this many frames a second; a change costs a keyframe."""
        self._fps = fps
        self._encoder.set_rate(fps)

    def close(self) -> None:
        """Free the codec."""
        self._encoder.close()


class Encoders:
    """Makes the encoders of all streams, as the configuration has it and as the probe found."""

    def __init__(self, choice: EncoderChoice, make_nvenc: MakeH264 = NvencEncoder) -> None:
        self._choice: EncoderChoice = choice
        self._make_nvenc = make_nvenc
        self._uses_nvenc = False

    def probe(self, gpu_is_there: bool) -> None:
        """Find out once whether NVENC works, if it is wanted; blocking, a second or so where a GPU has to be woken.

        Raises NvencUnusable.
        """
        if self._choice == "x264" or (self._choice == "auto" and not gpu_is_there):
            return
        fault = find_fault(self._make_nvenc(PROBE_FPS, PROBE_KBPS))
        if fault is None:
            self._uses_nvenc = True
            logger.info("H.264 is encoded by the GPU (NVENC)")
        elif self._choice == "nvenc":
            raise NvencUnusable(f"stream.encoder: nvenc does not work here ({fault}); auto takes x264 then")
        else:
            logger.info("NVENC does not work here (%s): H.264 is encoded on the CPU (x264)", fault)

    def create(self, codec: Codec, fps: Fraction, kbps: int, ceiling_kbps: int) -> StreamEncoder:
        """Create the encoder for a codec at ``fps`` and ``kbps``, which will never exceed ``ceiling_kbps``."""
        if codec != "H264" or not self._uses_nvenc:
            return create_encoder(codec, fps, kbps, ceiling_kbps)

        def make_spare(fps: Fraction, kbps: int) -> StreamEncoder:
            return X264Encoder(fps, kbps, ceiling_kbps)

        return SparedEncoder(self._make_nvenc, make_spare, fps, min(kbps, ceiling_kbps))


def has_gpu() -> bool:
    """Tell whether a GPU of NVIDIA is there, going by its driver; what it can is not looked at."""
    return any(glob.glob(pattern) for pattern in GPU_DEVICES)


def find_fault(encoder: StreamEncoder) -> str | None:
    """Encode a few frames and look at each packet; gives what is wrong with the encoder, None if nothing is.

    Wanted is what a stream needs: a packet for each frame at once, a keyframe when asked and not else, baseline.
    The encoder is closed afterwards.
    """
    width, height = PROBE_SIZE
    picture = YuvConverter().convert(np.full((height, width, 3), 90, np.uint8))
    level = av.logging.get_level()
    # FFmpeg tells the cause only to a log that is on.
    av.logging.set_level(av.logging.ERROR)
    try:
        with av.logging.Capture():
            return _encode_some(encoder, picture)
    except FFmpegError as error:
        return _words(error)
    finally:
        av.logging.set_level(level)
        encoder.close()


def _encode_some(encoder: StreamEncoder, picture: VideoFrame) -> str | None:
    for number in range(PROBE_FRAMES):
        pts, wanted = round(number * VIDEO_CLOCK_HZ / PROBE_FPS), number in (0, PROBE_KEYFRAME)
        packet = encoder.encode(picture, pts, keyframe=number == PROBE_KEYFRAME)
        if packet is None or packet.pts != pts:
            return "it keeps frames back"
        if packet.is_keyframe != wanted:
            return "its keyframes do not come when they are asked for"
        data = bytes(packet)
        at = data.find(SPS) + len(SPS)
        if wanted and (SPS not in data or data[at] != BASELINE):
            return "its video is not H.264 baseline"
    return None


def _words(error: FFmpegError) -> str:
    # What FFmpeg logged names the cause, such as a library that is missing; the error itself is a number.
    logged = cast("tuple[int, str, str] | None", error.log)
    return logged[2].strip() if logged else str(error.strerror)
