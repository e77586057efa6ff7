"""The trials of an evaluation: each plays one script over one held-out picture and measures what its frames show."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image

from pipeline.geometry import cover_crop
from pipeline.pocket.arrival import ARRIVING
from pipeline.pocket.drawn.judge import drawn_class, shown
from pipeline.pocket.drawn.statistics import WATCHED, clip, statistics
from pipeline.pocket.effects import effect_class, level, read, shows
from pipeline.pocket.endless import judge as judge_endless
from pipeline.pocket.language import DEFAULT_REGION, Effect, Intents, Prompt, held_out_prompts
from pipeline.pocket.likeness import likeness
from pipeline.pocket.measure import Look, camera_class, half_way, look, psnr, similarity
from pipeline.pocket.motion import judge as judge_motion
from pipeline.pocket.motion import judge_steps
from pipeline.pocket.plain_prompts import (
    CAMERA_PHRASES,
    DRAWN_PHRASES,
    EFFECT_PHRASES,
    GENTLE,
    camera_prompt,
    effect_prompt,
    pair_prompt,
)
from pipeline.pocket.pose import outside_share
from pipeline.pocket.seen_picture import view
from pipeline.pocket.takes import FPS, Player, Script, Take, TruthPlayer, script
from pipeline.pocket.view import HEIGHT, WIDTH
from pipeline.pocket.where import judge
from pipeline.types import Pixels

Result = dict[str, Any]

AXIS = {"pan": 0, "tilt": 1, "zoom": 2, "roll": 3}
SWITCH_S, EFFECT_SWITCH_S = 1.5, 1.0


@dataclass(frozen=True, slots=True)
class Trial:
    """What is tried: kind, class, picture, which phrasing, for how many seconds where that varies; without a tower."""

    kind: str
    name: str
    picture: str
    variant: int = 0
    seconds: float = 0.0
    without: str = ""

    @property
    def key(self) -> str:
        """A name that stands for the whole trial."""
        kind = f"{self.kind}-{self.without}" if self.without else self.kind
        return f"{kind}/{self.name}/{self.picture}/{self.variant}/{self.seconds:g}"


@dataclass(slots=True)
class Without:
    """A player one of whose towers is taken out."""

    player: Player
    tower: str
    steps: int

    def play(self, image: Pixels, script: Script) -> Take:
        """Play a script without the tower."""
        return self.player.play(image, replace(script, without=self.tower))


def run(player: Player, image: Pixels, trial: Trial) -> Result:
    """Run a trial over its picture; give plain numbers and words."""
    playing = Without(player, trial.without, player.steps) if trial.without else player
    return TRIALS[trial.kind](playing, image, trial)


def _camera(player: Player, image: Pixels, trial: Trial) -> Result:
    # Half of the trials begin at rest, half in the midst of another move; to hold still is only tried from a move.
    names = list(CAMERA_PHRASES)
    another = names[(names.index(trial.name) + 3) % len(names)]
    start = "still" if trial.variant % 2 == 0 and trial.name != "still" else another
    before = camera_prompt("pan_left" if start == trial.name else start, trial.variant)
    return _switch(player, image, before, camera_prompt(trial.name, trial.variant), trial.name)


def _switch(player: Player, image: Pixels, before: Prompt, after: Prompt, name: str) -> Result:
    """Switch the camera's prompt; read the 3 s after it, and how soon the new move has half of its speed."""
    switch = round(SWITCH_S * FPS)
    marks = range(switch, switch + 3 * FPS + 1, FPS // 2)
    # The frame at the very end of the third second belongs to the next latent.
    frames = [*marks, *range(switch, switch + 17)]
    take = player.play(image, script((0, before), (SWITCH_S, after), seconds=SWITCH_S + 3.25, frames=frames))
    speeds = [similarity(take.frames[a], take.frames[a + FPS // 2]).nominal(0.5) for a in marks[:-1]]
    middle = np.median(speeds, axis=0).tolist()
    result: Result = {"class": camera_class(middle), "nominal": [round(v, 3) for v in middle], "prompt": after.text}
    if name.partition("_")[0] in AXIS:
        axis = AXIS[name.partition("_")[0]]
        goal = float(np.mean([s[axis] for s in speeds[-2:]]))
        steps = [similarity(take.frames[switch + n], take.frames[switch + n + 1]) for n in range(16)]
        half = half_way([s.nominal(1 / FPS)[axis] for s in steps], goal)
        result |= {"speed": round(abs(goal), 3), "half_frames": None if half is None else half + 1}
    return result


def _effect(player: Player, image: Pixels, trial: Trial) -> Result:
    return _appear(player, image, effect_prompt(trial.name, trial.variant), trial.name)


def _appear(player: Player, image: Pixels, prompt: Prompt, name: str) -> Result:
    """Ask for an effect after a second of rest; read 1.5 s to 4.5 s after the switch, and how soon half is there.

    What comes little by little is read when it has come, 6.5 s to 9.5 s after.
    """
    switch, later = round(EFFECT_SWITCH_S * FPS), 5 if name in ARRIVING else 0
    frames = range(switch, switch + round((4.5 + later) * FPS), 2)
    scripted = script((0, camera_prompt("still")), (EFFECT_SWITCH_S, prompt), seconds=5.5 + later, frames=frames)
    take = player.play(image, scripted)
    reading = read(take.picture, [take.frames[f] for f in frames[-24:]], FPS / 2)
    levels = [level(name, take.picture, take.frames[max(switch, f - 4)], take.frames[f]) for f in frames]
    # A swing passes through rest, so its size is the farthest it goes.
    goal = max(levels[12:]) if name in ("sway", "ripple", "breathe") else float(np.median(levels[-12:]))
    half = half_way(levels, goal)
    return {
        "class": effect_class(reading),
        "prompt": prompt.text,
        "half_frames": None if half is None else 2 * half,
        "luma": round(math.exp(float(np.dot(reading.gain, (0.299, 0.587, 0.114)))), 3),
        "swing_px": round(math.hypot(reading.across, reading.along), 2),
        "steady_px_per_s": round(reading.steady, 2),
    }


def _pair(player: Player, image: Pixels, trial: Trial) -> Result:
    """Ask for two effects, and see which of them the frames show when all has come."""
    last = round(9.5 * FPS)
    frames = range(last - 3 * FPS, last, 2)
    take = player.play(image, script((0, pair_prompt(trial.name)), seconds=9.5, frames=frames))
    reading = read(take.picture, [take.frames[f] for f in frames], FPS / 2)
    return {"missing": [name for name in trial.name.split("+") if not shows(name, reading)]}


def _phrase(player: Player, image: Pixels, trial: Trial) -> Result:
    prompt = held_out_prompts()[trial.name][trial.variant]
    if trial.name in EFFECT_PHRASES:
        return _appear(player, image, prompt, trial.name)
    if trial.name in DRAWN_PHRASES:
        return _show(player, image, prompt, trial.name)
    before = camera_prompt("pan_left" if trial.name == "still" else "still")
    return _switch(player, image, before, prompt, trial.name)


def _still(player: Player, image: Pixels, trial: Trial) -> Result:
    """Fidelity at rest: the first frame, and each tenth of the time after it."""
    last = round(trial.seconds * FPS) - 1
    marks = [round(last * share / 10) for share in range(11)]
    asked = script((0, camera_prompt("still")), seconds=trial.seconds, frames=marks)
    take = player.play(image, asked)
    values = [psnr(take.frames[m], take.picture) for m in marks]
    return {
        "first": _finite(values[0]),
        "first_against_lanczos": _finite(psnr(take.frames[0], lanczos(image))),
        "end": _finite(values[-1]),
        "least": _finite(min(values)),
    }


def _drift(player: Player, image: Pixels, trial: Trial) -> Result:
    """Looks late against looks early, each against the same picture seen from the same pose."""
    end = round(trial.seconds * FPS)
    early, late = range(4 * FPS, 12 * FPS, FPS), range(end - 8 * FPS, end, FPS)
    asked = script((0, camera_prompt(trial.name)), seconds=trial.seconds, frames=[*early, *late])
    take = player.play(image, asked)
    looks = {when: _looks(take, frames) for when, frames in (("early", early), ("late", late))}
    return {when: [round(v, 4) for v in one.values()] for when, one in looks.items()} | {
        "psnr": _finite(float(np.mean([psnr(take.frames[f], view(take.canvas, take.poses[f])) for f in late]))),
        "like": round(likeness(take, [*early, *late]), 4),
    }


def _looks(take: Take, frames: Sequence[int]) -> Look:
    ratios = [look(take.frames[f]).against(look(view(take.canvas, take.poses[f]))).values() for f in frames]
    return Look(*np.mean(ratios, axis=0).tolist())


def _drawn(player: Player, image: Pixels, trial: Trial) -> Result:
    effect = Effect(trial.name, DEFAULT_REGION[trial.name])
    return _show(player, image, Prompt(DRAWN_PHRASES[trial.name], Intents("none", 1.0, (effect,))), trial.name)


def _show(player: Player, image: Pixels, prompt: Prompt, name: str) -> Result:
    """Ask for an effect that is drawn; read the frames of WATCHED, and how much of it is there to be seen."""
    take = player.play(image, script((0, prompt), seconds=WATCHED[-1] / FPS + 0.25, frames=WATCHED))
    found = statistics(clip(take.picture, take.frames))
    return {"class": drawn_class(found), "prompt": prompt.text, "shown": round(shown(name, found), 2)}


def _outside(player: Player, image: Pixels, trial: Trial) -> Result:
    asked = script((0, camera_prompt(trial.name)), seconds=trial.seconds)
    shares = [outside_share(pose) for pose in player.play(image, asked).poses]
    return {"largest": round(max(shares), 4), "mean": round(float(np.mean(shares)), 4)}


def _where(player: Player, image: Pixels, trial: Trial) -> Result:
    return judge(player, image, trial.name, trial.picture)


def _ceiling(player: Player, image: Pixels, trial: Trial) -> Result:
    return judge(player, image, trial.name, trial.picture, is_told=True)


def _motion(player: Player, image: Pixels, trial: Trial) -> Result:
    prompt = GENTLE if trial.name == "gentle" else effect_prompt(trial.name)
    return judge_motion((player, TruthPlayer()), image, trial.name, (prompt, trial.picture))


def _steps(player: Player, image: Pixels, trial: Trial) -> Result:
    prompt = GENTLE if trial.name == "gentle" else effect_prompt(trial.name)
    return judge_steps((player, TruthPlayer()), image, trial.name, (prompt, trial.picture))


def _endless(player: Player, image: Pixels, trial: Trial) -> Result:
    return judge_endless(player, image, trial.name, trial.seconds)


def lanczos(image: Pixels) -> Pixels:
    """The picture, cover-cropped to the frame by another filter than the pipeline's: an outsider's reference."""
    height, width = image.shape[:2]
    left, top, right, bottom = cover_crop(width, height, (WIDTH, HEIGHT))
    box = (left, top, width - right, height - bottom)
    return np.asarray(Image.fromarray(image).resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS, box=box))


def _finite(decibels: float) -> float:
    """Equal pictures count as 99 dB, so that results stay plain JSON."""
    return round(min(decibels, 99.0), 2)


TRIALS: dict[str, Callable[[Player, Pixels, Trial], Result]] = {
    "camera": _camera,
    "effect": _effect,
    "phrase": _phrase,
    "still": _still,
    "drift": _drift,
    "where": _where,
    "ceiling": _ceiling,
    "motion": _motion,
    "outside": _outside,
    "drawn": _drawn,
    "endless": _endless,
    "pair": _pair,
    "steps": _steps,
}
