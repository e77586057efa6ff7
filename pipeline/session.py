"""A stream's session log: what its lines hold, written by the server and read to make the video again. No torch.

The file is JSON, an object a line, whose ``type`` says what it is:

``session``       the first line: format version, model, settings, when the stream began
``conditioning``  what chunks are made under from here on, by number; pictures by hash
``chunk``         frames that were sent, or begun to be: where they stand in the stream and in the model's take
``command``       what somebody asked, and the frame at which it took effect
``end``           how many frames were sent in all; missing where the server died

A video follows from the chunks alone. What was made and thrown away before it was sent leaves no line: a model goes
back to a boundary bit-equal to never having made what followed, so ``latent`` is all that tells of it.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from fractions import Fraction
from pathlib import Path
from typing import Any

from pipeline.errors import ConfigError
from pipeline.picture import PictureError, read_picture
from pipeline.types import Conditioning, Pixels

VERSION = 1
PICTURES, STATES = "pictures", "states"
APART = ("image", "quality", "skip")
"""Fields of a conditioning that a log keeps elsewhere: a picture by its hash, the others with each chunk."""

Line = dict[str, Any]


@dataclass(frozen=True, slots=True)
class SentChunk:
    """A chunk of which a frame was sent.

    ``frame`` is the stream's index of its first frame and ``pts`` that one's timestamp in 90 kHz ticks; ``latent``
    counts in the take. ``under`` numbers the conditioning that it was made under. ``opened`` has the takes that were
    opened since the chunk before, its own last: the number of the conditioning that each was opened under, and the hash
    of the saved state that it went on from, or nothing. ``sha256`` is of all its frames' bytes as they were made, sent
    or not. ``skip`` frames were left out at its beginning, for they had been sent of the chunk that it took the place
    of: the one before, of the same latent.
    """

    frame: int
    pts: int
    take: int
    latent: int
    latents: int
    frames: int
    fps: Fraction
    quality: int
    under: int
    opened: tuple[tuple[int, str], ...]
    sha256: str
    skip: int = 0

    def line(self) -> Line:
        """Give the log's line.

        >>> chunk = SentChunk(4, 22500, 1, 1, 1, 4, Fraction(16), 0, 2, ((1, ""),), "ab")
        >>> SentChunk.read(chunk.line()) == chunk
        True
        """
        return (
            {"type": "chunk"}
            | {member.name: getattr(self, member.name) for member in fields(self)}
            | {"fps": str(self.fps)}
        )

    @classmethod
    def read(cls, line: Line) -> "SentChunk":
        """Read a line. Raises KeyError, TypeError, ValueError or ZeroDivisionError for one that is none."""
        # Logs from before chunks could be made again midway lack it.
        line = {"skip": 0} | line
        values: dict[str, Any] = {member.name: line[member.name] for member in fields(cls)}
        values["fps"] = Fraction(line["fps"])
        values["opened"] = tuple((int(number), str(saved)) for number, saved in line["opened"])
        numbers = [value for name, value in values.items() if name not in ("fps", "opened", "sha256")]
        if not all(type(number) is int and number >= 0 for number in numbers) or not values["fps"] > 0:
            raise ValueError("a number is missing, or below 0")
        return cls(**values)


def conditioning_line(number: int, conditioning: Conditioning, picture: str | None) -> Line:
    """Give the line of a conditioning; ``picture`` is the hash of its picture."""
    kept = {item.name: getattr(conditioning, item.name) for item in fields(conditioning) if item.name not in APART}
    return {"type": "conditioning", "number": number, "picture": picture, **kept}


def picture_sha256(pixels: Pixels) -> str:
    """Hash a picture ``uint8 [H, W, 3]`` by its size and its bytes."""
    digest = hashlib.sha256(f"{pixels.shape[1]}x{pixels.shape[0]}\n".encode())
    digest.update(pixels.tobytes())
    return digest.hexdigest()


def picture_path(folder: Path, sha256: str) -> Path:
    """Give the file of a picture beside the logs of a folder."""
    return folder / PICTURES / f"{sha256}.png"


def state_path(folder: Path, sha256: str) -> Path:
    """Give the file of a model's saved state beside the logs of a folder."""
    return folder / STATES / f"{sha256}.bin"


