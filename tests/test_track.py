"""A track hands on the packets of its subscription and ends with it."""

from fractions import Fraction

import numpy as np
import pytest
from aiortc.mediastreams import MediaStreamError

from stream.broadcast import Broadcast
from stream.congestion import BitrateBounds
from stream.track import PlayoutTrack


async def test_packets_pass_and_the_track_ends_with_the_broadcast() -> None:
    """``recv`` gives packets and remembers the PTS under way; after the end it raises what aiortc expects."""
    broadcast = Broadcast("test", lambda: 0, Fraction(16), BitrateBounds(1000, 300, 4000))
    track = PlayoutTrack(lambda: broadcast.subscribe("VP8"))
    assert (track.kind, track.last_pts) == ("video", None)
    await broadcast.publish(np.zeros((32, 64, 3), np.uint8), 0, 5625)
    packet = await track.recv()
    assert packet.is_keyframe
    assert track.last_pts == packet.pts == 5625
    await broadcast.close()
    with pytest.raises(MediaStreamError):
        await track.recv()
    assert track.readyState == "ended"


async def test_stopping_a_track_leaves_the_broadcast() -> None:
    """A peer that goes takes its share along; twice does no harm."""
    broadcast = Broadcast("test", lambda: 0, Fraction(16), BitrateBounds(1000, 300, 4000))
    track = PlayoutTrack(lambda: broadcast.subscribe("H264"))
    track.stop()
    track.stop()
    with pytest.raises(MediaStreamError):
        await track.recv()
    await broadcast.publish(np.zeros((32, 64, 3), np.uint8), 0, 0)
    assert broadcast.measured_kbps() == 0
    await broadcast.close()
