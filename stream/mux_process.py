"""A process that writes one stream's packets where FFmpeg sends them: ``python -m stream.mux_process``.

PyAV holds Python's lock while FFmpeg connects, for as long as the far end likes: in the server's own process every
stream would stand still. Standard input brings a line with the URL (never an argument, which others on the machine
could read), then packets; standard output gets a line of JSON when the far end has taken the first packet, or with the
reason why it ends.
"""

import io
import json
import struct
import sys
from fractions import Fraction
from typing import Any, BinaryIO

import av
from av.container import OutputContainer
from av.error import FFmpegError

from stream.clock import VIDEO_CLOCK_HZ

HEADER = struct.Struct("!q?I")
"""Before each packet: its PTS in 1/90000 s, whether it is a keyframe, its bytes."""
TIME_BASE = Fraction(1, VIDEO_CLOCK_HZ)


def frame(pts: int, is_keyframe: bool, data: bytes) -> bytes:
    """Write one packet as the process reads it.

    >>> len(frame(5625, True, b"data")) - HEADER.size
    4
    """
    return HEADER.pack(pts, is_keyframe, len(data)) + data


def run(source: BinaryIO) -> None:
    """Open what the first line names at the first packet, and write packets there until there are no more."""
    url, container = json.loads(source.readline()), None
    while len(head := source.read(HEADER.size)) == HEADER.size:
        pts, is_keyframe, size = HEADER.unpack(head)
        packet = av.Packet(source.read(size))
        if container is None:
            container = _open(url, bytes(packet))
            _write(container, packet, pts, is_keyframe)
            print(json.dumps({"open": True}), flush=True)
        else:
            _write(container, packet, pts, is_keyframe)
    if container is not None:
        container.close()


def _open(url: str, keyframe: bytes) -> OutputContainer:
    container = av.open(url, "w", format="tee")
    # The parameter sets of the first keyframe, read out by FFmpeg, are what a container wants in its head.
    with av.open(io.BytesIO(keyframe), format="h264") as parsed:
        container.add_stream_from_template(parsed.streams.video[0])
    return container


def _write(container: OutputContainer, packet: "av.Packet[Any]", pts: int, is_keyframe: bool) -> None:
    packet.pts = packet.dts = pts
    packet.time_base = TIME_BASE
    packet.is_keyframe = is_keyframe
    packet.stream = container.streams.video[0]
    container.mux(packet)


def main() -> None:
    """Serve standard input."""
    try:
        run(sys.stdin.buffer)
    except FFmpegError as error:
        print(json.dumps({"error": str(error.strerror)}), flush=True)


if __name__ == "__main__":
    main()
