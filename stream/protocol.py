"""The messages of the data channel ``control`` that a client may send.

They are frozen dataclasses whose fields carry their rule in the annotation, so the definitions are the contract's
table. ``stream/parsing.py`` reads them, ``stream/server_messages.py`` has what is said back. ``web/protocol.js``
mirrors them; ``tests/vectors/protocol.json`` binds both.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, get_args

from pipeline.types import Mode, PicturePolicy, Policy
from stream.rules import (
    FADE_S,
    INTEGER,
    MODE,
    NAME,
    NATURAL,
    NUMBER,
    PICTURE_POLICY,
    POLICY,
    POSITIVE,
    RATE,
    SECONDS,
    SEED,
    SHA256,
    TEXT,
    choice,
)

PROTOCOL = 1
MESSAGE_BYTES = 65_536
"""The most bytes of one message, text (as UTF-8) or binary."""

Latency = Literal["low", "smooth"]
StreamState = Literal["idle", "live", "paused", "ended"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a client may send at most: prompt in code points, picture file in bytes, picture in pixels."""

    prompt_chars: int = 2_000
    image_bytes: int = 10_485_760
    image_pixels: int = 40_000_000


LATENCY = choice(get_args(Latency))


@dataclass(frozen=True, slots=True)
class Command:
    """What every client message carries: a number that each reply to it repeats.

    ``replies`` are the types of what answers it if it is not refused, first to last.
    """

    type: ClassVar[str]
    replies: ClassVar[tuple[str, ...]]
    id: Annotated[int, INTEGER]


@dataclass(frozen=True, slots=True)
class Hello(Command):
    """Ask for a ``welcome``; ``name`` is what the other directors are to read."""

    type = "hello"
    replies = ("welcome",)
    protocol: Annotated[int, INTEGER]
    name: Annotated[str, NAME] = ""


@dataclass(frozen=True, slots=True)
class SetMode(Command):
    """Turn to text-to-video or image-to-video."""

    type = "set_mode"
    replies = ("mode_changed", "mode_applied")
    mode: Annotated[Mode, MODE]


@dataclass(frozen=True, slots=True)
class SetPrompt(Command):
    """Change the prompt; ``over_s`` is the length of a blend in seconds."""

    type = "set_prompt"
    replies = ("prompt_accepted", "prompt_applied")
    prompt: Annotated[str, TEXT]
    policy: Annotated[Policy, POLICY] = "auto"
    over_s: Annotated[float, SECONDS] = 0.5


@dataclass(frozen=True, slots=True)
class Prepare(Command):
    """Read a prompt that will perhaps be set soon, so that it shows sooner then."""

    type = "prepare"
    replies = ("prepared",)
    prompt: Annotated[str, TEXT]


@dataclass(frozen=True, slots=True)
class UploadImage(Command):
    """Announce ``size`` bytes of a picture, which follow as binary messages.

    ``policy`` is how a picture comes into a video that runs, ``over_s`` the length of a ``blend`` in seconds.
    """

    type = "upload_image"
    replies = ("image_uploaded", "image_applied")
    size: Annotated[int, NATURAL]
    mime: Annotated[str, TEXT]
    sha256: Annotated[str, SHA256]
    name: Annotated[str | None, TEXT] = None
    policy: Annotated[PicturePolicy, PICTURE_POLICY] = "cut"
    over_s: Annotated[float, FADE_S] = 0.5


@dataclass(frozen=True, slots=True)
class UseFrame(Command):
    """Make the frame on air the conditioning image."""

    type = "use_frame"
    replies = ("image_applied",)
    policy: Annotated[PicturePolicy, PICTURE_POLICY] = "cut"
    over_s: Annotated[float, FADE_S] = 0.5


@dataclass(frozen=True, slots=True)
class Start(Command):
    """Go live, as a new take."""

    type = "start"
    replies = ("started",)
    seed: Annotated[int | None, SEED] = None


@dataclass(frozen=True, slots=True)
class Pause(Command):
    """Freeze the screen."""

    type = "pause"
    replies = ("paused",)


@dataclass(frozen=True, slots=True)
class Resume(Command):
    """Go on where the screen froze."""

    type = "resume"
    replies = ("resumed",)


@dataclass(frozen=True, slots=True)
class Stop(Command):
    """Go idle."""

    type = "stop"
    replies = ("stopped",)


@dataclass(frozen=True, slots=True)
class Reset(Command):
    """Begin again from the image, or from noise."""

    type = "reset"
    replies = ("reset_applied",)
    seed: Annotated[int | None, SEED] = None


@dataclass(frozen=True, slots=True)
class Configure(Command):
    """Wish for a rate in frames/s, a bit rate, a latency; None leaves a value as it is."""

    type = "configure"
    replies = ("configured",)
    fps: Annotated[float | None, RATE] = None
    bitrate_kbps: Annotated[int | None, POSITIVE] = None
    latency: Annotated[Latency | None, LATENCY] = None


@dataclass(frozen=True, slots=True)
class RecordStart(Command):
    """Begin a recording."""

    type = "record_start"
    replies = ("recording",)


@dataclass(frozen=True, slots=True)
class RecordStop(Command):
    """End the recording."""

    type = "record_stop"
    replies = ("recorded",)


@dataclass(frozen=True, slots=True)
class UseCameraFrame(Command):
    """Make the publisher's newest frame the conditioning image."""

    type = "use_camera_frame"
    replies = ("image_applied",)
    policy: Annotated[PicturePolicy, PICTURE_POLICY] = "cut"
    over_s: Annotated[float, FADE_S] = 0.5


@dataclass(frozen=True, slots=True)
class Bookmark(Command):
    """Keep this moment, to go back to or to go on from elsewhere."""

    type = "bookmark"
    replies = ("bookmarked",)
    name: Annotated[str, TEXT] = ""


@dataclass(frozen=True, slots=True)
class Rewind(Command):
    """Go on from a bookmark, under the prompt and picture of then."""

    type = "rewind"
    replies = ("rewind_applied",)
    bookmark: Annotated[str, TEXT]


@dataclass(frozen=True, slots=True)
class Fork(Command):
    """Make a second stream that goes on from a bookmark, or from this moment."""

    type = "fork"
    replies = ("forked",)
    bookmark: Annotated[str | None, TEXT] = None


@dataclass(frozen=True, slots=True)
class HandOver(Command):
    """Let one director alone command, named by its id; left out, all of them again."""

    type = "hand_over"
    replies = ("handed_over",)
    to: Annotated[str | None, TEXT] = None


@dataclass(frozen=True, slots=True)
class TakeOver(Command):
    """Take the baton, whoever has it."""

    type = "take_over"
    replies = ("handed_over",)


@dataclass(frozen=True, slots=True)
class Ping(Command):
    """Ask for a ``pong`` with the same ``t``, a number on the client's own clock."""

    type = "ping"
    replies = ("pong",)
    t: Annotated[float, NUMBER]


ClientMessage = (
    Hello | SetMode | SetPrompt | Prepare | UploadImage | UseFrame | Start | Pause | Resume | Stop | Reset
    | Configure | RecordStart | RecordStop | UseCameraFrame | Bookmark | Rewind | Fork | HandOver | TakeOver | Ping
)  # fmt: skip