@dataclass(slots=True, eq=False)
class Session:
    """A log that was read; ``frames`` is None where it has no end, since its server died."""

    path: Path
    header: Line = field(default_factory=dict[str, Any])
    conditionings: dict[int, Line] = field(default_factory=dict[int, Line])
    chunks: list[SentChunk] = field(default_factory=list[SentChunk])
    commands: list[Line] = field(default_factory=list[Line])
    frames: int | None = None

    def sent(self, number: int) -> int:
        """Tell how many frames of a chunk, by its place among :attr:`chunks`, were sent."""
        chunk = self.chunks[number]
        following = [other.frame for other in self.chunks[number + 1 : number + 2]] or [self.frames]
        until = chunk.frame + chunk.frames if following[0] is None else following[0]
        return max(0, min(chunk.frames, until - chunk.frame))

    def conditioning(self, number: int, quality: int, pictures: Mapping[str, Pixels]) -> Conditioning:
        """Give what a chunk was made under; ``pictures`` is what :meth:`pictures` gave."""
        line = self.conditionings[number]
        values = {name: value for name, value in line.items() if name not in ("type", "number", "picture")}
        if values.get("size") is not None:
            values["size"] = tuple(values["size"])
        image = None if line["picture"] is None else pictures[line["picture"]]
        try:
            return Conditioning(**values, image=image, quality=quality)
        except TypeError as error:
            raise ConfigError(f"{self.path}: its conditionings are another version's: {error}") from error

    def pictures(self) -> dict[str, Pixels]:
        """Read the pictures that chunks were made under, by hash. Raises ConfigError for one missing or changed."""
        numbers = {number for chunk in self.chunks for number in _numbers(chunk)}
        wanted = {self.conditionings[number]["picture"] for number in sorted(numbers)} - {None}
        return {sha256: self._picture(sha256) for sha256 in sorted(wanted)}

    def state(self, sha256: str) -> bytes:
        """Read a saved state. Raises ConfigError for one missing or changed."""
        path = state_path(self.path.parent, Path(sha256).name)
        try:
            saved = path.read_bytes()
        except OSError as error:
            raise ConfigError(f"{path}, a state of this log, can't be read: {error.strerror}") from error
        if hashlib.sha256(saved).hexdigest() != sha256:
            raise ConfigError(f"{path} is not what the stream went on from: its hash is another")
        return saved

    def _picture(self, sha256: str) -> Pixels:
        path = picture_path(self.path.parent, Path(sha256).name)
        try:
            pixels = read_picture(path)
        except (OSError, PictureError) as error:
            raise ConfigError(f"{path}, a picture of this log, can't be read: {error}") from error
        if picture_sha256(pixels) != sha256:
            raise ConfigError(f"{path} is not the picture that the stream was made from: its hash is another")
        return pixels


def read_session(path: Path, force: bool = False) -> Session:
    """Read a log. A last line that was torn off when its server died is left out.

    Raises ConfigError for a file that can't be read or is no log, for another format version unless ``force``, and
    for a line that makes no sense, by its number.
    """
    try:
        texts = path.read_bytes().split(b"\n")
    except OSError as error:
        raise ConfigError(f"can't read the log {path}: {error.strerror}") from error
    # A whole line ends with a line feed, so behind the last one there is nothing, or a torn one.
    lines = [_parse(path, number, text) for number, text in enumerate(texts[:-1], 1)]
    if not lines or lines[0].get("type") != "session":
        raise ConfigError(f"{path} is no session log: its first line does not say so")
    if lines[0].get("version") != VERSION and not force:
        raise ConfigError(
            f"{path} is a session log of version {lines[0].get('version')}, and this Vivant reads {VERSION}; "
            "--force tries all the same"
        )
    session = Session(path, lines[0])
    for number, line in enumerate(lines[1:], 2):
        try:
            _take_in(session, line)
        except (KeyError, TypeError, ValueError, ArithmeticError) as error:
            raise ConfigError(f"{path}, line {number}: not what a log of this version holds ({error!r})") from error
    return session


def _parse(path: Path, number: int, text: bytes) -> Line:
    try:
        line = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}, line {number}: no JSON; the log was damaged") from error
    if not isinstance(line, dict):
        raise ConfigError(f"{path}, line {number}: no JSON object; the log was damaged")
    return line


def _take_in(session: Session, line: Line) -> None:
    """Add a line; one of a type that is not known is left out."""
    match line.get("type"):
        case "conditioning":
            session.conditionings[line["number"]] = {"picture": line["picture"]} | line
        case "chunk":
            _take_in_chunk(session, SentChunk.read(line))
        case "command":
            session.commands.append(line)
        case "end":
            session.frames = int(line["frames"])


def _numbers(chunk: SentChunk) -> list[int]:
    return [chunk.under, *(number for number, _ in chunk.opened)]


def _take_in_chunk(session: Session, chunk: SentChunk) -> None:
    if not set(_numbers(chunk)) <= session.conditionings.keys():
        raise ValueError("its conditioning is not told before it")
    if session.chunks and chunk.frame <= session.chunks[-1].frame:
        raise ValueError("its frame is not after that of the chunk before")
    session.chunks.append(chunk)


def lines_of(commands: Sequence[Line]) -> list[str]:
    """Say commands in words, one each: frame, who, what.

    >>> lines_of([{"frame": 16, "by": "director-1", "command": {"type": "set_prompt", "prompt": "snow"}}])
    ['frame 16, director-1: set_prompt prompt=snow']
    """
    told: list[str] = []
    for line in commands:
        command = dict(line["command"])
        kind = command.pop("type")
        values = "".join(f" {name}={value}" for name, value in command.items())
        told.append(f"frame {line['frame']}, {line['by']}: {kind}{values}")
    return told
