"""Which trials an evaluation is made of, on which pictures."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2

from pipeline.picture import read_picture
from pipeline.pocket.endless import plan as endless_plan
from pipeline.pocket.labels import label, labelled
from pipeline.pocket.language import held_out_prompts
from pipeline.pocket.measure import reduced_grey, texture
from pipeline.pocket.motion import plan as motion_plan
from pipeline.pocket.plain_prompts import CAMERA_PHRASES, DRAWN_PHRASES, EFFECT_PHRASES, PAIRS
from pipeline.pocket.towers import TOWERS
from pipeline.pocket.trials import Trial, lanczos
from pipeline.pocket.truth import WHERE
from pipeline.pocket.view import HEIGHT, WIDTH
from pipeline.pocket.where import plan as where_plan

# What is drawn on water, or in a sky, is tried where the learned effect is that lives there: on pictures that have it
# by the labels, whatever the model finds in them.
LIKE = {"stream": "ripple", "waves": "ripple", "aurora": "clouds", "twinkle": "clouds"}
MOVES = tuple(name for name in CAMERA_PHRASES if name != "still")


@dataclass(frozen=True, slots=True)
class Scope:
    """How much is tried: pictures a class, phrasings a class, seconds and prompts of the long trials; of how many pairs
    of a wish and a picture one is taken, for where, for motion and, with seconds, for endless; pictures for each pair
    of effects, and whether towers are taken out."""

    camera: int = 8
    effect: int = 8
    phrases: int = 99
    still: tuple[int, float] = (3, 60.0)
    drift: float = 300.0
    drifts: tuple[str, ...] = ("still", "pan_left")
    outside: tuple[str, ...] = MOVES
    where: int = 1
    motion: int = 1
    drawn: int = 4
    pairs: int = 2
    towers: bool = True
    endless: tuple[int, float] = (1, 3600.0)


QUICK = Scope(
    camera=2, effect=1, phrases=1, still=(1, 10.0), drift=15.0,
    drifts=("pan_left",), outside=("pan_left", "zoom_out", "roll_cw"), where=8, motion=13,
    endless=(9, 15.0), drawn=1, pairs=1, towers=False,
)  # fmt: skip


def rank(folder: Path) -> dict[str, list[str]]:
    """Order the held-out pictures for each effect: those first that show most of what it moves, by the labels.

    An effect that lives anywhere takes them in an order that only their names decide.
    """
    files = sorted((folder / "held").glob("*.jpg"), key=lambda f: hashlib.sha256(f.name.encode()).digest())
    visible = {effect: {file.stem: 0.0 for file in files} for effect in WHERE}
    for file in files:
        if file.stem in labelled():
            seen = cv2.resize(texture(reduced_grey(lanczos(read_picture(file)))), (WIDTH, HEIGHT))
            for effect, matter in WHERE.items():
                visible[effect][file.stem] = float((label(file.stem).layer(matter) * seen).mean())
    order = {effect: sorted(shares, key=lambda s: -shares[s]) for effect, shares in visible.items()}
    return order | {"any": [file.stem for file in files]}


def plan(order: dict[str, list[str]], scope: Scope, truth: bool) -> list[Trial]:
    """All trials, the longest first, so that no worker is left with one at the end."""
    anywhere = order["any"]
    trials = [] if truth else list(_long(anywhere, scope))
    trials += [Trial("motion", *pair) for pair in motion_plan()[:: scope.motion]]
    trials += [] if truth else [Trial("steps", *pair) for pair in motion_plan()[:: scope.motion]]
    for row, name in enumerate(CAMERA_PHRASES):
        # Each class begins at another picture, so that few pictures still means many.
        pictures = (anywhere[row:] + anywhere[:row])[: scope.camera]
        trials += [Trial("camera", name, picture, variant) for variant, picture in enumerate(pictures)]
    for row, name in enumerate(EFFECT_PHRASES):
        pictures = order.get(name, anywhere[row:] + anywhere[:row])[: scope.effect]
        trials += [Trial("effect", name, picture, variant) for variant, picture in enumerate(pictures)]
    for row, (name, prompts) in enumerate(held_out_prompts().items()):
        pictures = order.get(LIKE.get(name, name), anywhere[row:] + anywhere[:row])[:8]
        for variant in range(min(len(prompts), scope.phrases)):
            trials.append(Trial("phrase", name, pictures[variant % len(pictures)], variant))
    for row, name in enumerate(DRAWN_PHRASES):
        pictures = order.get(LIKE.get(name, ""), anywhere[row:] + anywhere[:row])[: scope.drawn]
        trials += [Trial("drawn", name, picture) for picture in pictures]
    for row, pair in enumerate(PAIRS):
        first = next((order[name] for name in pair if name in order), anywhere[row:] + anywhere[:row])
        trials += [Trial("pair", "+".join(pair), picture) for picture in first[: scope.pairs]]
    if not truth:
        # A quick look takes every eighth.
        trials += [Trial("where", *pair) for pair in where_plan()[:: scope.where]]
        trials += [Trial("ceiling", *pair) for pair in where_plan()[:: scope.where]]
        trials += _ablated(trials) if scope.towers else []
    return trials


def _ablated(trials: list[Trial]) -> list[Trial]:
    """Some trials once more without a tower: the first of each camera move and effect, and every fourth of where."""
    some = {kind: [t for t in trials if t.kind == kind] for kind in ("camera", "effect", "where")}
    firsts = {kind: [t for t in some[kind] if t.variant == 0] for kind in ("camera", "effect")}
    tried = {tower: ("camera", "effect") if tower == "text" else ("effect", "where") for tower in TOWERS}
    firsts["where"] = some["where"][::4]
    return [replace(t, without=tower) for tower in TOWERS for kind in tried[tower] for t in firsts[kind]]


def _long(pictures: list[str], scope: Scope) -> Iterator[Trial]:
    every, seconds = scope.endless
    yield from (Trial("endless", *pair, seconds=seconds) for pair in endless_plan()[::every])
    yield from (Trial("drift", name, pictures[0], seconds=scope.drift) for name in scope.drifts)
    yield from (Trial("still", "still", picture, seconds=scope.still[1]) for picture in pictures[: scope.still[0]])
    yield from (
        Trial("outside", name, pictures[row % len(pictures)], seconds=20.0) for row, name in enumerate(scope.outside)
    )
