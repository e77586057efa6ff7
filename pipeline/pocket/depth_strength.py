"""How much of a picture's depth is seen: all of it, or none where a machine has no time for it.

It goes and comes little by little, since at the end of a pan what is near is 40 units from where it lies in a flat
picture; by even steps a latent, so that what was made at the same quality is the same again.
"""

from typing import NamedTuple

from pipeline.pocket.latents import LATENTS_PER_SECOND

# Latents in which all of it goes or comes: two seconds.
FADE = 2 * LATENTS_PER_SECOND


class Strength(NamedTuple):
    """How many of FADE steps are there at a latent's boundary, and at the next one."""

    now: int = FADE
    then: int = FADE

    def towards(self, is_wanted: bool, is_at_home: bool) -> "Strength":
        """The same with a step of the next latent's; all of them where a camera at home shows none of it.

        >>> Strength().towards(False, False), Strength().towards(False, True), Strength().towards(True, False)
        (Strength(now=8, then=7), Strength(now=0, then=0), Strength(now=8, then=8))
        """
        goal = FADE if is_wanted else 0
        return Strength(goal, goal) if is_at_home else Strength(self.now, self.now + max(-1, min(1, goal - self.now)))

    def after(self) -> "Strength":
        """The same a latent later."""
        return Strength(self.then, self.then)

    def at(self, share: float) -> float:
        """How much of depth is seen at a share of the latent, 0..1, with no corner at either end.

        >>> Strength().at(0.5), Strength(4, 4).at(0.0), Strength(1, 0).at(1.0)
        (1.0, 0.5, 0.0)
        """
        x = (self.now + (self.then - self.now) * share) / FADE
        return x * x * (3 - 2 * x)
