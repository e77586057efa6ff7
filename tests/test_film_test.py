"""The film test: drawn once, rendered once, blind, and against an opponent that is one."""

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from pipeline.pocket.film_test import play, rendering, sheets
from pipeline.pocket.film_test.drawing import Scene, draw, fits, scenes, wordings, written
from pipeline.pocket.film_test.rendering import Film, render
from pipeline.pocket.film_test.warp_moves import camera
from pipeline.pocket.film_test.warp_script import Warp
from pipeline.pocket.film_test.warp_words import understand
from pipeline.types import Pixels

PICTURES = [f"{number:03}" for number in range(32)]


def picture() -> Pixels:
    """A few large shapes, ``uint8 [96, 166, 3]``."""
    coarse = np.random.default_rng(1).integers(0, 256, (6, 10, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (166, 96), interpolation=cv2.INTER_CUBIC), np.uint8)


def film(folder: Path, shade: int, row: int) -> None:
    """Frames in which a bright bar goes to the right, in some row, over a shade."""
    folder.mkdir(parents=True)
    for number in range(rendering.FRAMES):
        frame = np.full((480, 832, 3), shade, np.uint8)
        frame[row : row + 80, 8 * number : 8 * number + 60] = 250
        play.keep(folder, number, frame)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Films of a few frames."""
    shorten(monkeypatch)


def shorten(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (rendering, sheets):
        monkeypatch.setattr(module, "FRAMES", 8)
    monkeypatch.setattr(sheets, "CLOSE_FROM", 0)
    monkeypatch.setattr(sheets, "CLOSE_STEP", 1)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Films of four scenes by two makers, a few frames each: ``ours`` are dark, ``theirs`` light."""
    folder = tmp_path_factory.mktemp("films")
    with pytest.MonkeyPatch.context() as monkeypatch:
        shorten(monkeypatch)
        for name, shade, row in (("ours", 20, 60), ("theirs", 200, 360)):
            for scene in few():
                film(folder / name / scene.name, shade, row)
            (folder / name / "about.json").write_text(json.dumps({"digest": name}))
    return folder


