"""Chunks that wait for their time; how many seconds of them wait is the latency of every command."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

from pipeline.types import Chunk, Cut, Pixels
from stream.clock import VIDEO_CLOCK_HZ, Alarm, FrameClock, Timer
from stream.control import Snapshot


@dataclass(frozen=True, slots=True)
class Room:
    """Leave to make one chunk: its first frame's index in the stream, and when that frame is due.

    ``after_gap``: the video stands still before it, so it has no time to miss. ``ticket`` goes stale when
    chunks are thrown away meanwhile.
    """

    first_frame: int
    due: float
    after_gap: bool
    ticket: int


@dataclass(frozen=True, slots=True, eq=False)
class DueFrame:
    """A frame whose time has come: uint8 [H, W, 3], index in the stream, timestamp in 90 kHz ticks.

    ``chunk`` is what it came in, whole as it was made. ``opens`` tells, on the first frame of a chunk, what that chunk
    was made under; else it is None.
    """

    pixels: Pixels
    index: int
    pts: int
    chunk: Chunk
    opens: Snapshot | None


@dataclass(frozen=True, slots=True)
class Place:
    """Where what waits can be cut off: in which chunk of the queue, at which cut of it, when the frame there is due.

    ``latent`` is the first that goes; ``skip`` of its frames stay, at ``fps``, and are to be left out when it is made
    again. ``is_midway``: it was whole until then.
    """

    position: int
    cut: Cut
    due: float
    latent: int
    fps: Fraction
    skip: int = 0
    is_midway: bool = False


@dataclass(slots=True, eq=False)
class _Waiting:
    chunk: Chunk
    first_frame: int
    made_under: Snapshot
    whole: Chunk
    sent: int = 0

    @property
    def end_frame(self) -> int:
        return self.first_frame + len(self.chunk.frames)

    @property
    def span(self) -> Fraction:
        return (len(self.chunk.frames) - self.sent) / self.chunk.fps

    @property
    def seconds(self) -> float:
        return float(self.span)

    @property
    def cuts(self) -> Iterator[tuple[Cut, int]]:
        """Places to cut it, each with how many frames of the latent there lie before: none to half of them."""
        left_out = self.made_under.conditioning.skip
        per_latent = (len(self.whole.frames) + left_out) // self.whole.latents
        for cut in (Cut(0, 0), *self.chunk.cuts):
            before = 0 if cut.frames else left_out
            for skip in range(before, max(before, per_latent // 2) + 1):
                if cut.frames + skip - before < len(self.chunk.frames):
                    yield Cut(cut.frames + skip - before, cut.latents), skip

    def shorten(self, cut: Cut) -> None:
        kept = tuple(other for other in self.chunk.cuts if other.frames < cut.frames)
        self.chunk = replace(self.chunk, frames=self.chunk.frames[: cut.frames], latents=cut.latents, cuts=kept)


class PlayoutBuffer:
    """The queue between the producer and the encoder; frames leave it evenly, each at its slot.

    A frame that comes too late takes the next slot to come, so time moves on by whole slots while the last
    frame stays on show. Frame indices count the frames that were sent, over all takes, with no gap.
    """

    def __init__(self, timer: Timer) -> None:
        self.timer = timer
        self._changed = Alarm(timer)
        self._waiting: deque[_Waiting] = deque()
        self._clock: FrameClock | None = None
        self._begins_at = 0
        self._next_slot = 0
        self._ticket = 0
        self._gap_expected = True
        self._held = False
        self.running = False
        self.last_frame: int | None = None
        """Index of the frame sent last."""
        self.last_pts: int | None = None
        """Its timestamp in 90 kHz ticks."""
        self.last_take: int | None = None
        """The take that it is of."""
        self.underruns = 0
        """How many times a frame came too late for its slot while the video was to go on."""

    @property
    def next_frame_index(self) -> int:
        """Index of the next frame to be put."""
        if self._waiting:
            return self._waiting[-1].end_frame
        return 0 if self.last_frame is None else self.last_frame + 1

    def next_place(self) -> tuple[int, int]:
        """Give the index of the next frame to be put, and the timestamp that it has if nothing is late."""
        if self._clock is None:
            return self.next_frame_index, self._begins_at
        waiting = sum((waiting.span for waiting in self._waiting), Fraction(0))
        return self.next_frame_index, self._clock.pts(self._next_slot) + round(waiting * VIDEO_CLOCK_HZ)

    def take_up(self, frame: int, pts: int) -> None:
        """Go on with this index and timestamp, in place of 0 and 0; before the first frame."""
        self.last_frame, self._begins_at = frame - 1 if frame else None, pts

    @property
    def stands_still(self) -> bool:
        """Whether no frame left since :meth:`run` was called."""
        return self._gap_expected

    @property
    def buffered(self) -> float:
        """Seconds of video that wait."""
        return sum(waiting.seconds for waiting in self._waiting)

    def run(self) -> None:
        """Let frames leave and chunks in: at a start, or to go on after :meth:`freeze`."""
        if not self.running:
            self.running = self._gap_expected = True
            self._changed.ring()

    def freeze(self) -> None:
        """Keep every frame where it is and grant no room, from now on."""
        self.running = False
        self._changed.ring()

    def clear(self) -> None:
        """Freeze, and throw away what was not sent; indices go on after the last frame sent."""
        self._waiting.clear()
        self._ticket += 1
        self.freeze()

    def nudge(self) -> None:
        """Make :meth:`wait_for_room` ask for the lead again, because it changed."""
        self._changed.ring()

    def due(self) -> float:
        """Give the time at which the next frame to be put is to be sent; past when it is late."""
        if self._clock is None or self._gap_expected:
            return self.timer.time() + self.buffered
        return self._clock.due(self._next_slot) + self.buffered

    async def wait_for_room(self, lead: Callable[[], float]) -> Room:
        """Wait until the next chunk must be begun: ``lead()`` seconds before its first frame is due."""
        while True:
            begin = None
            if self.running:
                due = self.due()
                begin = due - lead()
                if begin <= self.timer.time():
                    return Room(self.next_frame_index, due, self._gap_expected, self._ticket)
            await self._changed.wait(begin)

    def put(self, room: Room, chunk: Chunk, made_under: Snapshot) -> bool:
        """Add a chunk in the room that was granted for it; False, and no change, when that has gone stale."""
        if room.ticket != self._ticket:
            return False
        self._waiting.append(_Waiting(chunk, room.first_frame, made_under, chunk))
        self._changed.ring()
        return True

    def drop_unsent(self, after: float, take: int | None = None, from_latent: int = 0) -> int | None:
        """Throw away what is due later than ``after``, from the first place there on, as :meth:`place` finds it.

        Gives the first latent thrown away, or None. Rooms go stale.
        """
        place = self.place(after, take, from_latent)
        if place is not None:
            self.drop(place)
        return None if place is None else place.latent

    def drop(self, place: Place) -> None:
        """Throw away what waits from a place on. Rooms go stale."""
        while len(self._waiting) > place.position + 1:
            self._waiting.pop()
        if place.cut.frames > self._waiting[-1].sent:
            self._waiting[-1].shorten(place.cut)
        else:
            self._waiting.pop()
        self._ticket += 1
        self._changed.ring()

    def place(self, after: float, take: int | None = None, from_latent: int = 0) -> Place | None:
        """Find the first chunk's beginning, or cut inside one, that is due later than ``after``.

        With ``take``, in that take alone, and only from ``from_latent`` on. While frozen nothing is due, so the first.
        """
        for place in self.places(take, from_latent):
            if not place.is_midway and (place.due > after or not self.running):
                return place
        return None

    def places(self, take: int | None = None, from_latent: int = 0) -> Iterator[Place]:
        """Give every place from which on what waits can be thrown away, in order; those midway in a latent too."""
        due = self.due() - self.buffered
        for position, waiting in enumerate(self._waiting):
            if take is None or waiting.made_under.take == take:
                yield from (place for place in self._places(position, due) if place.latent >= from_latent)
            due += waiting.seconds

    def _places(self, position: int, due: float) -> Iterator[Place]:
        waiting = self._waiting[position]
        boundaries = {0, *(cut.frames for cut in waiting.chunk.cuts)}
        for cut, skip in waiting.cuts:
            if cut.frames >= waiting.sent:
                at = due + float((cut.frames - waiting.sent) / waiting.chunk.fps)
                latent, fps = waiting.chunk.first_latent + cut.latents, waiting.chunk.fps
                yield Place(position, cut, at, latent, fps, skip, cut.frames not in boundaries)

    async def next_frame(self) -> DueFrame:
        """Wait for the next frame's time and take it out."""
        while True:
            until = None
            if self.running and self._waiting:
                until = self._schedule()
                if until <= self.timer.time():
                    return self._pop()
            await self._changed.wait(until)

    def take_slot(self) -> int:
        """Give the timestamp of the slot now on show, for the last frame sent again while none comes.

        It lies between those of the frames before and after; 0 before the first. A frame that waits for this
        slot takes the next one, so ask only while none is about to be due.
        """
        if self._clock is None:
            return 0
        slot = max(self._next_slot, self._clock.slot_at(self.timer.time()))
        self._next_slot = slot + 1
        self._held = True
        return self._clock.pts(slot)

    def _schedule(self) -> float:
        """Settle the slot of the head frame, holding where it is late; give the time of that slot."""
        head = self._waiting[0]
        if self._clock is None:
            begins_at = Fraction(self._begins_at, VIDEO_CLOCK_HZ)
            self._clock = FrameClock(head.chunk.fps, self.timer.time() - float(begins_at), origin=begins_at)
        if self._clock.fps != head.chunk.fps:
            self._clock = self._clock.with_rate(head.chunk.fps, self._next_slot)
        slot = self._clock.hold(self._next_slot, self.timer.time())
        if slot != self._next_slot:
            self._next_slot, self._held = slot, True
        return self._clock.due(slot)

    def _pop(self) -> DueFrame:
        assert self._clock is not None
        head = self._waiting[0]
        pixels, opens = head.chunk.frames[head.sent], head.made_under if head.sent == 0 else None
        self.last_frame, self.last_pts = head.first_frame + head.sent, self._clock.pts(self._next_slot)
        self._next_slot += 1
        # Between takes the screen may stand still: a model that begins anew takes its time.
        if self._held and not self._gap_expected and head.made_under.take == self.last_take:
            self.underruns += 1
        self._held, self.last_take = False, head.made_under.take
        head.sent += 1
        if head.first_frame + head.sent == head.end_frame:
            self._waiting.popleft()
        if self._gap_expected:
            self._gap_expected = False
            self._changed.ring()
        return DueFrame(pixels, self.last_frame, self.last_pts, head.whole, opens)
