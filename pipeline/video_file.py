"""An MP4 file of made chunks, whole or not there at all."""

from collections.abc import Iterable
from pathlib import Path

import av
import numpy as np
from av.container import OutputContainer
from av.error import FFmpegError
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream

from pipeline.types import Chunk, Pixels


def write_mp4(path: Path, chunks: Iterable[Chunk]) -> int:
    """Encode chunks with x264 at their own frame rate; give the number of frames.

    The file has its name only once it is whole: until then, and never after an error, there is ``path`` with
    ``.part`` added. Raises OSError when it can't be written, and what ``chunks`` raises.
    """
    partial = path.with_name(path.name + ".part")
    try:
        count = _write(partial, chunks)
        partial.replace(path)
    except BaseException as error:
        partial.unlink(missing_ok=True)
        if isinstance(error, FFmpegError):
            raise OSError(f"can't write {path}: {error.strerror}") from error
        raise
    return count


def _write(path: Path, chunks: Iterable[Chunk]) -> int:
    count = 0
    with av.open(str(path), "w", format="mp4") as container:
        stream = None
        for chunk in chunks:
            stream = stream or _begin(container, chunk)
            for pixels in chunk.frames:
                frame = _yuv(pixels)
                frame.pts, frame.time_base = count, 1 / chunk.fps
                container.mux(stream.encode(frame))
                count += 1
        if stream is not None:
            container.mux(stream.encode())
    return count


def _begin(container: OutputContainer, chunk: Chunk) -> VideoStream:
    stream = container.add_stream("libx264", rate=chunk.fps, options={"crf": "16", "preset": "medium"})
    stream.height, stream.width = chunk.frames.shape[1:3]
    stream.pix_fmt = "yuv420p"
    stream.codec_context.color_range = ColorRange.MPEG
    stream.codec_context.colorspace = Colorspace.ITU601
    return stream


def _yuv(pixels: Pixels) -> av.VideoFrame:
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
    return frame.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU601, dst_color_range=ColorRange.MPEG)
