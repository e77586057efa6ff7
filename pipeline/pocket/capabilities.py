"""What pocket can do, and which wishes it refuses."""

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

from pipeline.errors import ConditioningError
from pipeline.pocket.ladder import Rung
from pipeline.pocket.latents import LATENTS_PER_SECOND
from pipeline.pocket.painter.lexicon import SCENES
from pipeline.pocket.switch import POLICIES
from pipeline.pocket.view import View
from pipeline.types import Capabilities, Conditioning, QualityLevel


def capabilities_of(
    views: Sequence[View], rungs: Sequence[Rung], max_streams: int, examples: tuple[str, ...]
) -> Capabilities:
    """Tell what pocket does in these sizes, at these qualities."""
    return Capabilities(
        model="pocket",
        modes=("i2v", "t2v"),
        image_entry="anchor",
        policies=POLICIES,
        picture_policies=("cut", "flush", "blend"),
        sizes=tuple((view.width, view.height) for view in views),
        quality=levels_of(rungs),
        max_streams=max_streams,
        truncatable_latents=8,
        examples=examples,
        scenes=SCENES,
        joins_midway=True,
    )


def levels_of(rungs: Sequence[Rung]) -> tuple[QualityLevel, ...]:
    """Tell of each rung its name and rate; where only depth is given up against the one before, that takes a while.

    >>> from pipeline.pocket.ladder import ladder
    >>> [(level.name, level.helps_at_once) for level in levels_of(ladder(2, has_depth=True))]
    [('full', True), ('one step', True), ('no depth', False), ('12 fps', True), ('8 fps', True)]
    """
    slow = [before.depth and not rung.depth and before.frames == rung.frames for before, rung in pairwise(rungs)]
    rates = [Fraction(LATENTS_PER_SECOND * rung.frames) for rung in rungs]
    return tuple(
        QualityLevel(rung.name, fps, not is_slow)
        for rung, fps, is_slow in zip(rungs, rates, [False, *slow], strict=True)
    )


def admit(capabilities: Capabilities, rungs: Sequence[Rung], asked: Conditioning) -> None:
    """Raise ConditioningError for a mode, a quality or a beginning that there is not, or a missing picture."""
    if asked.mode not in capabilities.modes:
        raise ConditioningError(f"pocket makes video from a picture or from text, not {asked.mode}")
    if asked.mode == "i2v" and asked.image is None:
        raise ConditioningError("a picture is needed to begin: upload one first")
    if not 0 <= asked.quality < len(rungs):
        raise ConditioningError(f"quality {asked.quality} is not one of 0..{len(rungs) - 1}")
    frames = rungs[asked.quality].frames
    if not 0 <= asked.skip < frames:
        raise ConditioningError(f"{asked.skip} frames of a latent of {frames} can't be left out")
