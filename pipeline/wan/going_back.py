"""Where a stream of a Wan model can be gone back to: a chunk's beginning, or a cut inside it."""

from dataclasses import dataclass

from pipeline.errors import TruncationError
from pipeline.preprocess import FRAMES_PER_LATENT
from pipeline.types import Cut
from pipeline.wan.known import Known
from pipeline.wan.plan import Plan
from pipeline.wan.state import Boundary, Made, WanState
from pipeline.wan.switch import Course
from pipeline.wan.window import WindowCache


@dataclass(frozen=True, slots=True, eq=False)
class Back:
    """The chunk that a stream is taken back into, and how many of its latents stay.

    ``course``, ``cache`` and ``known`` are how it stood after that chunk: a later one may have come with windows and
    texts of its own. ``is_last`` tells that there is none later.
    """

    made: Made
    kept: int
    course: Course
    cache: WindowCache
    known: list[Known]
    is_last: bool


def way_back(state: WanState, latent: int, plan: Plan) -> Back:
    """Find the chunk that holds a latent, from where on it is to be made anew. Raises TruncationError for no way."""
    earlier = [made for made in state.past if made.begin.made <= latent < state.now.made]
    later = state.past[len(earlier)] if len(earlier) < len(state.past) else None
    if earlier:
        made, kept = earlier[-1], latent - earlier[-1].begin.made
        after = (later.begin, later.cache, later.known) if later else (state.now, state.cache, state.known)
        course = after[0].course
        if kept == 0 or any(kept == cut.latents for cut in cuts(made.begin, kept + 1, state.begun, course, plan)):
            return Back(made, kept, course, after[1], after[2], later is None)
    raise TruncationError(f"latent {latent} is no beginning of the last {len(state.past)} chunks, nor a cut")


def cuts(begin: Boundary, count: int, begun: int, course: Course, plan: Plan) -> tuple[Cut, ...]:
    """Where a chunk of a stream that began there can be cut: not the first one, nor before it sees a full window.

    There the past has lengths that no chunk's beginning has, and a graph is recorded for each length.
    """
    flushed_out = max(0, course.past.floor - plan.sink)
    full = plan.window - plan.latents_per_chunk + flushed_out
    return tuple(
        Cut(kept * FRAMES_PER_LATENT, kept)
        for kept in range(1, count)
        if begin.chunks != begun and begin.cached + kept >= full
    )
