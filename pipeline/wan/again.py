"""A stream's window and decoder made again from its clean latents: after a restart, under another picture."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from pipeline.networks.frame_decoder import VAEMemory
from pipeline.preprocess import FRAMES_PER_LATENT
from pipeline.travel import Said
from pipeline.wan.decoding import LiveDecoder
from pipeline.wan.known import Known
from pipeline.wan.sampler import Guide, Sampler
from pipeline.wan.state import Boundary, Made, Pending, WanState
from pipeline.wan.switch import Course
from pipeline.wan.window import WHOLE, WindowCache

BEFORE = 2
"""How many times what a chunk sees besides the sink is known before the window begins.

What a latent was read as depends on those that it saw, which depend on those before, so less with every step back: in
twelve layers of random weights each makes the difference ten times smaller or more (``tests/test_wan_saving.py``).
"""


@dataclass(frozen=True, slots=True)
class Reach:
    """What of a stream is known: the latents of its sink, and so many of the newest."""

    sink: int
    latents: int

    def kept(self, known: Sequence[Known], end: int) -> list[Known]:
        """Give what is needed of a stream that ends there."""
        return [
            one for one in known if one.end > end - self.latents or (one.first < self.sink and one.serves != "decoder")
        ]


def reach(window: int, sink: int, chunk: int, decoder: int) -> Reach:
    """Tell what is to be known for a window of so many latents and a decoder that looks so far back.

    >>> reach(window=12, sink=3, chunk=3, decoder=8)
    Reach(sink=3, latents=27)
    """
    ring = window - sink
    # Two chunks can be taken back.
    return Reach(sink, max(ring + BEFORE * (ring - chunk), decoder) + 2 * chunk)


def read_again(
    cache: WindowCache,
    known: Sequence[Known],
    sampler: Sampler,
    guide: Callable[[Known], Guide],
    is_pending: bool = False,
) -> Pending | None:
    """Fill a window from what is known of a stream, grouped as it was; the last group is left pending if so.

    What a latent is read as depends on those that it sees. As long as a stream has lost none they are all read as they
    were; later its oldest ones see less than they did.
    """
    cache.clear()
    groups = [one for one in known if one.serves != "decoder"]
    for number, one in enumerate(groups, 1):
        count = one.clean.shape[2]
        cache.latents = one.first
        seen = cache.see(count, sampler.positions, one.past)
        if is_pending and number == len(groups):
            return Pending(one.clean, guide(one), seen)
        cache.append(sampler.read(one.clean, guide(one), seen, one.is_given), count)
        cache.latents = one.end
    return None


def remembered(decoder: LiveDecoder, known: Sequence[Known]) -> dict[int, VAEMemory | None]:
    """Give the decoder's memory by place, before each group and after the last; before a gap it is not to be used."""
    memory: VAEMemory | None = None
    memories: dict[int, VAEMemory | None] = {0: None}
    end: int | None = None
    for one in known:
        if one.serves != "window":
            memory = memory if one.first == end else None
            memories[one.first] = memory
            memory = memories[one.end] = decoded(decoder, one.clean, one.count, memory)
            end = one.end
    return memories


def flushed(state: WanState, picture: Tensor, said: Said) -> list[Known]:
    """Give what is known when a picture's latent takes the place of all but the chunk made last.

    The latents before that are for the decoder alone, which goes on from what it saw.
    """
    last = state.known[-1]
    before = [replace(one, first=one.first - last.first + 1, serves="decoder") for one in state.known[:-1]]
    # A picture that was flushed in before was never seen.
    seen = [one for one, was in zip(before, state.known, strict=False) if was.serves != "window"]
    given = Known(picture, 0, 1, said, is_given=True, serves="window")
    return [*seen, given, replace(last, clean=last.clean[:, :, : last.count], first=1, past=WHOLE)]


def decoded(decoder: LiveDecoder, clean: Tensor, count: int, memory: VAEMemory | None) -> VAEMemory | None:
    """Give the decoder's memory after the first latents of a group: of the whole at once, of a part one by one."""
    parts = (clean,) if count == clean.shape[2] else clean[:, :, :count].split(1, dim=2)
    for part in parts:
        memory = decoder.decode(part, memory)[1]
    return memory


def boundary_after(decoder: LiveDecoder, made: Made, kept: int, course: Course) -> Boundary:
    """Give the boundary after the first latents of a chunk; the decoder sees those again, for its memory alone."""
    begin, memory = made.begin, decoded(decoder, made.clean, kept, made.begin.memory)
    frames = begin.frames + kept * FRAMES_PER_LATENT
    return Boundary(begin.made + kept, begin.cached + kept, frames, begin.chunks + 1, memory, begin.watch, course)
