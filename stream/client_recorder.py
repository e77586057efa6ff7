"""An MP4 of received video."""

from concurrent.futures import Future, ThreadPoolExecutor
from fractions import Fraction
from threading import Semaphore
from typing import cast

import av
from av.video.stream import VideoStream

from pipeline.geometry import Size, fitted
from pipeline.types import Pixels
from stream.clock import VIDEO_CLOCK_HZ

BACKLOG = 256


class Recorder:
    """Writes frames to an MP4 with their own timing, encoded anew as H.264 in a thread of its own.

    The file is as large as the first frame; one of another size is shown whole in it, on black. A frame held longer
    stands longer in the file. ``fps`` is only what the encoder plans with. ``dropped``
    counts frames that there was no time for. Raises OSError or FFmpegError where ``path`` can't be written.
    """

    def __init__(self, path: str, fps: Fraction) -> None:
        self._container = av.open(path, "w", format="mp4")
        stream = self._container.add_stream("libx264", rate=fps, options={"preset": "superfast", "crf": "18"})
        self._stream = cast(VideoStream, stream)
        # With B-frames packets would get decoding times before the first frame.
        self._stream.codec_context.max_b_frames = 0
        self._stream.codec_context.time_base = Fraction(1, VIDEO_CLOCK_HZ)
        self._stream.pix_fmt = "yuv420p"
        self._thread = ThreadPoolExecutor(1, "client-recorder")
        self._room = Semaphore(BACKLOG)
        self._origin: int | None = None
        self._error: BaseException | None = None
        self.dropped = 0

    def add(self, frame: av.VideoFrame) -> None:
        """Take a frame whose ``pts`` is in 1/90000 s; returns at once."""
        if self._room.acquire(blocking=False):
            self._thread.submit(self._take, frame).add_done_callback(self._note)
        else:
            self.dropped += 1

    def close(self) -> None:
        """Write what waits and finish the file; blocks. A file without a frame can't be played.

        Raises av.error.FFmpegError when a frame could not be written.
        """
        self._thread.shutdown()
        try:
            if self._error is not None:
                raise self._error
            if self._origin is not None:
                self._write(None)
        finally:
            self._container.close()

    def _take(self, frame: av.VideoFrame) -> None:
        self._room.release()
        if self._origin is None:
            assert frame.pts is not None
            self._origin = frame.pts
            self._stream.width, self._stream.height = frame.width, frame.height
        self._write(_fitted(frame, (self._stream.width, self._stream.height)))

    def _note(self, taken: Future[None]) -> None:
        self._error = self._error or taken.exception()

    def _write(self, frame: av.VideoFrame | None) -> None:
        assert self._origin is not None
        for packet in self._stream.encode(frame):
            assert packet.pts is not None
            assert packet.dts is not None
            packet.pts -= self._origin
            packet.dts -= self._origin
            self._container.mux(packet)


def _fitted(frame: av.VideoFrame, size: Size) -> av.VideoFrame:
    if (frame.width, frame.height) == size:
        return frame.reformat(format="yuv420p")
    made = av.VideoFrame.from_ndarray(fitted(cast(Pixels, frame.to_ndarray(format="rgb24")), size), format="rgb24")
    made.pts, made.time_base = frame.pts, frame.time_base
    return made.reformat(format="yuv420p")
