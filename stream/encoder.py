"""Video encoders of our own: frames in, one packet each out, at the stream's true frame rate.

aiortc's encoders assume 30 frames/s and are re-created at every change of the bit rate, which at 16
frames/s starves H.264 and costs a keyframe each time. These keep their rate and are told when to make
a keyframe, so one encode can feed many peers.
"""

import math
import os
from fractions import Fraction
from typing import TYPE_CHECKING, Literal, Protocol, cast

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from pipeline.types import Pixels
from stream.clock import VIDEO_CLOCK_HZ

if TYPE_CHECKING:
    EncodedPacket = av.Packet[av.VideoStream]
else:
    EncodedPacket = av.Packet  # generic in the stubs alone

Codec = Literal["H264", "VP8"]
TIME_BASE = Fraction(1, VIDEO_CLOCK_HZ)

# The rate asked for is meant on the wire; RTP, SRTP and UDP headers take about 4 % of it.
PAYLOAD_SHARE = 0.95
# A keyframe of a photo needs about this much slack, and more would show as delay on a tight link.
X264_BUFFER_S = 0.4
VPX_BUFFER_S = 0.5
# One is made on request; this only bounds how long a viewer whose requests are lost stays frozen.
KEYFRAME_INTERVAL_S = 30
# A change costs VP8 a keyframe: a fall is worth it at once, a rise if it is large.
VPX_FALL, VPX_RISE = 0.25, 0.5
# A rate that falls goes deeper than it will stay, to empty a queue.
VPX_AFTER_FALL = 1.2
# How far the rate may be from the one that the encoder's buffer was made for, before the next keyframe makes it anew.
X264_CHANGE = 1.5
# How far it may rise in place. The more, the larger the buffer: it holds at least a frame's share of the most.
X264_RANGE = 4
# One thread of a server's CPU converts and encodes about 170 million pixels a second (x264; VP8 half of that). Above a
# quarter of that rate a frame is shared out among threads, so that it takes a small part of its time.
PIXELS_PER_THREAD_S = 40_000_000
MOST_THREADS = 4
# Slices of a smaller frame cost more to hand out than they save.
CONVERTED_BY_ONE = 1_000_000


class StreamEncoder(Protocol):
    """One codec's encoder for one stream; blocking, used by one thread at a time.

    A picture of another size than the one before is a keyframe, from which decoders go on in that size.
    """

    @property
    def codec(self) -> Codec:
        """The RTP name of the codec."""
        ...

    def encode(self, picture: av.VideoFrame, pts: int, keyframe: bool = False) -> EncodedPacket | None:
        """Encode a yuv420p picture, whose ``pts`` is in 1/90000 s and rises strictly.

        Gives the packet with the same ``pts``, or None when the rate control left the frame out.
        """
        ...

    def set_bitrate(self, kbps: int) -> None:
        """Aim at this rate on the wire from the next frame on."""
        ...

    def set_rate(self, fps: Fraction) -> None:
        """Expect this many frames a second; a change costs a keyframe."""
        ...

    def close(self) -> None:
        """Free the codec; the next ``encode`` would open a new one."""
        ...