@pytest.fixture(scope="module")
def dealt(films: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two decks of them."""
    out = tmp_path_factory.mktemp("dealt") / "out"
    with pytest.MonkeyPatch.context() as monkeypatch:
        shorten(monkeypatch)
        sheets.deal(few(), films, ("ours", ["theirs"]), out, judges=2, seed=3)
    return out


def few() -> list[Scene]:
    """Four scenes."""
    return [Scene(f"{n:02}", f"prompt {n}", f"{n:03}", n) for n in range(1, 5)]


def test_the_scenes_are_those_that_the_seed_draws() -> None:
    """What is fixed in scenes.toml is what the fixed seed draws from the list, and another seed draws otherwise."""
    assert draw(PICTURES) == scenes()
    assert draw(PICTURES, seed=1) != scenes()
    fixed = Path(sheets.__file__).with_name("scenes.toml").read_text(encoding="utf-8")
    assert fixed == written(draw(PICTURES))


def test_scenes_are_two_dozen_and_none_comes_twice() -> None:
    """24 prompts, 24 pictures, none twice, of every kind."""
    drawn = scenes()
    assert len(drawn) == len({s.text for s in drawn}) == len({s.picture for s in drawn}) == 24
    for some in wordings().values():
        assert any(s.text == wording.text for wording in some for s in drawn)


@pytest.mark.parametrize("seed", range(5))
def test_pictures_show_what_their_prompts_speak_of(seed: int) -> None:
    """By the labels every picture drawn, under any seed, has the layer that its prompt needs."""
    needs = {w.text: w for some in wordings().values() for w in some}
    assert all(fits(needs[s.text], s.picture) for s in draw(PICTURES, seed))
    # A waterless picture, so that the check is one.
    assert not fits(next(w for w in needs.values() if w.shows == "water"), "008")


def test_what_can_not_be_drawn_is_said() -> None:
    """Too few pictures are an error that names the prompt."""
    with pytest.raises(ValueError, match="no picture is left for"):
        draw(PICTURES[:10])


def test_nothing_in_a_deck_tells_whose_a_film_is(dealt: Path) -> None:
    """Files of a deck are named by number alone, hold no metadata, and no name of a film is written in them."""
    for deck in ("deck-1", "deck-2"):
        files = sorted(file.name for file in (dealt / deck).iterdir())
        assert files == ["QUESTION.txt", *(f"sheet-{n:02}.png" for n in range(1, 5))]
        for file in (dealt / deck).iterdir():
            assert b"ours" not in file.read_bytes()
            assert b"theirs" not in file.read_bytes()
            if file.suffix == ".png":
                with Image.open(file) as image:
                    assert image.info == {}
                    assert image.width <= 1600


def test_sheets_of_one_scene_differ_by_the_order_alone(films: Path, short: None) -> None:
    """What is shown of a film does not depend on whether it is A or B, nor does the place of the close-ups."""
    one, other = films / "ours" / "01", films / "theirs" / "01"
    forward, backward = sheets.halves(one, other), sheets.halves(other, one)
    assert all(np.array_equal(np.asarray(a), np.asarray(b)) for a, b in zip(forward, backward[::-1], strict=True))


def test_the_key_tells_what_the_sheets_show(dealt: Path) -> None:
    """Where the key says that ours is A, the dark film stands above."""
    key = json.loads((dealt / "key.json").read_text())
    seen: Counter[str] = Counter()
    for deck, entry in key["decks"].items():
        for name, told_of in entry["sheets"].items():
            page = np.asarray(Image.open(dealt / deck / f"{name}.png").convert("L"))
            top, low = (
                page[sheets.HEAD + sheets.BAR + 20, 20],
                page[(page.shape[0] + sheets.HEAD) // 2 + sheets.BAR + 20, 20],
            )
            assert ("A" if top < low else "B") == told_of["ours"]
            seen[told_of["ours"]] += 1
    assert seen == {"A": 4, "B": 4}


def test_the_order_is_balanced_in_every_deck_and_by_chance() -> None:
    """Ours is A in half of the sheets of a deck; which, and in which order scenes come, differs between decks."""
    rng = random.Random(5)
    decks = [sheets.shuffled(scenes(), rng) for _ in range(3)]
    for deck in decks:
        assert Counter(entry["ours"] for entry in deck.values()) == {"A": 12, "B": 12}
        assert {entry["scene"] for entry in deck.values()} == {s.name for s in scenes()}
    assert len({tuple(e["scene"] for e in deck.values()) for deck in decks}) == 3
    coins = [{e["scene"]: e["ours"] for e in deck.values()} for deck in decks]
    assert coins[0] != coins[1] != coins[2]
    assert len({tuple(e["ours"] for e in deck.values()) for deck in decks}) == 3


def test_decks_are_not_dealt_over_others(films: Path, short: None, tmp_path: Path) -> None:
    """A key that judges may be working by is not written over."""
    sheets.deal(few()[:2], films, ("ours", ["theirs"]), tmp_path / "out", judges=1, seed=3)
    with pytest.raises(ValueError, match="holds decks already"):
        sheets.deal(few()[:2], films, ("ours", ["theirs"]), tmp_path / "out", judges=1, seed=4)


def test_films_are_made_once_and_not_mixed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is there is not made again, half a film is, and films of another make are refused."""
    made: list[str] = []

    def fake(jobs: list[dict[str, Any]], film: Film, workers: int) -> None:
        for job in jobs:
            made.append(Path(job["folder"]).name)
            Path(job["folder"]).mkdir()

    monkeypatch.setattr(rendering, "_by_tree", fake)
    (tmp_path / "x" / "02.part").mkdir(parents=True)
    here = Film(settings={"steps": 1})
    assert render(few()[:1], tmp_path, tmp_path / "x", here, 1) == 1
    assert render(few(), tmp_path, tmp_path / "x", here, 1) == 3
    assert made == ["01", "02", "03", "04"]
    with pytest.raises(ValueError, match="films of another state"):
        render(few(), tmp_path, tmp_path / "x", Film(settings={"steps": 2}), 1)


FAKE_TREE = {
    "__init__": "",
    "config": "class PipelineConfig:\n    def __init__(self, threads, steps):\n        self.steps = steps\n",
    "types": (
        "from dataclasses import dataclass\n@dataclass\nclass Conditioning:\n"
        "    mode: str\n    prompt: str\n    image: object\n    seed: int\n"
    ),
    "factory": (
        "import numpy as np\nfrom types import SimpleNamespace\nclass build:\n"
        "    def __init__(self, config):\n        self.steps = config.steps\n"
        "    def open(self, asked):\n        return asked\n"
        "    def commit(self, state):\n        pass\n"
        "    def close(self, state):\n        pass\n"
        "    def generate_chunk(self, state, asked):\n"
        "        shade = 10 * self.steps + asked.seed + 100 * (asked.prompt == 'prompt 2')\n"
        "        return SimpleNamespace(fps=16, frames=np.full((4, 480, 832, 3), shade, np.uint8))\n"
    ),
}


def test_another_tree_is_played_by_its_own_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkout given, and nothing installed, makes the films, each under its prompt and seed; one without is told."""
    monkeypatch.setattr(rendering, "SECONDS", 1)
    (tmp_path / "tree" / "pipeline").mkdir(parents=True)
    for name, text in FAKE_TREE.items():
        (tmp_path / "tree" / "pipeline" / f"{name}.py").write_text(text)
    for name in ("tree", "empty"):
        # What a process needs of it, at a hundredth of the time that it takes to import.
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / "torch.py").write_text("set_num_threads = set_flush_denormal = print")
    (tmp_path / "held").mkdir()
    for scene in few()[:2]:
        cv2.imwrite(str(tmp_path / "held" / f"{scene.picture}.jpg"), picture())
    tree = Film(tmp_path / "tree", {"steps": 3})
    assert render(few()[:2], tmp_path, tmp_path / "x", tree, 1) == 2
    shades = [rendering.frame(tmp_path / "x" / name, 7).mean() for name in ("01", "02")]
    assert shades == pytest.approx([31, 132], abs=1)
    with pytest.raises(RuntimeError, match="1 of 1 processes failed"):
        render(few()[:1], tmp_path, tmp_path / "y", Film(tmp_path / "empty"), 1)


class OneMove:
    """A model that brightens by one a frame, at 16 frames a second."""

    class Made:
        """A chunk."""

        fps = 16

        def __init__(self, first: int) -> None:
            self.frames = np.stack([np.full((480, 832, 3), 2 * n, np.uint8) for n in range(first, first + 4)])

    def open(self, asked: Any) -> list[int]:
        """Begin."""
        assert asked.size == (832, 480)
        return [0]

    def generate_chunk(self, state: list[int], asked: Any) -> Made:
        """Four frames."""
        return self.Made(state[0])

    def commit(self, state: list[int]) -> None:
        """Go on."""
        state[0] += 4

    def close(self, state: list[int]) -> None:
        """End."""


def test_eight_frames_a_second_are_kept(tmp_path: Path) -> None:
    """Of sixteen frames a second every other is kept, from the first on, and a film is whole or has no name."""
    cv2.imwrite(str(tmp_path / "p.png"), picture())
    job = {"folder": str(tmp_path / "film"), "text": "x", "picture": str(tmp_path / "p.png"), "seed": 1}
    play.play(OneMove(), job, 8, 2)
    shades = [int(rendering.frame(tmp_path / "film", n).mean().round()) for n in range(16)]
    assert shades == pytest.approx([4 * n for n in range(16)], abs=1)
    with pytest.raises(OSError, match="can't be read"):
        rendering.frame(tmp_path / "film", 16)
    assert not (tmp_path / "film.part").exists()


@pytest.mark.parametrize("text", [w.text for some in wordings().values() for w in some])
def test_the_script_understands_every_prompt_of_the_list(text: str) -> None:
    """The opponent is no strawman: for every prompt but those that name nothing it has a keyword."""
    wanted = understand(text)
    if text in [w.text for w in wordings()["nothing"]]:
        assert wanted.camera == "gentle"
    else:
        assert wanted.effects or wanted.camera not in ("", "gentle")


@pytest.mark.parametrize(("prompt", "side"), [("pan right", 1), ("pan left", -1)])
def test_the_script_pans_within_the_picture(prompt: str, side: int) -> None:
    """A pan goes the right way, evenly, and never shows what lies beyond the picture."""
    warp = Warp(picture(), prompt, 10)
    lefts: list[float] = []
    for second in (0.0, 5.0, 10.0):
        (a, _, left), (_, d, top) = camera(warp.wanted.camera, warp.wanted.speed, second, 10, (832, 480))
        lefts.append(float(left))
        assert left >= -0.5
        assert left + a * 831 <= 831.5
        assert -0.5 <= top <= top + d * 479 <= 479.5
    assert (lefts[1] - lefts[0]) * side > 30
    assert (lefts[2] - lefts[1]) * side > 30


@pytest.mark.parametrize(
    "text", ["it rains on the left", "snow is falling", "the leaves sway in the wind", "night falls"]
)
def test_the_script_begins_at_the_picture_and_does_something(text: str) -> None:
    """An effect comes in from the picture as it is, and later it is seen."""
    warp = Warp(picture(), text, 10)
    first, later = (warp.frame(second).astype(int) for second in (0.0, 4.0))
    rest = Warp(picture(), "the camera stays still", 10).frame(0.0).astype(int)
    assert abs(first - rest).mean() < 0.5
    assert abs(later - rest).mean() > 0.4
    if "left" in text:
        assert abs(later - rest)[:, 560:].max() == 0
