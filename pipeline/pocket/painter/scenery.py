"""What is to be painted, as plain values: a scene of a closed set, its hour, weather and colour."""

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

Place = Literal[
    "sea", "lake", "mountains", "hills", "forest", "field", "desert", "snow", "sky", "stars", "fire", "abstract"
]
Hour = Literal["dawn", "day", "sunset", "dusk", "night"]
Weather = Literal["clear", "cloudy", "misty", "stormy"]
Colour = Literal["", "red", "orange", "gold", "green", "teal", "blue", "purple", "pink", "white"]


@dataclass(frozen=True, slots=True)
class Scenery:
    """One scene.

    ``place`` fills the picture, ``beyond`` are places seen behind or about it, in alphabetical order. ``colour`` tints
    the light. What is ``None`` is left to the seed.
    """

    place: Place = "lake"
    beyond: tuple[Place, ...] = ()
    hour: Hour = "day"
    weather: Weather = "clear"
    colour: Colour = ""
    is_wintry: bool = False
    has_moon: bool = False
    has_stars: bool = False
    has_aurora: bool = False
    has_fire: bool = False

    def has(self, place: Place) -> bool:
        """Whether a place is seen."""
        return place == self.place or place in self.beyond

    def described(self) -> str:
        """Say it in plain words.

        >>> Scenery("lake", ("mountains",), "night", has_stars=True).described()
        'a lake with mountains, at night, stars'
        """
        more = f" with {' and '.join(_PLAIN[place] for place in self.beyond)}" if self.beyond else ""
        if self.place == "abstract":
            return f"{self.colour or 'coloured'} light"
        told = [_PLAIN[self.place] + more]
        told += [_HOURS[self.hour]] if self.place != "stars" else []
        told += [self.weather] if self.weather != "clear" else []
        told += [f"{self.colour} light"] if self.colour else []
        kinds = {"is_wintry": "snow", "has_moon": "a moon", "has_stars": "stars", "has_aurora": "northern lights"}
        told += [words for name, words in kinds.items() if getattr(self, name)]
        told += ["a fire"] if self.has_fire and self.place != "fire" else []
        return ", ".join(dict.fromkeys(told))

    def as_json(self) -> dict[str, Any]:
        """Give it as plain JSON values."""
        return asdict(self) | {"beyond": list(self.beyond)}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Scenery":
        """Read what :meth:`as_json` gave; what a later version added is left out."""
        known = {field.name for field in fields(cls)}
        kept: dict[str, Any] = {name: value for name, value in values.items() if name in known}
        kept["beyond"] = tuple(values["beyond"])
        return cls(**kept)


_PLAIN = {
    "sea": "the sea", "lake": "a lake", "mountains": "mountains", "hills": "hills", "forest": "a forest",
    "field": "a meadow", "desert": "dunes", "snow": "a snowfield", "sky": "the sky", "stars": "a starry sky",
    "fire": "a campfire", "abstract": "abstract light",
}  # fmt: skip
_HOURS = {"dawn": "at dawn", "day": "by day", "sunset": "at sunset", "dusk": "at dusk", "night": "at night"}
