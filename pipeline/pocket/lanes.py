"""Threads that each do whole pieces of work alone.

PyTorch shares out every operation instead, and waits for all threads at its end: for operations of a tenth of a
millisecond, of which a latent takes thousands, that costs more than it gains, most where others want the cores too.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache, partial
from threading import Barrier
from typing import Any, TypeVar

import torch

Found = TypeVar("Found")


def begun(work: Callable[..., Found], *args: Any) -> Callable[[], Found]:
    """Begin work beside what the caller does; give what waits for its end. On one thread it is done at once.

    >>> begun(max, 1, 2)()
    2
    """
    if torch.get_num_threads() == 1:
        found = work(*args)
        return lambda: found
    return _submitted(work, *args).result


def each(work: Callable[[int], Found], numbers: Iterable[int]) -> list[Found]:
    """Do work for each number, as many at a time as there are threads; where one raises, those that wait are left.

    >>> each(abs, [-1, -2, -3])
    [1, 2, 3]
    """
    if torch.get_num_threads() == 1:
        return [work(number) for number in numbers]
    waiting = [_submitted(work, number) for number in numbers]
    try:
        return [one.result() for one in waiting]
    finally:
        for one in waiting:
            one.cancel()


def _submitted(work: Callable[..., Found], *args: Any) -> "Future[Found]":
    lanes = _lanes(torch.get_num_threads())
    return lanes.submit(partial(_done, torch.is_inference_mode_enabled(), work), *args)


def _done(is_inference: bool, work: Callable[..., Found], *args: Any) -> Found:
    # Whether gradients are kept is a thread's own.
    with torch.inference_mode(is_inference):
        return work(*args)


@cache
def _lanes(count: int) -> ThreadPoolExecutor:
    """As many threads as PyTorch has, each of which has itself alone."""
    lanes, all_there = ThreadPoolExecutor(count, "lane"), Barrier(count)

    def alone() -> None:
        all_there.wait()
        # The first question settles what a new thread has; what is said before is lost.
        torch.get_num_threads()
        torch.set_num_threads(1)
        all_there.wait()

    for started in [lanes.submit(alone) for _ in range(count)]:
        started.result()
    # What was said there also holds for threads that are yet to come.
    torch.set_num_threads(count)
    return lanes
