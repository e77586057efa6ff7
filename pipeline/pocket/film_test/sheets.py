"""Blind sheets for judges who see pictures: two films as A and B, and nothing that tells which is whose.

A deck holds one opponent's sheets in an order of its own, with A and B by balanced coins. What is what stands in a key
beside the decks, which is not for judges.
"""

import json
import random
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from pipeline.pocket.film_test.drawing import Scene
from pipeline.pocket.film_test.rendering import FPS, FRAMES, SECONDS, frame
from pipeline.types import Pixels

WIDTH = 1568
HEAD, BAR, GAP = 70, 24, 4
SMALL, LARGE, CLOSE = 8, 4, 6
# The side lengths of a close-up in the frame, where it begins in time, and the kept frames from one to the next.
CLOSE_SIZE, CLOSE_FROM, CLOSE_STEP = (260, 200), FRAMES // 2, 2
SLICE_HEIGHT = 132
QUESTION = """Two short films, A and B, were made from one picture under the words at the top of each sheet.
Of each film a sheet shows: eight moments over {seconds} seconds; four of them larger; six close-ups of one place,
{step:g} s apart; and two slices through time: a row of the frame over time, which runs down, and a column of it
over time, which runs to the right. Steady stripes there are rest, slanted ones a camera, waves a motion.

Which film would you rather watch as this picture brought to life under these words? Weigh whether it does what the
words say, where they say it, whether it moves as such things do, and whether it looks right: no ghosts, seams,
mirrored borders, smears or flicker. Judge every sheet by itself. Take "tie" only where you see no difference.

Answer in one JSON file:
{{"deck": "{deck}", "judge": "a name", "answers": {{"sheet-01": {{"choice": "A", "reason": "one sentence"}}, ...}}}}
"""


def deal(
    scenes: Sequence[Scene], films: Path, names: tuple[str, Sequence[str]], out: Path, judges: int, seed: int | None
) -> str:
    """Make ``judges`` decks for each opponent under ``out``; tell what was made.

    ``names`` are the folders of the films that are judged and of their opponents. Raises ValueError when ``out`` holds
    decks already, and OSError when a film lacks frames.
    """
    if (out / "key.json").exists():
        raise ValueError(f"{out} holds decks already; choose another folder")
    ours, opponents = names
    seed = secrets.randbits(48) if seed is None else seed
    rng = random.Random(seed)
    order = [opponent for opponent in opponents for _ in range(judges)]
    rng.shuffle(order)
    abouts = {name: json.loads((films / name / "about.json").read_text("utf-8")) for name in (ours, *opponents)}
    key: dict[str, Any] = {"seed": seed, "ours": ours, "films": abouts, "decks": {}}
    drawn: dict[tuple[str, str], list[Image.Image]] = {}
    for number, opponent in enumerate(order, 1):
        deck = f"deck-{number}"
        (out / deck).mkdir(parents=True)
        question = QUESTION.format(deck=deck, seconds=SECONDS, step=CLOSE_STEP / FPS)
        (out / deck / "QUESTION.txt").write_text(question, encoding="utf-8")
        key["decks"][deck] = {"opponent": opponent, "sheets": shuffled(scenes, rng)}
        for name, entry in key["decks"][deck]["sheets"].items():
            pair = (entry["scene"], opponent)
            if pair not in drawn:
                drawn[pair] = halves(films / ours / pair[0], films / opponent / pair[0])
            shown = drawn[pair] if entry["ours"] == "A" else drawn[pair][::-1]
            sheet(name, entry["text"], shown).save(out / deck / f"{name}.png")
    (out / "key.json").write_text(json.dumps(key, indent=1), encoding="utf-8")
    return f"{len(order)} decks of {len(scenes)} sheets in {out}; key.json is not for judges"


