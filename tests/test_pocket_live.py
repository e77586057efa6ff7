"""Pocket's own code (with few layers) behind a whole stream."""

from itertools import pairwise

import numpy as np
import pytest

from stream.control import Snapshot
from stream.protocol import Configure, Reset, SetPrompt
from tests import pocket_parts
from tests.pocket_parts import made_once as made_once
from tests.studio import Studio, opened


@pytest.mark.usefixtures("made_once")
async def test_streamed_frames_equal_offline_ones() -> None:
    """The frames that were sent are those of a plain run over the log: prompts, a cut, a reset, other qualities."""
    studio = Studio(pipeline=pocket_parts.pipeline())
    log: list[tuple[int, Snapshot]] = []
    studio.stream.generation.on_chunk = lambda frame: log.append((frame.index, opened(frame)))
    try:
        await studio.go_live(seed=11)
        await studio.do(SetPrompt, prompt="pan left")
        await studio.clock.advance(0.5)
        await studio.do(Configure, fps=8, bitrate_kbps=None, latency=None)
        await studio.clock.advance(0.5)
        await studio.upload(red=200)
        await studio.do(SetPrompt, prompt="night")
        await studio.clock.advance(0.5)
        await studio.do(Reset, seed=5)
        await studio.clock.advance(0.5)
    finally:
        await studio.close()
    assert [index for _, index, _ in studio.sink.frames] == list(range(len(studio.sink.frames)))
    assert len({snapshot.take for _, snapshot in log}) == 3
    assert len({snapshot.conditioning.quality for _, snapshot in log}) > 1
    assert any(snapshot.conditioning.skip for _, snapshot in log)
    offline = pocket_parts.pipeline(max_streams=3)
    state, take = None, None
    for (first, snapshot), (end, following) in pairwise(log):
        if snapshot.take != take:
            take, state = snapshot.take, offline.open(snapshot.conditioning)
        assert state is not None
        chunk = offline.generate_chunk(state, snapshot.conditioning)
        shown = np.stack(studio.sink.pixels[first:end])
        assert np.array_equal(chunk.frames[: len(shown)], shown)
        if following.conditioning.skip:
            offline.truncate(state, chunk.first_latent)
