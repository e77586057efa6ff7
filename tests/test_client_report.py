"""The client's figures, by arithmetic alone, and its recordings."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.error import FFmpegError
from hypothesis import given
from hypothesis import strategies as st

from stream.client_recorder import Recorder
from stream.client_report import BUSY, MADE, capacity, delay_variation, regularity
from stream.client_video import RTP_MODULO, Arrival, Arrivals, unwrap

STEP = 5625


@given(st.integers(), st.integers(-(2**31), 2**31 - 1))
def test_unwrapping_finds_the_nearest(near: int, distance: int) -> None:
    """Whatever came before, a timestamp less than half the range away is found again."""
    assert unwrap((near + distance) % RTP_MODULO, near) == near + distance


def test_a_frame_has_arrived_with_its_last_packet() -> None:
    """Retransmitted packets count, sizes add up, and timestamps go on across the wrap."""
    now = [0.0]
    arrivals = Arrivals(lambda: now[0])
    for at, timestamp, size in [(1.0, RTP_MODULO - STEP, 10), (2.0, 0, 20), (3.0, RTP_MODULO - STEP, 5)]:
        now[0] = at
        arrivals.packet(timestamp, size)
    now[0] = 4.0
    arrivals.decode(RTP_MODULO)
    first, second = arrivals.all()
    assert first == Arrival(RTP_MODULO - STEP, 1.0, 3.0, 15, None)
    assert second == Arrival(RTP_MODULO, 2.0, 2.0, 20, 4.0)
    assert arrivals.decode(77) is None


def test_a_frame_that_others_overtook_is_missed() -> None:
    """Neither a frame to come nor one that was decoded is; one of the past that never came, or not whole, is."""
    arrivals = Arrivals(lambda: 0.0)
    assert not arrivals.missed(5)
    for timestamp in (RTP_MODULO - STEP, 0, STEP):
        arrivals.packet(timestamp, 1)
    arrivals.decode(0)
    missed = {slot: arrivals.missed(slot * STEP % RTP_MODULO) for slot in (-2, -1, 0, 1, 2)}
    assert missed == {-2: True, -1: True, 0: False, 1: False, 2: False}


@given(st.lists(st.integers(1, 4), min_size=1), st.sampled_from([STEP, 3750, 3003]))
def test_held_slots_are_counted(slots: list[int], step: int) -> None:
    """Whatever slots are left out, as long as most steps are single, they are the held ones; none is irregular."""
    slots = [*slots, *[1] * (len(slots) + 1)]
    found = regularity(np.cumsum([0, *(step * n for n in slots)]).tolist())
    assert (found.step, found.held_slots, found.irregular) == (step, sum(slots) - len(slots), 0)


def test_what_is_no_whole_step_is_irregular() -> None:
    """A step off the grid, back, or of nothing counts; rounding by a tick does not."""
    assert regularity([0, 3753, 7507, 11261, 15014]).irregular == 0
    assert regularity([0, 100, 200, 250, 350, 300, 300, 400]).irregular == 3
    assert regularity([5]).steps == {}


def test_delay_varies_against_the_quickest_frame() -> None:
    """Sending slots, not frames, set the beat: a held slot is no delay."""
    frames = [(0, 0.01), (1, 0.0), (4, 0.02)]
    arrivals = [Arrival(slot * STEP, 0.0, 10 + slot / 16 + extra, 1) for slot, extra in frames]
    assert delay_variation(arrivals) == pytest.approx([0.01, 0.0, 0.02])


def test_capacity_says_when_it_is_only_a_bound() -> None:
    """Without the engine's busy time it counts chunks alone; without frames there is no capacity."""
    before, after = f"# HELP x\n{MADE} 0\n{BUSY[1]} 0\n", f'{MADE} 80\n{BUSY[1]} 2\nother{{le="1"}} 3\n'
    found = capacity(before, after)
    assert found is not None
    assert (found.fps, found.is_whole) == (40.0, False)
    whole = capacity(before, after + f"{BUSY[0]} 4\n")
    assert whole is not None
    assert (whole.fps, whole.is_whole) == (20.0, True)
    assert capacity(after, after) is None
    assert capacity("", "") is None


def frame_at(pts: int, level: int) -> av.VideoFrame:
    frame = av.VideoFrame.from_ndarray(np.full((32, 64, 3), level, np.uint8), format="rgb24")
    frame.pts, frame.time_base = pts, Fraction(1, 90_000)
    return frame


def test_a_recording_keeps_the_timing(tmp_path: Path) -> None:
    """Timestamps begin at 0 and keep their gaps, wherever the sender's began."""
    recorder = Recorder(str(tmp_path / "out.mp4"), Fraction(16))
    times = [0, STEP, 4 * STEP, 5 * STEP]
    for at in times:
        recorder.add(frame_at(2**32 - STEP + at, 40))
    recorder.close()
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert [frame.pts for frame in container.decode(video=0)] == times
    assert recorder.dropped == 0


def test_a_recording_that_can_not_be_written_is_an_error(tmp_path: Path) -> None:
    """What went wrong in the thread, with the file or with a frame, comes out of ``close``."""
    recorder = Recorder(str(tmp_path / "none" / "out.mp4"), Fraction(16))
    recorder.add(frame_at(0, 40))
    with pytest.raises(FFmpegError):
        recorder.close()
    recorder = Recorder(str(tmp_path / "out.mp4"), Fraction(16))
    recorder.add(av.VideoFrame(64, 32, "yuv420p"))
    with pytest.raises(AssertionError):
        recorder.close()


def test_a_recording_lags_no_further_than_its_backlog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames for which there is no room are counted, not kept."""
    monkeypatch.setattr("stream.client_recorder.BACKLOG", 0)
    recorder = Recorder(str(tmp_path / "out.mp4"), Fraction(16))
    recorder.add(frame_at(0, 40))
    recorder.close()
    assert recorder.dropped == 1
