"""Where a stream's frames go."""

from collections.abc import Callable
from typing import Protocol

from pipeline.types import Pixels


class FrameSink(Protocol):
    """What a stream hands its due frames to: :class:`stream.broadcast.Broadcast`, or a fake."""

    async def publish(self, frame: Pixels, frame_index: int, pts: int) -> None:
        """Encode one frame, uint8 [H, W, 3] RGB, and return when it is sent; pts in 90 kHz ticks, rising."""
        ...

    def set_bitrate(self, kbps: int) -> int:
        """Aim at this many kilobits per second from the next frame on; gives what is in force."""
        ...

    def measured_kbps(self) -> int:
        """Tell the kilobits per second really encoded of late; 0 while nobody watches."""
        ...

    async def close(self) -> None:
        """Free encoders and end every subscription; idempotent."""
        ...


MakeSink = Callable[[str, Callable[[], int]], FrameSink]
"""(stream id, take_slot) -> the sink of a stream; ``take_slot`` is :meth:`PlayoutBuffer.take_slot`."""
