"""Silence is steady: 50 packets a second, whatever holds it up."""

import asyncio
import time
from itertools import pairwise
from typing import Any, cast

import av
import numpy as np
import pytest
from aiortc.mediastreams import MediaStreamError

from stream.silence import FRAME_TICKS, OPUS_CLOCK_HZ, SilentTrack


async def test_packets_are_due_every_20_ms() -> None:
    """Their timestamps rise by one frame, and they come no faster than they last."""
    track = SilentTrack()
    began = asyncio.get_running_loop().time()
    packets = [await track.recv() for _ in range(6)]
    assert asyncio.get_running_loop().time() - began >= 0.1
    assert [packet.pts for packet in packets] == [number * FRAME_TICKS for number in range(6)]
    assert packets[0].time_base * OPUS_CLOCK_HZ == 1
    track.stop()
    with pytest.raises(MediaStreamError):
        await track.recv()


async def test_who_was_held_up_goes_on_from_now() -> None:
    """No burst afterwards: the timestamps jump instead."""
    track = SilentTrack()
    before = [await track.recv() for _ in range(2)]
    time.sleep(0.4)  # noqa: ASYNC251 that is the point
    after = [await track.recv() for _ in range(3)]
    steps = [later.pts - earlier.pts for earlier, later in pairwise([*before, *after])]
    assert steps[1] > 10 * FRAME_TICKS
    assert steps[2:] == [FRAME_TICKS] * 2


async def test_it_is_opus_and_silent() -> None:
    """A decoder makes 20 ms of nothing of it."""
    decoder = cast(Any, av.CodecContext.create("libopus", "r"))
    decoder.sample_rate, decoder.layout = OPUS_CLOCK_HZ, "stereo"
    frames = [frame for _ in range(3) for frame in decoder.decode(av.Packet(bytes(await SilentTrack().recv())))]
    assert {frame.samples for frame in frames[1:]} == {FRAME_TICKS}
    assert all(not np.any(frame.to_ndarray()) for frame in frames)