class YuvConverter:
    """Turns RGB pixels into what the encoders take; keeps its scaler between frames."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()

    def convert(self, pixels: Pixels) -> av.VideoFrame:
        """Convert ``uint8 [H, W, 3]`` RGB to a yuv420p picture, BT.601 studio range; H and W are even.

        >>> YuvConverter().convert(np.full((2, 4, 3), 255, np.uint8)).format.name
        'yuv420p'
        """
        height, width = pixels.shape[:2]
        # Its pixels are read where they are: a copy takes 0.5 ms of 2.5, and at 1920x1080 as long as the conversion.
        rgb = av.VideoFrame.from_numpy_buffer(np.ascontiguousarray(pixels), format="rgb24")
        return self._reformatter.reformat(
            rgb,
            width,
            height,
            "yuv420p",
            interpolation=Interpolation.AREA,
            dst_colorspace=Colorspace.ITU601,
            dst_color_range=ColorRange.MPEG,
            threads=1 if width * height <= CONVERTED_BY_ONE else thread_count(MOST_THREADS),
        )


def thread_count(wanted: int) -> int:
    """Give as many threads as are wanted, but no more than half of this machine's processors, and at least one."""
    return max(1, min(wanted, MOST_THREADS, (os.cpu_count() or 1) // 2))


def threads_for(width: int, height: int, fps: Fraction) -> int:
    """Give the threads that one encoder takes: one up to 832x480 at 60 frames/s, more for what is larger.

    >>> threads_for(832, 480, Fraction(60))
    1
    """
    return thread_count(math.ceil(width * height * fps / PIXELS_PER_THREAD_S))


class FFmpegEncoder:
    """What all codecs share: opening when needed, stamping pictures, taking packets."""

    codec: Codec

    def __init__(self, fps: Fraction, kbps: int) -> None:
        self._fps = fps
        self._kbps = kbps
        self._context: VideoCodecContext | None = None

    def encode(self, picture: av.VideoFrame, pts: int, keyframe: bool = False) -> EncodedPacket | None:
        context = self._context
        if context is None or (context.width, context.height) != (picture.width, picture.height):
            context = self._context = self._open(picture.width, picture.height)
        picture.pts = pts
        picture.time_base = TIME_BASE
        picture.pict_type = PictureType.I if keyframe else PictureType.NONE
        packets = context.encode(picture)
        return packets[0] if packets else None

    def set_rate(self, fps: Fraction) -> None:
        if fps != self._fps:
            self._fps = fps
            self._context = None

    def close(self) -> None:
        self._context = None

    @property
    def _bits(self) -> int:
        return round(self._kbps * 1000 * PAYLOAD_SHARE)

    def _create(self, library: str, width: int, height: int) -> VideoCodecContext:
        context = cast(VideoCodecContext, av.CodecContext.create(library, "w"))
        context.width, context.height = width, height
        context.pix_fmt = "yuv420p"
        context.time_base = TIME_BASE
        context.framerate = self._fps
        context.thread_count = threads_for(width, height, self._fps)
        context.gop_size = round(KEYFRAME_INTERVAL_S * self._fps)
        return context

    def _open(self, width: int, height: int) -> VideoCodecContext:
        raise NotImplementedError


class X264Encoder(FFmpegEncoder):
    """H.264 constrained baseline by libx264, its bit rate changed in place up to ``ceiling_kbps``."""

    codec: Codec = "H264"

    def __init__(self, fps: Fraction, kbps: int, ceiling_kbps: int) -> None:
        super().__init__(fps, min(kbps, ceiling_kbps))
        self._ceiling = ceiling_kbps
        self._opened_kbps = self._kbps

    def encode(self, picture: av.VideoFrame, pts: int, keyframe: bool = False) -> EncodedPacket | None:
        change = self._kbps / self._opened_kbps
        if change > X264_RANGE or (keyframe and not 1 / X264_CHANGE < change < X264_CHANGE):
            self._context = None
        before = self._context
        packet = super().encode(picture, pts, keyframe)
        # Of another size, too, it was opened anew.
        if self._context is not None and self._context is not before:
            self._context.bit_rate = self._bits
        return packet

    def set_bitrate(self, kbps: int) -> None:
        self._kbps = min(kbps, self._ceiling)
        if self._context is not None:
            self._context.bit_rate = self._bits

    def _open(self, width: int, height: int) -> VideoCodecContext:
        context = self._create("libx264", width, height)
        # libx264 takes later changes only if it was opened with bit_rate == maxrate, and none above
        # that, so it is opened at a ceiling and brought to its rate after the first frame. Its buffer it
        # never changes: one made for the ceiling of all would let a keyframe at a tenth of it take seconds.
        self._opened_kbps = self._kbps
        ceiling = round(min(self._ceiling, X264_RANGE * self._kbps) * 1000 * PAYLOAD_SHARE)
        context.bit_rate = ceiling
        context.colorspace = Colorspace.ITU601
        context.color_range = ColorRange.MPEG
        context.options = {
            "preset": "superfast",
            "tune": "zerolatency",
            "profile": "baseline",
            "maxrate": str(ceiling),
            "bufsize": str(round(self._bits * X264_BUFFER_S)),
            # Three references are worth 0.8 dB on a pan for 0.4 ms a frame. A cut needs no keyframe: its
            # blocks are coded afresh anyway, and nobody joins there.
            "x264-params": "ref=3:scenecut=0",
        }
        return context


class VpxEncoder(FFmpegEncoder):
    """VP8 by libvpx; a change of rate re-creates it, so it follows falls at once, and rises only if they are large."""

    codec: Codec = "VP8"
    settle_s = 2

    def __init__(self, fps: Fraction, kbps: int) -> None:
        super().__init__(fps, kbps)
        self._opened_kbps = kbps
        self._margin = 1.0
        self._ticks = 0
        self._since_open = 0

    def encode(self, picture: av.VideoFrame, pts: int, keyframe: bool = False) -> EncodedPacket | None:
        change = self._kbps / self._opened_kbps - 1
        follows = change < -VPX_FALL or (change > VPX_RISE and self._since_open >= self.settle_s * self._fps)
        # A keyframe that it is asked for midway takes 50 to 70 kB also at 650 kbit/s, its first one 7 kB.
        if follows or (keyframe and self._since_open):
            self._context = None
            self._margin = VPX_AFTER_FALL if change < -VPX_FALL else 1.0
        # Told of a gap, libvpx makes the next frame as much larger. Where frames are left out to lower the rate, that
        # would undo it, and each gap would be longer than the last.
        self._ticks += round(VIDEO_CLOCK_HZ / self._fps)
        packet = super().encode(picture, self._ticks, keyframe)
        self._since_open += 1
        if packet is not None:
            packet.pts = packet.dts = pts
        return packet

    def set_bitrate(self, kbps: int) -> None:
        self._kbps = kbps

    def _open(self, width: int, height: int) -> VideoCodecContext:
        context = self._create("libvpx", width, height)
        self._opened_kbps, self._since_open = self._kbps, 0
        bits = round(self._bits * self._margin)
        rate = str(bits)
        context.bit_rate = bits
        context.qmin, context.qmax = 2, 56
        context.options = {
            "deadline": "realtime",
            # For a pan 6 % less time than -6, for the same PSNR; -9 costs 1.4 dB.
            "cpu-used": "-8",
            "lag-in-frames": "0",
            # Equal bounds are how FFmpeg is told constant bit rate.
            "minrate": rate,
            "maxrate": rate,
            "bufsize": str(round(bits * VPX_BUFFER_S)),
            "undershoot-pct": "100",
            "overshoot-pct": "15",
            # Of a mean frame, in percent: what a keyframe takes beyond it is time in which nothing moves.
            "max-intra-rate": "400",
        }
        return context


def create_encoder(codec: Codec, fps: Fraction, kbps: int, ceiling_kbps: int) -> StreamEncoder:
    """Create the encoder for a codec at ``fps`` and ``kbps``, which will never exceed ``ceiling_kbps``."""
    if codec == "H264":
        return X264Encoder(fps, kbps, ceiling_kbps)
    return VpxEncoder(fps, min(kbps, ceiling_kbps))
