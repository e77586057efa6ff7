"""An MP4 file of made chunks, whole or not there at all."""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.container import OutputContainer
from av.error import FFmpegError
from av.subtitles.stream import SubtitleStream
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream

from pipeline.geometry import fitted
from pipeline.types import Chunk, Pixels

TICKS_PER_FRAME = 720
CAPTION_BYTES = 65_535
STYLE = (
    b"[Script Info]\r\nScriptType: v4.00+\r\n\r\n[V4+ Styles]\r\n"
    b"Format: Name, Fontname, Fontsize, PrimaryColour, BackColour, Bold, Italic, Underline, BorderStyle, Alignment\r\n"
    b"Style: Default,Sans,18,&Hffffff,&H0,0,0,0,1,2\r\n\r\n[Events]\r\nFormat: Layer, Start, End, Style, Text\r\n"
)
"""How captions look, as the encoder's header wants it: white, at the bottom (Advanced SubStation Alpha)."""


def write_mp4(path: Path, chunks: Iterable[Chunk]) -> int:
    """Encode chunks with x264, each at its own frame rate; give the number of frames.

    The file is as large as the first chunk; frames of another size are shown whole in it, on black.
    It has its name only once it is whole: until then, and never after an error, there is ``path`` with
    ``.part`` added. Raises OSError when it can't be written, and what ``chunks`` raises.
    """
    return _whole(path, ((chunk, "") for chunk in chunks), is_captioned=False)


def write_captioned_mp4(path: Path, captioned: Iterable[tuple[Chunk, str]]) -> int:
    """Do as :func:`write_mp4` does, with what stands beside each chunk as a subtitle track (``mov_text``).

    A caption stands for as long as it stays the same; an empty one shows nothing.
    """
    return _whole(path, captioned, is_captioned=True)


def _whole(path: Path, captioned: Iterable[tuple[Chunk, str]], is_captioned: bool) -> int:
    partial = path.with_name(path.name + ".part")
    try:
        count = _write(partial, captioned, is_captioned)
        partial.replace(path)
    except BaseException as error:
        partial.unlink(missing_ok=True)
        if isinstance(error, FFmpegError):
            raise OSError(f"can't write {path}: {error.strerror}") from error
        raise
    return count


def _write(path: Path, captioned: Iterable[tuple[Chunk, str]], is_captioned: bool) -> int:
    count, second = 0, Fraction(0)
    with av.open(str(path), "w", format="mp4") as container:
        stream = captions = None
        for chunk, caption in captioned:
            if stream is None:
                stream = _begin(container, chunk)
                captions = Captions(container) if is_captioned else None
            if captions is not None:
                captions.change(caption, second)
            tick = stream.codec_context.time_base
            assert tick is not None
            for pixels in chunk.frames:
                frame = _yuv(fitted(pixels, (stream.width, stream.height)))
                frame.pts, frame.duration, frame.time_base = round(second / tick), round(1 / chunk.fps / tick), tick
                container.mux(stream.encode(frame))
                count, second = count + 1, second + 1 / chunk.fps
        if captions is not None:
            captions.change("", second)
        if stream is not None:
            container.mux(stream.encode())
    return count


class Captions:
    """The subtitle track of a file: plain text over time (3GPP timed text, TS 26.245, which MP4 calls tx3g)."""

    def __init__(self, container: OutputContainer) -> None:
        self._container = container
        self._stream = cast(SubtitleStream, container.add_stream("mov_text"))
        # The encoder is there for the track's header alone: it reads markup into texts, and a prompt is none.
        self._stream.codec_context.subtitle_header = STYLE
        self._text, self._since = "", Fraction(0)

    def change(self, text: str, second: Fraction) -> None:
        """Show another text from this second on."""
        if text == self._text:
            return
        if self._text and second > self._since:
            self._write(second)
        self._text, self._since = text, second

    def _write(self, until: Fraction) -> None:
        data = self._text.encode()[:CAPTION_BYTES].decode(errors="ignore").encode()
        packet = av.Packet(len(data).to_bytes(2, "big") + data)
        packet.stream, packet.time_base = self._stream, Fraction(1, 1000)
        packet.pts = packet.dts = round(self._since * 1000)
        packet.duration = round(until * 1000) - round(self._since * 1000)
        self._container.mux(packet)


def _begin(container: OutputContainer, chunk: Chunk) -> VideoStream:
    stream = container.add_stream("libx264", rate=chunk.fps, options={"crf": "16", "preset": "medium"})
    stream.height, stream.width = chunk.frames.shape[1:3]
    stream.pix_fmt = "yuv420p"
    # Fine enough for two thirds, three quarters or half of the rate, which a chunk may have.
    stream.codec_context.time_base = 1 / (TICKS_PER_FRAME * chunk.fps)
    stream.codec_context.color_range = ColorRange.MPEG
    stream.codec_context.colorspace = Colorspace.ITU601
    return stream


def _yuv(pixels: Pixels) -> av.VideoFrame:
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
    return frame.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU601, dst_color_range=ColorRange.MPEG)
