"""How much of each drawn effect is there, where, and how far it has gone: plain numbers at a latent boundary.

Amounts come and go evenly within a second, and an effect's time runs at the speed that was asked for. Between two
boundaries all is linear, so that any rate of frames shows the same moments.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

from pipeline.errors import PipelineError
from pipeline.pocket.intents import Asked
from pipeline.pocket.latents import LATENTS_PER_SECOND
from pipeline.pocket.names import DEFAULT_REGION, DRAWN, NAMED, REGIONS

# What an amount changes by in a latent, and the share of the way to another place.
STEP, PLACE_RATE = 0.3, 0.4


class Wish(NamedTuple):
    """What a prompt asks of one effect."""

    strength: float = 1.0
    region: str = "whole"
    speed: float = 1.0


class Drawn(NamedTuple):
    """One effect in one frame: how much, its time in seconds at its own speed, and its weight in each of REGIONS."""

    amount: float
    time_s: float
    places: tuple[float, ...]


# What is drawn, and under which seed, where nothing is.
NOTHING: tuple[int, dict[str, Drawn]] = (0, {})


@dataclass(frozen=True, slots=True)
class Drawing:
    """All of DRAWN at a latent boundary; ``seed`` is that of what chance there is, taken when nothing was drawn."""

    amounts: tuple[float, ...] = (0.0,) * len(DRAWN)
    times_s: tuple[float, ...] = (0.0,) * len(DRAWN)
    speeds: tuple[float, ...] = (1.0,) * len(DRAWN)
    places: tuple[tuple[float, ...], ...] = ()
    seed: int = 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing is drawn."""
        return not any(self.amounts)

    def after(self, wishes: dict[str, Wish] | None, seed: int) -> "Drawing":
        """The same a latent later, under what a prompt asks for; None leaves it as it is."""
        if not wishes and self.is_empty:
            return self
        rows = [self._one(index, name, wishes) for index, name in enumerate(DRAWN)]
        amounts, times, speeds, places = zip(*rows, strict=True)
        return Drawing(amounts, times, speeds, places, seed if self.is_empty else self.seed)

    def _one(
        self, index: int, name: str, wishes: dict[str, Wish] | None
    ) -> tuple[float, float, float, tuple[float, ...]]:
        amount, speed = self.amounts[index], self.speeds[index]
        before = self.places[index] if self.places else _only(DEFAULT_REGION[name])
        wish = (wishes or {}).get(name)
        goal = wish.strength if wish else amount if wishes is None else 0.0
        after = amount + max(-STEP, min(STEP, goal - amount))
        if not amount and not after:
            return 0.0, 0.0, 1.0, before
        speed, wanted = (wish.speed, _only(wish.region)) if wish else (speed, before)
        rate = PLACE_RATE if amount else 1.0
        places = tuple(old + rate * (new - old) for old, new in zip(before, wanted, strict=True))
        return after, self.times_s[index] + speed / LATENTS_PER_SECOND, speed, places

    def towards(self, after: "Drawing", share: float) -> tuple[int, dict[str, Drawn]]:
        """What is drawn at a share of the way to the state a latent later: the seed, and each effect by its name."""
        found: dict[str, Drawn] = {}
        for index, name in enumerate(DRAWN):
            before, then = self.amounts[index], after.amounts[index]
            amount = before + (then - before) * share
            if amount > 0:
                # An effect that ends has no time at its end, one that begins no place at its beginning.
                begin, speed = self.times_s[index], (after if then else self).speeds[index]
                there = after.places[index]
                places = tuple(
                    a + (b - a) * share for a, b in zip(self.places[index] if before else there, there, strict=True)
                )
                found[name] = Drawn(amount, begin + speed / LATENTS_PER_SECOND * share, places)
        return after.seed, found

    @classmethod
    def from_json(cls, told: dict[str, Any] | None) -> "Drawing":
        """Read again what was told as plain numbers; None is nothing drawn. Raises PipelineError for other effects."""
        if told is None:
            return cls()
        if len(told["amounts"]) != len(DRAWN) or any(len(row) != len(REGIONS) for row in told["places"]):
            raise PipelineError("the saved stream draws other effects than this version; start it anew")
        amounts, times, speeds = (tuple(told[name]) for name in ("amounts", "times_s", "speeds"))
        return cls(amounts, times, speeds, tuple(tuple(row) for row in told["places"]), told["seed"])


def _only(region: str) -> tuple[float, ...]:
    return tuple(float(region == name) for name in REGIONS)


def wishes_of(asked: Asked | None) -> dict[str, Wish] | None:
    """What a prompt's meaning (on the host) asks of DRAWN; None where there is none."""
    if asked is None:
        return None
    found: dict[str, Wish] = {}
    for name in DRAWN:
        index = NAMED.index(name)
        if bool(asked.present[0, index]):
            region = REGIONS[int(asked.region[0, index])]
            found[name] = Wish(float(asked.strength[0, index]), region, float(asked.speed[0, index]))
    return found
