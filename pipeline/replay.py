"""Makes the video of a session log again, by the very calls that made it, or by a better model."""

import hashlib
import sys
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.config import ModelConfig, WanConfig
from pipeline.errors import ConfigError
from pipeline.identity import Settings, as_overrides, fingerprints
from pipeline.interface import Pipeline, Resumable, Swapping
from pipeline.progress import ProgressBar
from pipeline.session import SentChunk, Session
from pipeline.types import Chunk, Conditioning, Pixels, QualityLevel
from pipeline.video_file import write_captioned_mp4


@dataclass(frozen=True, slots=True, eq=False)
class Remade:
    """A chunk made again, cut to the frames that were sent; whether all its bytes are the live stream's."""

    chunk: Chunk
    prompt: str
    is_same: bool


@dataclass(slots=True)
class Tally:
    """What came of a replay: chunks made, those whose bytes are the live stream's, the first other one's frame."""

    chunks: int = 0
    same: int = 0
    first_other: int | None = None

    def __str__(self) -> str:
        if self.same == self.chunks:
            return f"all {self.chunks} chunks are the live stream's, byte for byte"
        told = f"{self.same} of {self.chunks} chunks are the live stream's, byte for byte"
        return f"{told}; the first other one is at frame {self.first_other}"


def overrides_of(session: Session) -> list[str]:
    """Give the settings that a stream was made under as ``section.key=value``, with what ``auto`` came to there.

    Raises ConfigError where the log does not tell them.
    """
    config, settled = session.header.get("config"), session.header.get("settled", [])
    if not isinstance(config, dict) or not isinstance(settled, list):
        raise ConfigError(f"{session.path} does not tell the settings of its model")
    settings: Settings = {section: values for section, values in config.items() if isinstance(values, dict)}
    if settings.get("model", {}).get("kind") == "pocket":
        # Before there were shapes every picture was cropped to one.
        settings["model"] = {"shapes": []} | settings["model"]
    return [*as_overrides(settings), *map(str, settled)]


def check_weights(session: Session, model: ModelConfig, wan: WanConfig) -> None:
    """Raise ConfigError where a part that both have has other weights now."""
    was, now = session.header.get("weights") or {}, fingerprints(model, wan)
    changed = [part for part in now if part in was and was[part] != now[part]]
    if changed:
        raise ConfigError(
            f"{session.path} was made by other weights ({', '.join(changed)}): name those by model.weights=FILE, or "
            "give --force to go on with these"
        )


def replay(pipeline: Pipeline[Any], session: Session, quality: int | None = None) -> Generator[Remade]:
    """Make every frame that was sent again, in order; with ``quality``, all at that rung.

    A model that makes more or fewer frames of a latent than the stream's did is cut in proportion. Raises ConfigError
    where its chunks have another number of latents, and PipelineError as the pipeline does.
    """
    stage = _Stage(pipeline, session, session.pictures())
    try:
        for number, sent in enumerate(session.chunks):
            rung = _rung_of(sent, pipeline.capabilities.quality) if quality is None else quality
            wanted = stage.enter(sent, rung)
            chunk = pipeline.generate_chunk(stage.state, wanted)
            pipeline.commit(stage.state)
            _check(session, sent, chunk)
            stage.here = chunk.first_latent + chunk.latents
            yield _cut(chunk, wanted, sent, session.sent(number))
    finally:
        stage.close()


