import asyncio
from collections.abc import AsyncIterator
from fractions import Fraction

import numpy as np
import pytest

from pipeline.types import Chunk, Conditioning, Cut
from stream.control import Snapshot
from stream.playout import DueFrame, PlayoutBuffer, Room
from tests.fakes import FakeClock, settle

STEP = 5625


def chunk(first_latent: int = 0, frames: int = 4, fps: int = 16) -> Chunk:
    pixels = np.zeros((frames, 2, 2, 3), np.uint8)
    return Chunk(first_latent, 0, first_latent, 1, pixels, Fraction(fps), 0, 0)


def long_chunk(first_latent: int = 0) -> Chunk:
    """Three latents that can be cut apart."""
    pixels = np.zeros((12, 2, 2, 3), np.uint8)
    cuts = (Cut(4, 1), Cut(8, 2))
    return Chunk(first_latent // 3, 0, first_latent, 3, pixels, Fraction(16), 0, 0, cuts=cuts)


def made_under(take: int = 1, skip: int = 0) -> Snapshot:
    return Snapshot(Conditioning("i2v", "", None, 0, skip=skip), take)


class Player:
    """A playout buffer with someone who takes its frames and notes when."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.playout = PlayoutBuffer(self.clock)
        self.seen: list[tuple[float, int, int]] = []
        self.frames: list[DueFrame] = []

    async def pump(self) -> None:
        while True:
            frame = await self.playout.next_frame()
            self.frames.append(frame)
            self.seen.append((round(self.clock.time() - 1000, 4), frame.index, frame.pts))

    async def room(self, lead: float = 10.0) -> Room:
        return await self.playout.wait_for_room(lambda: lead)

    async def put(self, item: Chunk, take: int = 1, skip: int = 0) -> bool:
        return self.playout.put(await self.room(), item, made_under(take, skip))


@pytest.fixture
async def player() -> AsyncIterator[Player]:
    player = Player()
    task = asyncio.create_task(player.pump())
    yield player
    task.cancel()
    await asyncio.wait({task})


async def test_frames_leave_evenly(player: Player) -> None:
    """Frames leave each at its slot, with one constant timestamp step, however they came."""
    player.playout.run()
    for latent in range(3):
        await player.put(chunk(latent))
    await player.clock.advance(1)
    assert player.seen == [(round(number / 16, 4), number, number * STEP) for number in range(12)]


async def test_a_late_chunk_holds_by_whole_slots(player: Player) -> None:
    """A chunk that comes late is shown from the next slot on, evenly, and counted once; no index is lost."""
    player.playout.run()
    await player.put(chunk(0))
    await player.clock.advance(0.25 + 0.1)
    await player.put(chunk(1))
    await player.clock.advance(0.5)
    assert [index for _, index, _ in player.seen] == list(range(8))
    assert [time for time, _, _ in player.seen[4:]] == [0.375, 0.4375, 0.5, 0.5625]
    assert [pts for _, _, pts in player.seen[3:6]] == [3 * STEP, 6 * STEP, 7 * STEP]
    assert player.playout.underruns == 1


async def test_a_little_late_is_noise(player: Player) -> None:
    """A chunk a few milliseconds late is sent at once under its own timestamp, and is no underrun."""
    player.playout.run()
    await player.put(chunk(0))
    await player.clock.advance(0.255)
    await player.put(chunk(1))
    await player.clock.advance(0.5)
    assert player.seen[4] == (0.255, 4, 4 * STEP)
    assert player.seen[5] == (0.3125, 5, 5 * STEP)
    assert player.playout.underruns == 0


async def test_a_lower_rate_has_a_larger_even_step(player: Player) -> None:
    """A chunk of fewer frames plays as long, with a larger timestamp step from its first slot on."""
    player.playout.run()
    await player.put(chunk(0))
    await player.put(chunk(1, frames=2, fps=8))
    await player.put(chunk(2))
    await player.clock.advance(1)
    assert [time for time, _, _ in player.seen] == [
        *(0, 0.0625, 0.125, 0.1875, 0.25, 0.375, 0.5, 0.5625, 0.625, 0.6875)
    ]
    assert [pts for _, _, pts in player.seen[4:7]] == [22500, 33750, 45000]


async def test_room_is_granted_just_in_time(player: Player) -> None:
    """Room comes when what waits will have been shown in exactly the lead; the first comes at once."""
    player.playout.run()
    first = await player.room(0.15)
    assert (first.first_frame, first.after_gap) == (0, True)
    player.playout.put(first, chunk(), made_under())
    waiting = asyncio.create_task(player.room(0.15))
    await player.clock.advance(0.099)
    assert not waiting.done()
    await player.clock.advance(0.002)
    room = await waiting
    assert (room.first_frame, room.after_gap) == (4, False)
    assert room.due == pytest.approx(1000.25)


async def test_a_changed_lead_is_asked_again(player: Player) -> None:
    """A wait for room takes up a larger lead as soon as it is nudged."""
    player.playout.run()
    await player.put(chunk())
    await settle()
    lead = 0.01
    waiting = asyncio.create_task(player.playout.wait_for_room(lambda: lead))
    await player.clock.advance(0.02)
    assert not waiting.done()
    lead = 1.0
    player.playout.nudge()
    await settle()
    assert waiting.done()


async def test_freeze_and_run(player: Player) -> None:
    """Frozen, no frame leaves and no room is granted; then video goes on where it froze, on the grid."""
    player.playout.run()
    await player.put(chunk())
    await player.clock.advance(0.1)
    player.playout.freeze()
    waiting = asyncio.create_task(player.room())
    await player.clock.advance(1.0)
    assert (player.playout.last_frame, waiting.done()) == (1, False)
    player.playout.run()
    await player.clock.advance(0.2)
    assert player.seen[2] == (1.125, 2, 18 * STEP)
    assert (player.playout.underruns, waiting.done()) == (0, True)


async def test_clear_goes_on_after_the_last_frame_sent(player: Player) -> None:
    """What was not sent is thrown away, its indices are given again, and room from before is stale."""
    player.playout.run()
    await player.put(chunk(0))
    await player.put(chunk(1))
    stale = await player.room()
    await player.clock.advance(0.1)
    player.playout.clear()
    assert player.playout.put(stale, chunk(2), made_under()) is False
    assert player.playout.next_frame_index == 2
    player.playout.run()
    await player.put(chunk(0), take=2)
    await player.clock.advance(1.0)
    assert [index for _, index, _ in player.seen] == [0, 1, 2, 3, 4, 5]


async def test_drop_spares_what_is_due_or_begun(player: Player) -> None:
    """Chunks due by the given time, or of which a frame is sent, stay; the first latent that goes is told."""
    player.playout.run()
    for latent in range(4):
        await player.put(chunk(latent))
    await player.clock.advance(0.1)
    assert player.playout.drop_unsent(after=1000.3, take=1) == 2
    assert player.playout.next_frame_index == 8
    assert player.playout.drop_unsent(after=1000.3, take=1) is None
    await player.put(chunk(2))
    await player.clock.advance(1.0)
    assert [pts for _, _, pts in player.seen] == [number * STEP for number in range(12)]


@pytest.mark.parametrize(("take", "from_latent", "left"), [(2, 0, 4), (2, 1, 8), (3, 0, 12), (None, 0, 0), (1, 0, 0)])
async def test_drop_keeps_to_a_take_and_a_reach(take: int | None, from_latent: int, left: int) -> None:
    """The first chunk thrown away is of the given take and latent; all that follow it go with it."""
    playout = PlayoutBuffer(FakeClock())
    playout.run()
    for latent, of_take in ((0, 1), (0, 2), (1, 2)):
        playout.put(await playout.wait_for_room(lambda: 9.0), chunk(latent), made_under(of_take))
    playout.drop_unsent(0.0, take, from_latent)
    assert playout.next_frame_index == left


async def test_all_that_waits_can_be_dropped_while_frozen(player: Player) -> None:
    """While frozen nothing is due, so every chunk not begun can be made again."""
    player.playout.run()
    await player.put(chunk(0))
    await player.put(chunk(1))
    await player.clock.advance(0.01)
    player.playout.freeze()
    assert player.playout.drop_unsent(after=9999.0, take=1) == 1


@pytest.mark.parametrize(
    ("shown_s", "after_s", "latent", "left"),
    # Frame 5 is on show at 0.3 s. The cuts are due at 0.25, 0.5, 1.0 and 1.25 s, the second chunk at 0.75 s.
    [(0.3, 0.31, 2, 8), (0.3, 0.5, 3, 12), (0.3, 0.8, 4, 16), (0.3, 1.24, 5, 20), (0.3, 1.3, None, 24), (0, -1, 0, 0)],
)
async def test_a_chunk_is_cut_where_it_can_be(
    player: Player, shown_s: float, after_s: float, latent: int | None, left: int
) -> None:
    """What is dropped begins at the first cut, or chunk, that is due later; frames before it are shown in time."""
    player.playout.run()
    await player.put(long_chunk(0))
    await player.put(long_chunk(3))
    if shown_s:
        await player.clock.advance(shown_s)
    assert player.playout.drop_unsent(after=1000 + after_s, take=1) == latent
    assert player.playout.next_frame_index == left
    await player.clock.advance(2.0)
    assert [pts for _, _, pts in player.seen] == [number * STEP for number in range(left)]


async def test_a_chunk_that_was_cut_ends_there(player: Player) -> None:
    """It can be cut again before that place, what is put follows it at once, and a cut just shown leaves nothing."""
    player.playout.run()
    await player.put(long_chunk(0))
    await player.clock.advance(0.01)
    assert player.playout.drop_unsent(after=1000.4, take=1) == 2
    assert player.playout.drop_unsent(after=1000.1, take=1) == 1
    assert player.playout.drop_unsent(after=1000.0, take=1) is None
    await player.clock.advance(0.2)
    assert (player.playout.last_frame, player.playout.buffered) == (3, 0)
    await player.put(long_chunk(1))
    await player.clock.advance(0.18)
    player.playout.freeze()
    assert player.playout.last_frame == 6
    assert player.playout.drop_unsent(after=0.0, take=1) == 2
    player.playout.run()
    await player.clock.advance(0.07)
    player.playout.freeze()
    assert (player.playout.last_frame, player.playout.buffered) == (7, 0)


async def test_a_latent_can_be_cut_midway(player: Player) -> None:
    """After up to half of its frames; what is put there follows at once, and can itself be cut up to the same half."""
    player.playout.run()
    await player.put(chunk(0))
    await player.put(chunk(1))
    await player.clock.advance(0.01)
    places = list(player.playout.places(take=1))
    told = [(round(place.due - 1000, 4), place.latent, place.skip, place.is_midway) for place in places]
    assert told == [
        (0.0625, 0, 1, True),
        (0.125, 0, 2, True),
        (0.25, 1, 0, False),
        (0.3125, 1, 1, True),
        (0.375, 1, 2, True),
    ]
    player.playout.drop(places[3])
    assert player.playout.next_frame_index == 5
    await player.put(chunk(1, frames=3), skip=1)
    places = list(player.playout.places(take=1, from_latent=1))
    assert [(place.skip, place.is_midway) for place in places] == [(0, False), (1, False), (2, True)]
    player.playout.drop(places[1])
    assert player.playout.next_frame_index == 5
    await player.clock.advance(2.0)
    assert [pts for _, _, pts in player.seen] == [number * STEP for number in range(5)]


async def test_room_goes_stale_when_chunks_are_dropped(player: Player) -> None:
    """A chunk in the making when those before it are thrown away is not taken."""
    player.playout.run()
    await player.put(chunk(0))
    room = await player.room()
    player.playout.drop_unsent(after=0.0)
    assert player.playout.put(room, chunk(1), made_under()) is False


async def test_taken_slots_lie_between_frames(player: Player) -> None:
    """Timestamps for the last frame sent again rise strictly between those of the frames before and after."""
    assert player.playout.take_slot() == 0
    player.playout.run()
    await player.put(chunk())
    await player.clock.advance(0.1)
    player.playout.freeze()
    await player.clock.advance(0.5)
    taken = [player.playout.take_slot(), player.playout.take_slot()]
    player.playout.run()
    await player.clock.advance(0.5)
    times = [pts for _, _, pts in player.seen[:2]] + taken + [pts for _, _, pts in player.seen[2:]]
    assert times == sorted(set(times))
    assert taken[0] == 9 * STEP


async def test_a_hold_that_was_filled_is_an_underrun(player: Player) -> None:
    """An underrun counts also when the last frame was sent again meanwhile; between two takes none does."""
    player.playout.run()
    await player.put(chunk(0))
    await player.clock.advance(0.6)
    player.playout.take_slot()
    await player.put(chunk(1))
    await player.clock.advance(0.6)
    assert player.playout.underruns == 1
    await player.put(chunk(0), take=2)
    await player.clock.advance(0.5)
    assert (player.playout.underruns, len(player.seen)) == (1, 12)


async def test_a_chunk_opens_with_what_it_was_made_under(player: Player) -> None:
    """The first frame of each chunk, and no other, carries what the chunk was made under."""
    player.playout.run()
    await player.put(chunk())
    await player.clock.advance(0.5)
    assert [frame.opens is not None for frame in player.frames] == [True, False, False, False]
