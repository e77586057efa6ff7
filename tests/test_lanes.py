"""Work on threads that each do whole pieces alone."""

from collections.abc import Iterator
from threading import Barrier, Thread, current_thread

import numpy as np
import pytest
import torch

from pipeline.pocket.lanes import begun, each
from pipeline.types import Pixels
from tests.pocket_parts import conditioning, pipeline
from tests.pocket_parts import made_once as made_once


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_two_pieces_are_worked_on_at_once_each_by_one_thread() -> None:
    """Two that wait for each other both end, neither shares out what it does, and the caller's threads stay."""
    meet = Barrier(2, timeout=30)

    def work(number: int) -> tuple[int, int, bool]:
        meet.wait()
        return number, torch.get_num_threads(), torch.is_inference_mode_enabled()

    with torch.inference_mode():
        assert each(work, [7, 5]) == [(7, 1, True), (5, 1, True)]
    assert not each(work, [7, 5])[0][2]
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
def test_what_a_lane_begins_itself_it_does_itself() -> None:
    """Work that begins work needs no lane besides its own, so lanes never wait for each other."""
    assert each(lambda one: each(lambda other: one * other, [1, 2, 3]), range(8))[7] == [7, 14, 21]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.usefixtures("two_threads")
def test_what_fails_fails_where_it_is_waited_for(threads: int) -> None:
    """An error comes to the one who asked, and the lanes go on."""
    torch.set_num_threads(threads)
    with pytest.raises(ZeroDivisionError):
        begun(lambda: 1 // 0)()
    assert begun(lambda: 1 // 1)() == 1


@pytest.mark.usefixtures("two_threads")
def test_threads_that_come_later_have_what_the_model_has() -> None:
    """That lanes work alone is theirs: what else is begun afterwards shares out its operations as before."""
    torch.set_num_threads(3)
    assert each(abs, [-1, -2]) == [1, 2]
    found: list[int] = []
    later = Thread(target=lambda: found.append(torch.get_num_threads()))
    later.start()
    later.join()
    assert found == [3]


@pytest.mark.usefixtures("two_threads")
def test_on_one_thread_nothing_is_handed_over() -> None:
    """A model of one thread works on the caller's."""
    torch.set_num_threads(1)
    assert begun(current_thread)() is current_thread()


@pytest.mark.usefixtures("two_threads", "made_once")
def test_what_is_made_side_by_side_is_what_is_made_one_after_the_other() -> None:
    """Frames and contexts, to the bit; the picture and the prompt are read by all threads, which tells in the last."""
    model = pipeline(latents_per_chunk=2)
    model.prepare(conditioning())
    takes: list[tuple[list[Pixels], torch.Tensor]] = []
    for threads in (1, 2):
        torch.set_num_threads(2)
        state = model.open(conditioning())
        torch.set_num_threads(threads)
        frames = [model.generate_chunk(state, conditioning()).frames for _ in range(3)]
        model.commit(state)
        takes.append((frames, state.cache.ring[:, :, :6].clone()))
    (one, alone), (other, beside) = takes
    assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    assert torch.equal(alone, beside)
