"""Makes a list of videos, one file each, and goes on where it was stopped.

Beside every MP4 lies a JSON of the same name that says what it was made of. It is written last and taken away
first, so a video with a matching JSON is whole, and is not made again.
"""

import hashlib
import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.errors import ConditioningError, ConfigError, PipelineError
from pipeline.interface import Pipeline
from pipeline.offline import Shot, TimedPrompt, generate
from pipeline.picture import MOST_PIXELS, decode_picture
from pipeline.progress import ProgressBar
from pipeline.prompt_lists import Item
from pipeline.video_file import write_mp4


@dataclass(frozen=True, slots=True)
class Job:
    """An item, the seed to make it under, and the name of its file without ``.mp4``."""

    item: Item
    seed: int
    name: str


@dataclass(frozen=True, slots=True)
class Order:
    """What holds for every job: where files go, frames of each, quality, and the settings of the model."""

    output: Path
    frames: int
    quality: int = 0
    settings: dict[str, Any] = field(default_factory=dict[str, Any])
    force: bool = False


@dataclass(slots=True)
class Report:
    """Names of what was made, of what was there already, and of what could not be made, with the reason."""

    made: list[str] = field(default_factory=list[str])
    kept: list[str] = field(default_factory=list[str])
    failed: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    is_stopped: bool = False


def plan(items: Sequence[Item], seed: int, samples: int = 1) -> list[Job]:
    """Give every item its number, seed and name; the same seed for all, so that none depends on the others.

    With ``samples`` every item is made that many times, under the seeds from ``seed`` on.

    >>> [job.name for job in plan([Item("Snow falls."), Item("...")], 7)]
    ['0001-snow-falls', '0002']
    """
    jobs: list[Job] = []
    for number, item in enumerate(items, 1):
        name = f"{number:04}-{item.slug}".rstrip("-")
        for taken in range(seed, seed + samples):
            jobs.append(Job(item, taken, f"{name}-seed{taken}" if samples > 1 else name))
    return jobs


def check_mode(pipeline: Pipeline[Any], from_pictures: bool) -> None:
    """Raise ConfigError, saying what to give instead, where the model can't do what the list asks for."""
    name, modes = pipeline.capabilities.model, pipeline.capabilities.modes
    if from_pictures and "i2v" not in modes:
        raise ConfigError(f"{name} makes video from text alone (t2v): give --prompts FILE in place of pictures")
    if not from_pictures and "t2v" not in modes:
        raise ConfigError(f"{name} makes video from a picture only (i2v): give --pairs FILE, pictures with prompts")


def run(pipeline: Pipeline[Any], jobs: Sequence[Job], order: Order, progress: ProgressBar) -> Report:
    """Make what is not there yet. A job that fails is reported and the next one is made; so does Ctrl+C end it.

    Raises OSError when files can't be written: that would be so for every job.
    """
    report = Report()
    order.output.mkdir(parents=True, exist_ok=True)
    try:
        for job in jobs:
            progress.begin(job.name, order.frames)
            try:
                is_made, outcome = _work(pipeline, job, order, progress)
            except PipelineError as error:
                report.failed.append((job.name, str(error)))
                progress.end(f"failed: {error}")
                continue
            (report.made if is_made else report.kept).append(job.name)
            progress.end(outcome)
    except KeyboardInterrupt:
        progress.clear()
        report.is_stopped = True
    return report


def _work(pipeline: Pipeline[Any], job: Job, order: Order, progress: ProgressBar) -> tuple[bool, str]:
    """Make a video if there is need; say whether it was made, and why."""
    if job.item.fault:
        raise ConditioningError(job.item.fault)
    data = None if job.item.picture is None else read_picture_file(job.item.picture)
    wanted = _parameters(pipeline, job, order, data)
    video, note = order.output / f"{job.name}.mp4", order.output / f"{job.name}.json"
    found = _read_note(note, video)
    differing = [name for name, value in wanted.items() if found is not None and found.get(name) != value]
    if found is not None and not differing and not order.force:
        return False, "is there already"
    sizes = pipeline.capabilities.sizes
    image = None if data is None else decode_picture(data, MOST_PIXELS, sizes).pixels
    shot = Shot([TimedPrompt(0.0, job.item.prompt)], image, job.seed, order.quality)
    note.unlink(missing_ok=True)
    with closing(generate(pipeline, shot, order.frames)) as chunks:
        write_mp4(video, progress.counted(chunks))
    _write_note(note, wanted | {"picture": str(job.item.picture or ""), "video_bytes": video.stat().st_size})
    return True, f"made again, since other: {', '.join(differing)}" if differing else "made"


def read_picture_file(path: Path) -> bytes:
    """Read the bytes of a picture. Raises ConditioningError."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConditioningError(f"can't read the picture {path}: {error.strerror}") from error


def _parameters(pipeline: Pipeline[Any], job: Job, order: Order, data: bytes | None) -> dict[str, Any]:
    """All that the video follows from."""
    return {
        "prompt": job.item.prompt,
        "picture_sha256": "" if data is None else hashlib.sha256(data).hexdigest(),
        "seed": job.seed,
        "frames": order.frames,
        "quality": order.quality,
        "model": pipeline.capabilities.model,
        "mode": "t2v" if data is None else "i2v",
        "config": order.settings,
    }


def _read_note(note: Path, video: Path) -> dict[str, Any] | None:
    """What a whole video was made of; None where there is no such video."""
    try:
        found: Any = json.loads(note.read_text(encoding="utf-8"))
        size = video.stat().st_size
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and found.get("video_bytes") == size else None


def _write_note(note: Path, content: dict[str, Any]) -> None:
    partial = note.with_name(note.name + ".part")
    partial.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(note)
