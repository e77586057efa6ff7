"""Make the meter of drawn effects: ``python -m pipeline.pocket.drawn.fit PICTURES NOTES [--workers 2]``.

PICTURES holds ``train/*.jpg``. Of half of those with rough labels, those with water or a sky first, each drawn effect
is set on directly at several strengths and speeds, where its layer is by the labels; beside them stand learned effects,
moves of the camera and nothing, as the truth plays them. NOTES (a file of JSON lines, made if it is not there) holds
their statistics; ``judge.json`` is made of them. It prints what each class is read as by a rule that was made without
the clip's picture, and with ``--check`` how the rule on file reads the other half of the pictures.
"""

import argparse
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch

from pipeline.picture import read_picture
from pipeline.pocket.arrival import OF_NIGHT
from pipeline.pocket.drawn.cost import seen
from pipeline.pocket.drawn.drawing import Wish
from pipeline.pocket.drawn.judge import RULE, Rule, drawn_class, nearest_means, reading, shown
from pipeline.pocket.drawn.playing import played
from pipeline.pocket.drawn.statistics import WATCHED, clip, statistics
from pipeline.pocket.labels import rasterise
from pipeline.pocket.layers_data import NAMES, read_rough
from pipeline.pocket.names import DEFAULT_REGION, DRAWN
from pipeline.pocket.plain_prompts import CAMERA_PHRASES, EFFECT_PHRASES, camera_prompt, effect_prompt
from pipeline.pocket.takes import TruthPlayer, script
from pipeline.types import Pixels

LAYERS = ("sky", "water", "foliage", "subject")
# Share of the view from which a layer is there for sure.
THERE = 0.08
STRENGTHS, SPEEDS = (0.6, 1.0, 1.5), (1.0, 1.0, 1.6, 0.6)
# Pictures of each half: with water, with a sky besides, with neither.
PICTURES = (12, 14, 8)
# Nights are few among them: of some of those with a sky one is made, with lights, for what looks otherwise by night.
NIGHT, NIGHTS, BY_NIGHT, LIGHTS = "-night", 8, ("twinkle", "dust", "aurora", "fire"), 60
FOLDS = 8
# From which fall of the light, as a log, dusk came along.
DUSK, DARKER = " and dusk", 0.3


# A name, how strong, how fast.
Tried = tuple[str, float, float]


class Note(NamedTuple):
    """The statistics of one clip."""

    name: str
    picture: str
    strength: float
    speed: float
    found: dict[str, float]


def pictures(half: int) -> list[tuple[str, frozenset[str]]]:
    """Numbers of one half of the training pictures, each with the layers that it has by the rough labels."""
    kinds: list[list[tuple[str, frozenset[str]]]] = [[], [], []]
    for rough in read_rough():
        lines = [f"{rough.ground} 0,0 100,0 100,100 0,100", *rough.shapes.splitlines()]
        masks = rasterise("\n".join(f"{NAMES[line[0]]}{line[1:]}" for line in lines))
        layers = frozenset(name for name, mask in zip(LAYERS, masks, strict=True) if float(mask.mean()) > THERE)
        kinds[0 if "water" in layers else 1 if "sky" in layers else 2].append((rough.number, layers))
    by_day = [one for kind, count in zip(kinds, PICTURES, strict=True) for one in kind[half::2][:count]]
    return by_day + [(number + NIGHT, layers) for number, layers in by_day if "sky" in layers][::2][:NIGHTS]


def by_night(image: Pixels, seed: int) -> Pixels:
    """A night of a picture, with small lights anywhere."""
    rng, dark = np.random.default_rng(seed), image * np.array([0.22, 0.25, 0.36])
    height, width = image.shape[:2]
    for x, y, size, tint in rng.random((LIGHTS, 4)):
        side = round(height / 480 * (2 + 3 * size))
        row, column = int(y * (height - side)), int(x * (width - side))
        dark[row : row + side, column : column + side] = (250, 235 - 50 * tint, 210 - 130 * tint)
    return dark.astype(np.uint8)


def tried(row: int, number: str, layers: frozenset[str]) -> Iterator[Tried]:
    """What is played over a picture: names with strength and speed."""
    if number.endswith(NIGHT):
        some = [(name, strength) for name in BY_NIGHT for strength in STRENGTHS[: 3 if name == "twinkle" else 1]]
        yield from ((name, strength, SPEEDS[(row + one) % 4]) for one, (name, strength) in enumerate(some))
        return
    for column, name in enumerate(DRAWN):
        place = DEFAULT_REGION[name]
        first, speed = (row + column) // 2, SPEEDS[(7 * row + column) // 3 % 4]
        # Waters are few.
        for strength in range(first, first + (3 if place == "water" else 1)):
            if place in layers or (place not in LAYERS and (row + column) % 2 == 0):
                yield name, STRENGTHS[strength % 3], speed
    learned, moves = list(EFFECT_PHRASES), list(CAMERA_PHRASES)
    turns = {learned[at % 10]: None for at in (row, row + 4, row + 7, 3 * row + 5)}
    for name in (*turns, moves[row % 9], moves[(row + 4) % 9], *(("still",) if row % 4 == 0 else ())):
        place = DEFAULT_REGION.get(name, "whole")
        if place in layers or place not in LAYERS:
            yield name, 1.0, 1.0


