"""Which prompts go with which held-out pictures: drawn once by a fixed seed, and fixed in ``scenes.toml`` since."""

import random
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.pocket.labels import label, labelled

SEED = 20261128
HERE = Path(__file__).parent
# Least share of the view that a layer must have for a prompt of it.
LEAST_SHARE = 0.03


@dataclass(frozen=True, slots=True)
class Wording:
    """A prompt, and the layer that a picture must show for it; "" for any picture."""

    text: str
    shows: str = ""


@dataclass(frozen=True, slots=True)
class Scene:
    """A film to be made: its number, prompt, held-out picture and seed."""

    name: str
    text: str
    picture: str
    seed: int


def wordings() -> dict[str, list[Wording]]:
    """The prompts that are drawn from, by their kind."""
    data = _read("prompts.toml")
    return {kind: [Wording(**entry) for entry in data[kind]] for kind in data["counts"]}


def fits(wording: Wording, picture: str) -> bool:
    """Whether the hand-drawn labels say that a picture shows what a prompt speaks of."""
    if not wording.shows:
        return True
    if picture not in labelled():
        return False
    found = label(picture)
    return wording.shows in found.judged and float(found.layer(wording.shows).mean()) >= LEAST_SHARE


def draw(pictures: Sequence[str], seed: int = SEED) -> list[Scene]:
    """Draw prompts of every kind, and for each a picture that fits, none twice; raises ValueError when they run out."""
    rng = random.Random(seed)
    counts: dict[str, int] = _read("prompts.toml")["counts"]
    chosen = [wording for kind, some in wordings().items() for wording in rng.sample(some, counts[kind])]
    free = sorted(pictures)
    rng.shuffle(free)
    pairs: list[tuple[Wording, str]] = []
    # Who can take few pictures chooses first.
    for wording in sorted(chosen, key=lambda w: sum(fits(w, picture) for picture in free)):
        fitting = [picture for picture in free if fits(wording, picture)]
        if not fitting:
            raise ValueError(f"no picture is left for {wording.text!r}; give more pictures")
        free.remove(fitting[0])
        pairs.append((wording, fitting[0]))
    rng.shuffle(pairs)
    return [
        Scene(f"{row:02}", wording.text, picture, rng.randrange(1, 10_000))
        for row, (wording, picture) in enumerate(pairs, 1)
    ]


def scenes() -> list[Scene]:
    """The scenes as they are fixed."""
    return [Scene(**entry) for entry in _read("scenes.toml")["scenes"]]


def written(drawn: Sequence[Scene]) -> str:
    """Scenes as the text of ``scenes.toml``."""
    rows = [
        f'[[scenes]]\nname = "{s.name}"\ntext = "{s.text}"\npicture = "{s.picture}"\nseed = {s.seed}\n' for s in drawn
    ]
    head = "# Drawn by `python -m pipeline.pocket.film_test draw PICTURES` before anything was rendered.\n"
    return head + "\n" + "\n".join(rows)


def _read(name: str) -> dict[str, Any]:
    return tomllib.loads((HERE / name).read_text(encoding="utf-8"))
