import os
from multiprocessing import Pipe

import numpy as np
import pytest

from stream import shared_frames
from stream.shared_frames import SharedFrames


def frames(seed: int, count: int = 2) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 6, 8, 3), dtype=np.uint8)


def test_what_one_side_puts_the_other_takes() -> None:
    """Frames of any number cross as they are, also those that do not lie in one piece; each taking is one's own."""
    ours, theirs = Pipe()
    here = SharedFrames.make()
    here.send(ours, os.getpid())
    there = SharedFrames.receive(theirs)
    assert there.put(frames(1))
    taken = here.take((2, 6, 8, 3))
    scattered = np.flip(frames(2, 3), axis=1)
    assert there.put(scattered)
    assert np.array_equal(taken, frames(1))
    assert np.array_equal(here.take((3, 6, 8, 3)), scattered)
    for side in (here, there, here):
        side.close()


def test_too_many_frames_are_not_put(monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not fit is left to another way, and what was there stays."""
    monkeypatch.setattr(shared_frames, "SHARED_BYTES", 4096)
    shared = SharedFrames.make()
    assert shared.put(frames(1))
    assert not shared.put(frames(2, 64))
    assert np.array_equal(shared.take((2, 6, 8, 3)), frames(1))
    shared.close()


def test_where_memory_has_no_name_of_its_own_it_is_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without ``memfd_create`` a file does, which is gone from its folder at once."""
    monkeypatch.delattr(os, "memfd_create", raising=False)
    shared = SharedFrames.make()
    assert shared.put(frames(3))
    assert np.array_equal(shared.take((2, 6, 8, 3)), frames(3))
    shared.close()
