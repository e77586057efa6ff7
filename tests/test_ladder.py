"""Quality goes down before the video stutters, on a whole stream whose model slows down on a fake clock."""

from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import pairwise

import pytest

from pipeline.types import Capabilities, Chunk, Conditioning, QualityLevel
from stream.protocol import Configure
from tests.fake_engine import FakeEngine
from tests.fakes import FakePipeline
from tests.studio import Studio

LADDER_S = (0.16, 0.12, 0.08)
"""Seconds that a chunk of 0.25 s takes at 16, 12 and 8 frames a second."""
DEEP_S = (0.16, 0.133, 0.1, 0.067)
"""The same with a rung after the first at which depth is given up."""
GOES = 8
"""Chunks in which it goes."""


class Slowing:
    """A live stream, what its ``stats`` said of quality, and how it fared."""

    def __init__(self, studio: Studio, costs: tuple[float, ...] = LADDER_S) -> None:
        self.studio = studio
        self.costs = costs
        self.levels: list[int] = []

    async def run(self, seconds: float, slowness: float = 1.0) -> None:
        """Let time pass on a machine that is slower than measured."""
        self.studio.engine.seconds = tuple(slowness * cost for cost in self.costs)
        for _ in range(round(seconds / 0.25)):
            await self.studio.clock.advance(0.25)
            self.levels.append(self.studio.capacity.level)

    @property
    def stuttered(self) -> int:
        """Slots in which a frame had to be held."""
        return self.studio.stream.generation.playout.underruns

    @property
    def said(self) -> tuple[str, int, str | None]:
        """What ``stats`` says now."""
        stats = self.studio.stream.stats()
        return stats["quality"], stats["level"], stats.get("quality_why")

    @property
    def changes(self) -> int:
        """How often the rung changed."""
        return sum(a != b for a, b in pairwise(self.levels))


@pytest.fixture
async def slowing() -> AsyncIterator[Slowing]:
    studio = Studio(seconds=LADDER_S)
    await studio.go_live()
    made = Slowing(studio)
    await made.run(3.0)
    assert (made.said, made.stuttered) == (("full", 0, None), 0)
    yield made
    await studio.close()


@pytest.mark.parametrize("slowness", [1.6, 1.65, 1.7])
async def test_quality_goes_down_before_it_stutters(slowing: Slowing, slowness: float) -> None:
    """A machine that is at once too slow for the best rung, by less than the buffer a chunk, holds no slot at all."""
    await slowing.run(10.0, slowness)
    assert slowing.stuttered == 0
    assert slowing.said[1] > 0
    assert slowing.said[2] in ("tight", "slow")


async def test_what_is_more_than_the_buffer_holds_few_slots(slowing: Slowing) -> None:
    """Where the first slow chunk alone takes longer than it plays and the buffer, no more than that one is felt."""
    await slowing.run(10.0, 2.0)
    assert slowing.stuttered <= 3
    assert slowing.said[1] > 0


async def test_it_goes_down_in_time_however_slowly_the_machine_tires(slowing: Slowing) -> None:
    """By four percent a second down to half the speed: rung by rung, no slot held, and not a step too many."""
    for second in range(25):
        await slowing.run(1.0, 1 + second / 25)
    assert (slowing.stuttered, slowing.said[1]) == (0, 2)
    assert slowing.changes == 2


async def test_it_climbs_back(slowing: Slowing) -> None:
    """When the machine is itself again so is the quality, and nothing says why any more."""
    await slowing.run(5.0, 1.7)
    assert slowing.said[1] > 0
    await slowing.run(20.0, 1.0)
    assert (slowing.said, slowing.stuttered) == (("full", 0, None), 0)


async def test_it_does_not_flap(slowing: Slowing) -> None:
    """On a machine that is slow for two seconds in every ten no slot is held, and it goes up and down few times."""
    for _ in range(12):
        await slowing.run(2.0, 1.7)
        await slowing.run(8.0, 1.0)
    assert slowing.stuttered == 0
    assert slowing.changes <= 9


async def test_one_slow_chunk_changes_nothing(slowing: Slowing) -> None:
    """A chunk that takes half as long again now and then is ridden out by the buffer."""
    for _ in range(6):
        await slowing.run(0.25, 1.5)
        await slowing.run(3.0)
    assert (slowing.stuttered, slowing.changes) == (0, 0)


async def test_a_rate_that_was_asked_for_says_so(slowing: Slowing) -> None:
    """A director who asks for fewer frames a second gets them, and stats tell that it was asked for."""
    await slowing.studio.do(Configure, fps=12.0)
    await slowing.run(1.0)
    assert slowing.said == ("reduced", 1, "asked")


class Deep(FakePipeline):
    """The fake, with a rung after the first at which depth goes, which saves nothing until it is gone."""

    __slots__ = ()

    @property
    def capabilities(self) -> Capabilities:
        told = super().capabilities
        flat = QualityLevel("no depth", told.quality[0].fps, helps_at_once=False)
        return replace(told, quality=(told.quality[0], flat, *told.quality[1:]))


class Deepening(FakeEngine):
    """An engine whose chunks take a fifth longer for as long as there is any depth."""

    left, slower = GOES, 1.0

    async def generate(self, stream_id: str, conditioning: Conditioning, deadline: float) -> Chunk:
        """Make a chunk, a step nearer to all of depth or to none."""
        self.slower = 1.2 if conditioning.quality and self.left else 1.0
        self.left = max(0, min(GOES, self.left + (-1 if conditioning.quality else 1)))
        return await super().generate(stream_id, conditioning, deadline)

    async def _spend(self, seconds: float, abandonable: bool = False) -> None:
        await super()._spend(seconds * self.slower, abandonable)


@pytest.fixture
async def deepening(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Slowing]:
    monkeypatch.setattr("tests.studio.FakeEngine", Deepening)
    studio = Studio(seconds=DEEP_S, pipeline=Deep())
    await studio.go_live()
    made = Slowing(studio, DEEP_S)
    await made.run(3.0)
    assert (made.said, made.stuttered) == (("full", 0, None), 0)
    yield made
    await studio.close()


@pytest.mark.parametrize("slowness", [1.45, 1.55, 1.58, 1.62])
async def test_depth_is_given_up_before_frames(deepening: Slowing, slowness: float) -> None:
    """A machine with time for all but depth gives up that alone, with no slot held; frames for a moment at the most."""
    await deepening.run(30.0, slowness)
    assert deepening.said[:2] == ("no depth", 1)
    assert deepening.stuttered == 0
    assert sum(level > 1 for level in deepening.levels) <= 10


async def test_frames_are_given_up_where_depth_is_not_enough(deepening: Slowing) -> None:
    """A machine slower than that makes fewer frames, and holds no slot on its way there; all comes back."""
    await deepening.run(20.0, 1.75)
    assert (deepening.said[:2], deepening.stuttered) == (("reduced", 2), 0)
    await deepening.run(45.0, 1.0)
    assert (deepening.said, deepening.stuttered) == (("full", 0, None), 0)
