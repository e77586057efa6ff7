"""Makes takes without a stream, by the very calls that the server makes: open, generate, commit, close."""

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from pipeline.interface import Pipeline
from pipeline.types import Chunk, Conditioning, Pixels


@dataclass(frozen=True, slots=True)
class TimedPrompt:
    """A prompt and the second from which it holds."""

    second: float
    text: str


@dataclass(frozen=True, slots=True, eq=False)
class Shot:
    """What a take is made of.

    ``image`` is as in :class:`pipeline.types.Conditioning`; without one the take is made from text (t2v).
    """

    prompts: Sequence[TimedPrompt]
    image: Pixels | None
    seed: int
    quality: int = 0


def parse_prompt(text: str) -> TimedPrompt:
    """Read ``SECOND:WORDS``; words without a second hold from the start. Raises ValueError for a negative second.

    >>> parse_prompt("4.5:snow falls"), parse_prompt("note: pan left").second
    (TimedPrompt(second=4.5, text='snow falls'), 0.0)
    """
    head, colon, rest = text.partition(":")
    try:
        second = float(head) if colon else 0.0
    except ValueError:
        return TimedPrompt(0.0, text)
    if not 0 <= second < float("inf"):
        raise ValueError(f"a prompt cannot begin at second {head}")
    return TimedPrompt(second, rest if colon else text)


def frames_of(seconds: float, fps: Fraction) -> int:
    """Give the frames that fill so many seconds.

    >>> frames_of(10.0, Fraction(16)), frames_of(0.3, Fraction(16))
    (160, 5)
    """
    return math.ceil(Fraction(str(seconds)) * fps)


def generate(pipeline: Pipeline[Any], shot: Shot, frames: int) -> Generator[Chunk]:
    """Make exactly ``frames`` frames; the last chunk is cut.

    A prompt holds from the first chunk that begins at its second or later; before the first prompt's second the
    prompt is empty. Raises PipelineError as the pipeline does.
    """
    timed = sorted(shot.prompts, key=lambda prompt: prompt.second)
    mode = "t2v" if shot.image is None else "i2v"
    left, second = frames, Fraction(0)
    state = None
    try:
        while left > 0:
            heard = [prompt for prompt in timed if prompt.second <= second]
            text = heard[-1].text if heard else ""
            wanted = Conditioning(mode, text, shot.image, shot.seed, revision=len(heard), quality=shot.quality)
            state = pipeline.open(wanted) if state is None else state
            chunk = pipeline.generate_chunk(state, wanted)
            yield replace(chunk, frames=chunk.frames[:left])
            pipeline.commit(state)
            left -= len(chunk.frames)
            second += len(chunk.frames) / chunk.fps
    finally:
        if state is not None:
            pipeline.close(state)
