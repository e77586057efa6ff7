"""Effects that are only said beside what else is asked for, as when or where that happens: "it rains at night"."""

import random

from pipeline.pocket.grammar import DATA, draw
from pipeline.pocket.pairings import CONTRADICTIONS
from pipeline.pocket.roles import ASKED, mark

TAILS: dict[str, str] = DATA["tails"]
SHARE = 0.1
# Those that a scene is most often set in are drawn more often.
OFTEN, MORE = ("night", "warm", "rain", "snow", "fog"), 3
# Of a setting that stands behind; the others lead.
LAST = 0.75


def draw_setting(camera: str, names: tuple[str, ...], rng: random.Random) -> str:
    """Draw an effect to set a move and effects in, or none; it contradicts none of them."""
    if camera == "drift" or len(names) > 2 or rng.random() >= SHARE:
        return ""
    able = [name for name in TAILS if name not in names]
    able = [name for name in able if not any(pair <= {camera, name, *names} for pair in CONTRADICTIONS)]
    return rng.choices(able, [MORE if name in OFTEN else 1 for name in able])[0]


def set_in(text: str, name: str, rng: random.Random) -> str:
    """``text`` with a setting behind or before it."""
    words = mark(draw(TAILS[name], {}, rng), ASKED)
    return f"{text} {words}" if rng.random() < LAST else f"{words}{rng.choice((', ', ' '))}{text}"