def play(folder: Path, told: tuple[int, str, frozenset[str], frozenset[Tried]]) -> list[Note]:
    """Play all that is tried over one picture, but what was."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    row, number, layers, done = told
    wanted, notes = [one for one in tried(row, number, layers) if one not in done], list[Note]()
    if not wanted:
        return notes
    image, truth = read_picture(folder / "train" / f"{number.removesuffix(NIGHT)}.jpg"), TruthPlayer()
    image = by_night(image, row) if number.endswith(NIGHT) else image
    canvas = seen(image)
    for name, strength, speed in wanted:
        if name in DRAWN:
            frames = played(canvas, {name: Wish(strength, DEFAULT_REGION[name], speed)}, WATCHED, seed=row)
        else:
            prompt = camera_prompt(name) if name in CAMERA_PHRASES else effect_prompt(name)
            frames = truth.play(image, script((0, prompt), seconds=19.75, frames=WATCHED, seed=row)).frames
        found = statistics(clip(canvas.rest.numpy(), frames))
        notes.append(Note(name, number, strength, speed, {key: float(f"{size:.5g}") for key, size in found.items()}))
    return notes


def noted(folder: Path, half: int, file: Path, workers: int) -> list[Note]:
    """The notes of one half of the pictures, of which those on file are not made again."""
    notes = [Note(*json.loads(line)) for line in file.read_text().splitlines()] if file.exists() else []
    wanted = [
        (row, number, layers, frozenset((n.name, n.strength, n.speed) for n in notes if n.picture == number))
        for row, (number, layers) in enumerate(pictures(half))
    ]
    with ProcessPoolExecutor(workers, get_context("spawn")) as players, file.open("a") as log:
        for some in players.map(partial(play, folder), wanted):
            notes += some
            log.write("".join(json.dumps(note) + "\n" for note in some))
            log.flush()
    return notes


def crossed(notes: Sequence[Note]) -> list[str]:
    """What each clip is named by a rule that was made of other pictures."""
    numbers = sorted({note.picture for note in notes})
    fold, names = {number: row % FOLDS for row, number in enumerate(numbers)}, [""] * len(notes)
    for one in range(FOLDS):
        others = [note for note in notes if fold[note.picture] != one]
        made = made_of(others)
        for row, note in enumerate(notes):
            if fold[note.picture] == one:
                names[row] = drawn_class(note.found, made)
    return names


def made_of(notes: Sequence[Note]) -> Rule:
    """The rule of clips, without those in which nothing of their effect is to be seen."""
    some = [note for note in notes if note.name not in DRAWN or shown(note.name, note.found) >= 1]
    # What brings dusk along has a mean with it and one without.
    kinds = [note.name + DUSK * (note.name in OF_NIGHT and note.found["fall"] > DARKER) for note in some]
    made = nearest_means(np.stack([reading(note.found) for note in some]), kinds)
    return made._replace(classes=tuple(name.removesuffix(DUSK) for name in made.classes))


def told(notes: Sequence[Note], names: Sequence[str]) -> str:
    """How many of each class are named right, and what the others are named."""
    lines: list[str] = []
    for name, count in sorted(Counter(note.name for note in notes).items()):
        pairs = [(note, other) for note, other in zip(notes, names, strict=True) if note.name == name]
        wrong = [f"{note.picture} at {note.strength:g} → {other}" for note, other in pairs if other != name]
        lines.append(f"{name} {count - len(wrong)}/{count} {'; '.join(wrong)}".rstrip())
    drawn = [(note.name, name) for note, name in zip(notes, names, strict=True) if note.name in DRAWN]
    false = sum(name in DRAWN for note, name in zip(notes, names, strict=True) if note.name not in DRAWN)
    right = sum(one == other for one, other in drawn)
    summary = f"drawn effects {right}/{len(drawn)}; all else read as drawn {false}/{len(notes) - len(drawn)}"
    return "\n".join([*lines, summary])


def main() -> None:
    """Make the rule, or check it, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("notes", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--check", action="store_true", help="read the other half by the rule on file")
    args = parser.parse_args()
    notes = noted(args.pictures, int(args.check), args.notes, args.workers)
    if args.check:
        print(told(notes, [drawn_class(note.found) for note in notes]))
        return
    made = made_of(notes)
    weights = [[float(f"{one:.4g}") for one in row] for row in made.weights.tolist()]
    lines = ",\n".join(json.dumps(row) for row in weights)
    bias = [round(one, 4) for one in made.bias.tolist()]
    text = f'{{"classes": {json.dumps(made.classes)},\n"bias": {json.dumps(bias)},\n"weights": [\n{lines}\n]}}\n'
    RULE.write_text(text, encoding="utf-8")
    print(told(notes, crossed(notes)))


if __name__ == "__main__":
    main()
