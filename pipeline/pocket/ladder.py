"""Quality levels of pocket's: what is given up, in which order, where a machine has no time for more."""

from dataclasses import dataclass

from pipeline.pocket.latents import LATENTS_PER_SECOND


@dataclass(frozen=True, slots=True)
class Rung:
    """One quality level: denoising steps and frames made of a latent, and whether its picture has depth."""

    name: str
    steps: int
    frames: int
    depth: bool = True


def ladder(steps: int, frames: int = 4, has_depth: bool = False) -> tuple[Rung, ...]:
    """Rungs from best to least; work goes first, then depth where there is any, then the frame rate, down to half.

    >>> [rung.name for rung in ladder(1)], [rung.name for rung in ladder(2)]
    (['full', '12 fps', '8 fps'], ['full', 'one step', '12 fps', '8 fps'])
    >>> [rung.frames for rung in ladder(2, 15)]
    [15, 15, 11, 8]
    >>> [rung.name for rung in ladder(1, 6)]
    ['full', '16 fps', '12 fps']
    >>> [(rung.name, rung.depth) for rung in ladder(1, has_depth=True)]
    [('full', True), ('no depth', False), ('12 fps', False), ('8 fps', False)]
    """
    simpler = (Rung("one step", 1, frames),) if steps > 1 else ()
    fewer = sorted({frames * 3 // 4, (frames + 1) // 2} - {0, frames}, reverse=True)
    flat = (Rung("no depth", 1, frames, False),) if has_depth else ()
    slower = (Rung(f"{LATENTS_PER_SECOND * count} fps", 1, count, not has_depth) for count in fewer)
    return (Rung("full", steps, frames), *simpler, *flat, *slower)
