"""Where a prompt acts: the rendered frames of a take, held against the hand-drawn labels.

What acts where is seen on a probe: the frames are rendered once more with even noise in place of the picture, so that
a plain wall that slides shows as well as a leaf. Ghosts are seen on the picture itself.

What is asked is where, not how much: fog that is thicker in a bank and a breath whose middle stays act all over their
layer. So a change counts as one as soon as it can be seen, and a motion is taken over several seeds, since the patches
in which one swells and dies are chance's. With the labels themselves for layers this reads 0.94 to 0.99, where the
strength of the change, which is told beside it, reads 0.72 to 0.99 (README).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np

from pipeline.pocket.labels import Mask, label, labelled, prior, wishes
from pipeline.pocket.language import Intents, Prompt
from pipeline.pocket.takes import FPS, Player, Take, script
from pipeline.pocket.view import HEIGHT, WIDTH
from pipeline.types import Pixels

# Places of a map are blocks of so many px: as fine as hand-drawn edges are true.
BLOCK = 16
# What every motion is looked at under.
SEEDS = (1, 2, 3)
# Grey levels of the probe from which a change counts as half of one: set by the labels for layers alone, which read
# alike from 2 to 8.
HALF = 4.0
# Pictures to a wish.
MOST = 8
# Half the width of the band around a label's edge that nobody is judged in, px.
SLACK = 12
# Change of grey levels over a px from which an edge counts as structure.
STRONG = 20.0


@dataclass(frozen=True, slots=True)
class Window:
    """How long a wish is played, from when on it is looked at, and under which seeds."""

    seconds: float
    begins: float
    seeds: tuple[int, ...]

    @property
    def frames(self) -> range:
        """The frames that are looked at."""
        return range(round(self.begins * FPS), round(self.seconds * FPS), 3)


# Motion from 1.75 s on, when every field has come up, over a period of a swing; what comes little by little once it is
# there, as in the trials of effects.
MOVING = Window(4.0, 1.75, SEEDS)
ARRIVED = Window(8.75, 6.5, SEEDS[:1])
WINDOWS = {
    **dict.fromkeys(("sway", "trees", "ripple", "clouds", "breathe"), MOVING),
    **dict.fromkeys(("dusk", "golden", "behind", "haze"), ARRIVED),
}


def plan() -> list[tuple[str, str]]:
    """Every wish with up to MOST pictures that are judged by its layer."""
    pairs: list[tuple[str, str]] = []
    for name, wish in wishes().items():
        layer = "subject" if wish.where == "background" else wish.where
        fitting = [picture for picture in labelled() if layer in label(picture).judged]
        # Photos come first in the order, drawings last: a stride takes some of both.
        count = min(MOST, len(fitting))
        pairs += [(name, fitting[n * len(fitting) // count]) for n in range(count)]
    return pairs


def judge(player: Player, image: Pixels, wish_name: str, picture: str, is_told: bool = False) -> dict[str, Any]:
    """Play a wish over a picture; give the correlation with its label, that of its strength, the prior's, and the ghost
    in grey levels. Where it ``is_told``, the labels are its layers: what then misses is not for want of seeing.
    """
    wish, window = wishes()[wish_name], WINDOWS[wish_name]
    prompt = Prompt(wish.text, Intents("none"))
    asked = script((0, prompt), seconds=window.seconds, frames=window.frames)
    asked = replace(asked, probe=True, labels=picture if is_told else "")
    wanted = label(picture).layer(wish.where)
    takes = [player.play(image, replace(asked, seed=seed)) for seed in window.seeds]
    changes = [amplitude(take.probed) for take in takes]
    result: dict[str, Any] = {
        "correlation": round(correlation(_mean([acted(change) for change in changes]), wanted), 3),
        "strength": round(correlation(_mean(changes), wanted), 3),
        "prior": round(correlation(prior(picture, wish.where), wanted), 3),
    }
    if wish_name in ("sway", "trees", "clouds", "breathe"):
        result["ghost"] = round(float(np.mean([ghost(take, wanted) for take in takes])), 2)
    return result


def _mean(maps: Sequence[Mask]) -> Mask:
    return np.asarray(np.mean(maps, axis=0), np.float32)


def amplitude(frames: Sequence[Pixels]) -> Mask:
    """How much each place changes, grey levels ``float32 [480, 832]``: root mean square from the first frame."""
    rest, *later = (frame.astype(np.float32) for frame in frames)
    squares = [((frame - rest) ** 2).mean(-1) for frame in later]
    return np.sqrt(np.mean(squares, axis=0), dtype=np.float32)


def acted(change: Mask) -> Mask:
    """Whether a change of so many grey levels can be seen, from 0 to 1: half of it from HALF on."""
    return np.asarray(change / (change + HALF), np.float32)


def correlation(one: Mask, other: Mask) -> float:
    """Pearson's correlation of two maps by blocks; 0 where one of them is flat."""
    size = (WIDTH // BLOCK, HEIGHT // BLOCK)
    a, b = (cv2.resize(m, size, interpolation=cv2.INTER_AREA).ravel().astype(np.float64) for m in (one, other))
    spread = float(a.std() * b.std())
    return float(((a - a.mean()) * (b - b.mean())).mean() / spread) if spread > 1e-9 else 0.0


def ghost(take: Take, moving: Mask) -> float:
    """Mean change of grey levels on strong edges that must stay; 0 where there is none."""
    kernel = np.ones((2 * SLACK + 1, 2 * SLACK + 1), np.uint8)
    still = cv2.dilate((moving > 0.02).astype(np.uint8), kernel) == 0
    grey = cv2.cvtColor(take.picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    edges = np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)) / 4 > STRONG
    places = still & edges
    if not places.any():
        return 0.0
    shades = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32) for frame in take.frames.values()]
    return float(np.mean([abs(shade - grey)[places].mean() for shade in shades]))
