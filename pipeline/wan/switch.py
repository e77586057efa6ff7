"""How another prompt comes into a running Wan stream: what of the past is seen from then on, and under which text.

From softest to hardest: ``blend`` lets the text travel; ``auto`` swaps it, and flushes besides where it is far from the
one before; ``recache`` reads the latents of the window again under the new text (LongLive, arXiv 2509.22622); ``flush``
sees of the past its sink and its newest latents alone, and ``cut`` places what comes further away from these in time
besides (Infinity-RoPE, arXiv 2511.20649).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from pipeline.preprocess import FRAMES_PER_LATENT
from pipeline.travel import Travel
from pipeline.types import Conditioning, Policy
from pipeline.wan.known import Known
from pipeline.wan.plan import Plan
from pipeline.wan.window import Past

LEAST_KEPT = 2
"""Latents that a flush keeps at least: two tell a motion, one a picture."""


@dataclass(frozen=True, slots=True)
class Course:
    """Under what a stream goes on at a boundary: how its prompt stands, and what of the past it sees."""

    travel: Travel = field(default_factory=Travel)
    past: Past = field(default_factory=Past)


IsFar = Callable[[str, str], bool]
Turn = tuple[Course, bool]
"""The course from here on, and whether what is seen of the past is to be read again under its text."""


def policies(plan: Plan) -> tuple[Policy, ...]:
    """Name the ways of a prompt into a stream that a model has, softest first."""
    recache: tuple[Policy, ...] = ("recache",) if plan.recaches else ()
    cut: tuple[Policy, ...] = ("cut",) if plan.gap else ()
    return ("auto", "blend", *recache, "flush", *cut)


def new_course(prompt: str) -> Course:
    """Give the course of a take of which nothing was made yet."""
    return Course(Travel(prompt))


def turn(course: Course, asked: Conditioning, here: tuple[int, int], plan: Plan, is_far: IsFar) -> Turn:
    """Turn to what is asked for.

    Args:
        course: the one so far, under which something was made.
        asked: the same prompt turns nothing, whatever its policy.
        here: latents made of the take, and those that the window holds.
        plan: how the model is run.
        is_far: whether a prompt is far from another; asked where that matters.
    """
    before = course.travel.prompt
    if before is None or asked.prompt == before:
        return (new_course(asked.prompt) if before is None else course), False
    made, cached = here
    travel = course.travel.to(asked, made, float(plan.fps) / FRAMES_PER_LATENT)
    flushes = asked.policy in ("flush", "cut") or (asked.policy == "auto" and is_far(before, asked.prompt))
    past = course.past
    if flushes:
        past = replace(past, floor=cached - kept_by_flush(plan))
    if asked.policy == "cut":
        past = replace(past, cut=cached)
    return Course(travel, past), asked.policy == "recache"


def kept_by_flush(plan: Plan) -> int:
    """Count the newest latents that a flush keeps, besides the sink."""
    return max(LEAST_KEPT, plan.latents_per_chunk)


def relabelled(known: Sequence[Known], seen: Sequence[int], course: Course, made: int) -> list[Known]:
    """Give what is known once the latents that are seen are read again; those before serve the decoder alone."""
    said = course.travel.said(made)
    out: list[Known] = []
    for one in known:
        if one.serves != "decoder" and any(one.first <= latent < one.end for latent in seen):
            out.append(replace(one, said=said, past=course.past))
        elif one.serves != "window":
            out.append(replace(one, serves="decoder"))
    return out
