"""What is understood of a prompt that also paints: its scene, what moves in it, what neither can do."""

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from pipeline.pocket.painter.scenery import Scenery
from pipeline.pocket.painter.words import Wish, names_motion
from pipeline.types import Heard

TextT = TypeVar("TextT")
DRIFT = "a gentle drift"


def life_of(scenery: Scenery) -> str:
    """Say how a scene moves of which nothing more is said.

    >>> life_of(Scenery("sea", hour="sunset")), life_of(Scenery("stars", hour="night"))
    ('soft waves roll in, the clouds drift slowly', 'the stars twinkle')
    """
    waters = {
        "sea": "big waves roll in" if scenery.weather == "stormy" else "soft waves roll in",
        "lake": "gentle ripples on the water",
    }
    plants = {"forest": "the leaves sway gently", "field": "the grass sways gently", "fire": "the trees sway gently"}
    moving = ["the fire flickers, sparks fly up"] if scenery.has_fire or scenery.has("fire") else []
    moving += [waters[scenery.place]] if scenery.place in waters else []
    moving += [plants[scenery.place]] if scenery.place in plants else []
    is_open = scenery.place not in ("forest", "fire", "abstract", "stars")
    if scenery.has_aurora:
        moving += ["northern lights dance in the sky"]
    elif scenery.has_stars or scenery.place == "stars":
        moving += ["the stars twinkle"]
    # Stars do not drift; clouds that pass before them would take them along.
    moving += ["the clouds drift slowly"] if is_open and scenery.hour != "night" else []
    return ", ".join(moving) or "the camera drifts gently"


def hear_painted(wish: Wish, scenery: Scenery, read: Callable[[str], tuple[TextT, Heard]]) -> tuple[TextT, Heard]:
    """Read what a wish says besides its scene with ``read``; where that moves nothing, the scene lives by itself.

    ``scenery`` is what is on the screen under this prompt.
    """
    text, told = read(wish.rest)
    if told.understood == (DRIFT,) and not names_motion(wish.rest):
        # A thing that stands alone is easily taken for a call for any motion.
        told = Heard((), (wish.rest,))
    if not told.understood and not wish.is_empty:
        text, lives = read(life_of(scenery))
        told = Heard(lives.understood, told.ignored)
    if wish.is_empty:
        return text, told
    return text, replace(told, understood=(f"{scenery.described()} (painted)", *told.understood))


def told_unnamed(heard: Heard) -> Heard:
    """What was understood of the prompt that a stream begins with, where it names no scene.

    >>> told_unnamed(Heard((), ("a dog on a bicycle",))).understood
    ('no scene was named: a lake, by day (painted)',)
    """
    unnamed = f"no scene was named: {Scenery().described()} (painted)"
    return replace(heard, understood=(unnamed, *heard.understood))