class _Stage:
    """The take that a replay is in: the pipeline's state, and the latent that its next chunk begins with."""

    def __init__(self, pipeline: Pipeline[Any], session: Session, pictures: dict[str, Pixels]) -> None:
        self._pipeline, self._session, self._pictures = pipeline, session, pictures
        self.state: Any = None
        self.here = 0

    def enter(self, sent: SentChunk, quality: int) -> Conditioning:
        """Go to where a chunk begins; gives what it is made under. Raises PipelineError."""
        for number, saved in sent.opened:
            self._begin(sent, self._session.conditioning(number, quality, self._pictures), saved)
        if self.state is None:
            raise ConfigError(f"{self._session.path}: its chunk at frame {sent.frame} is of a take that never began")
        if sent.latent != self.here:
            self._pipeline.truncate(self.state, sent.latent)
        asked = self._session.conditioning(sent.under, quality, self._pictures)
        # At another rate it goes on at the same moment.
        fps = self._pipeline.capabilities.quality[quality].fps
        return replace(asked, skip=round(sent.skip * fps / sent.fps))

    def _begin(self, sent: SentChunk, opening: Conditioning, saved: str) -> None:
        pipeline = self._pipeline
        if self.state is not None and opening.enter != "cut" and isinstance(pipeline, Swapping):
            # Out of the take before, as that was when the last frame that was sent of it was on its way.
            pipeline.truncate(self.state, sent.latent)
            self.state, self.here = pipeline.swap(self.state, opening), sent.latent
            return
        self.close()
        self.state, self.here = pipeline.open(opening), 0
        if saved:
            if not isinstance(pipeline, Resumable):
                raise ConfigError(f"{self._session.path}: this model can't go on from what another saved")
            pipeline.restore(self.state, self._session.state(saved))

    def close(self) -> None:
        """Free the state."""
        if self.state is not None:
            self._pipeline.close(self.state)
            self.state = None


def _rung_of(sent: SentChunk, levels: Sequence[QualityLevel]) -> int:
    """The rung that a chunk was made at: a log from before there was one more above it has its rate farther down."""
    rungs = range(sent.quality, len(levels))
    return next((rung for rung in rungs if levels[rung].fps == sent.fps), sent.quality)


def _check(session: Session, sent: SentChunk, chunk: Chunk) -> None:
    if (chunk.first_latent, chunk.latents) != (sent.latent, sent.latents):
        raise ConfigError(
            f"{session.path}: its chunk at frame {sent.frame} has the latents {sent.latent}+{sent.latents}, and this "
            f"model makes {chunk.first_latent}+{chunk.latents}: leave model.latents_per_chunk as it was"
        )


def _cut(chunk: Chunk, wanted: Conditioning, sent: SentChunk, count: int) -> Remade:
    is_same = frames_sha256(chunk) == sent.sha256
    # Of a chunk that something overtook on the screen a part was seen, at any rate.
    kept = round(Fraction(count * len(chunk.frames), sent.frames))
    return Remade(replace(chunk, frames=chunk.frames[:kept]), wanted.prompt, is_same)


def frames_sha256(chunk: Chunk) -> str:
    """Hash the bytes of a chunk's frames."""
    return hashlib.sha256(np.ascontiguousarray(chunk.frames).data).hexdigest()


def write_replay(pipeline: Pipeline[Any], session: Session, out: Path, quality: int | None = None) -> Tally:
    """Write the video of a log as MP4, with the prompts as a subtitle track. Raises what replaying and writing do."""
    if not session.chunks:
        raise ConfigError(f"{session.path}: no frame of this stream was sent")
    tally = Tally()
    progress = ProgressBar(1, sys.stderr)
    progress.begin(out.name, sum(map(session.sent, range(len(session.chunks)))))
    try:
        with closing(replay(pipeline, session, quality)) as remade:
            write_captioned_mp4(out, _tallied(remade, session, tally, progress))
    finally:
        progress.clear()
    return tally


def _tallied(
    remade: Iterable[Remade], session: Session, tally: Tally, progress: ProgressBar
) -> Iterator[tuple[Chunk, str]]:
    for sent, made in zip(session.chunks, remade, strict=True):
        tally.chunks += 1
        tally.same += made.is_same
        if not made.is_same and tally.first_other is None:
            tally.first_other = sent.frame
        yield made.chunk, made.prompt
        progress.advance(len(made.chunk.frames))