def shuffled(scenes: Sequence[Scene], rng: random.Random) -> dict[str, dict[str, str]]:
    """Sheets in a random order, with ours as A in half of them."""
    coins = ["A", "B"] * ((len(scenes) + 1) // 2)
    rng.shuffle(coins)
    order = rng.sample(list(scenes), len(scenes))
    return {
        f"sheet-{row:02}": {"scene": scene.name, "picture": scene.picture, "text": scene.text, "ours": coin}
        for row, (scene, coin) in enumerate(zip(order, coins, strict=False), 1)
    }


def halves(one: Path, other: Path) -> list[Image.Image]:
    """What is shown of two films; the close-ups and slices are of the same place and moments in both."""
    films = [[frame(folder, number) for number in range(FRAMES)] for folder in (one, other)]
    left, top = liveliest(films)
    return [half(frames, left, top) for frames in films]


def liveliest(films: Sequence[Sequence[Pixels]]) -> tuple[int, int]:
    """Where a close-up sees most change, left and top in px; each film counts as much, whatever their order."""
    total: npt.NDArray[np.float32] | None = None
    for frames in films:
        small = [cv2.resize(f, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA).astype(np.float32) for f in frames]
        change = np.asarray(np.std(np.stack(small), axis=0).mean(-1), np.float32)
        change = change / max(float(change.mean()), 1e-3)
        total = change if total is None else total + change
    assert total is not None
    width, height = CLOSE_SIZE[0] // 4, CLOSE_SIZE[1] // 4
    sums = cv2.integral(total)
    boxes = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
    top, left = np.unravel_index(int(np.argmax(np.round(boxes, 3))), boxes.shape)
    return int(left) * 4, int(top) * 4


def half(frames: Sequence[Pixels], left: int, top: int) -> Image.Image:
    """Rows of moments, close-ups and slices of one film."""
    moments = [frames[round(n * (FRAMES - 1) / (SMALL - 1))] for n in range(SMALL)]
    large = [frames[round((n + 1) * (FRAMES - 1) / LARGE)] for n in range(LARGE)]
    width, height = CLOSE_SIZE
    close = [f[top : top + height, left : left + width] for f in frames[CLOSE_FROM::CLOSE_STEP][:CLOSE]]
    rows = [_row(moments), _row(large), _row(close), _slices(frames, left + width // 2, top + height // 2)]
    blank = np.full((GAP, WIDTH, 3), 255, np.uint8)
    return Image.fromarray(np.vstack([part for row in rows for part in (row, blank)]))


def _row(pictures: Sequence[Pixels]) -> Pixels:
    width = WIDTH // len(pictures)
    height = round(pictures[0].shape[0] * (width - GAP) / pictures[0].shape[1])
    row = np.full((height, WIDTH, 3), 255, np.uint8)
    for column, picture in enumerate(pictures):
        small = Image.fromarray(picture).resize((width - GAP, height), Image.Resampling.LANCZOS)
        row[:, column * width : column * width + width - GAP] = np.asarray(small)
    return row


def _slices(frames: Sequence[Pixels], column: int, line: int) -> Pixels:
    size = (WIDTH // 2 - GAP, SLICE_HEIGHT)
    over_rows = np.stack([f[line] for f in frames])
    over_columns = np.stack([f[:, column] for f in frames], axis=1)
    row = np.full((SLICE_HEIGHT, WIDTH, 3), 255, np.uint8)
    for n, picture in enumerate((over_rows, over_columns)):
        left = n * WIDTH // 2
        row[:, left : left + size[0]] = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR))
    return row


def sheet(name: str, text: str, shown: Sequence[Image.Image]) -> Image.Image:
    """Two halves under the prompt, as A and B."""
    height = HEAD + sum(BAR + part.height for part in shown)
    page = Image.new("RGB", (WIDTH, height), "white")
    pen = ImageDraw.Draw(page)
    pen.text((8, 6), f"“{text}”", fill="black", font=ImageFont.load_default(34))
    pen.text((WIDTH - 110, 10), name, fill="grey", font=ImageFont.load_default(18))
    step = f"{CLOSE_STEP / FPS:g} s"
    below = f"moments over {SECONDS} s; larger; close-ups, {step} apart; a row over time (down), a column (right)"
    pen.text((8, 48), below, fill="grey", font=ImageFont.load_default(16))
    top = HEAD
    for letter, part in zip("AB", shown, strict=True):
        pen.rectangle((0, top, WIDTH, top + BAR - 2), fill="black")
        pen.text((8, top + 1), letter, fill="white", font=ImageFont.load_default(18))
        page.paste(part, (0, top + BAR))
        top += BAR + part.height
    return page
