"""What the server says unasked on the data channel ``control``, and what it is able to, as types for the reference."""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, NotRequired, TypedDict

from pipeline.types import Drift, ImageEntry, Mode, PicturePolicy, Policy
from stream.errors import CODES
from stream.protocol import StreamState
from stream.rules import choice
from stream.server_messages import Stats


class Image(TypedDict):
    """The conditioning image: hash of its file, upright size in pixels."""

    sha256: str
    width: int
    height: int


class PublisherState(TypedDict):
    """Who publishes into the stream: connecting or live, and the size of the newest frame in pixels."""

    state: Literal["connecting", "live"]
    width: int | None
    height: int | None


class PublishState(TypedDict):
    """Where the stream is published: the address without its secrets, how it stands, the far end's last refusal."""

    to: str
    state: Literal["connecting", "live", "retrying"]
    status: int | None
    error: str | None


class HeardView(TypedDict):
    """What the model understood of the prompt on air, in plain words, and the parts of it that it can't do."""

    understood: list[str]
    ignored: list[str]


class State(TypedDict):
    """What the stream is and is made from; `frame` is the index of the last one sent. Sent on every change.

    `size` is the video's width and height, in force while it runs, else what the next start will make; left out where
    it is the first of `sizes` in the capabilities.
    `publisher` and `publish` are there while there is one, `heard` where the model tells what it understood.
    """

    type: Literal["state"]
    state: StreamState
    mode: Mode
    prompt: str
    frame: int
    image: Image | None
    size: NotRequired[list[int]]
    publisher: NotRequired[PublisherState]
    publish: NotRequired[PublishState]
    heard: NotRequired[HeardView]


class CapabilityLimits(TypedDict):
    """The most that the server takes: code points, bytes, pixels, streams, seconds of a recording (0 for none)."""

    prompt_chars: int
    image_bytes: int
    image_pixels: int
    streams: int
    recording_s: float
    bookmarks: int


class Capabilities(TypedDict):
    """What the model and the server can do; `sizes` are [width, height] in pixels, `fps` frames a second.

    `picture_policies` are the ways of a picture into a video that runs. `examples` are prompts that the model
    understands, `scenes` those for text alone where they are others. `needs` says what the model must have to run,
    `publish` the schemes that a stream can be published by.
    """

    version: str
    protocol: int
    model: str
    sizes: list[tuple[int, int]]
    fps: float
    modes: list[Mode]
    image_entry: ImageEntry
    needs: str
    policies: list[Policy]
    picture_policies: list[PicturePolicy]
    codecs: list[str]
    publish: list[str]
    limits: CapabilityLimits
    examples: list[str]
    scenes: list[str]


class PresentDirector(TypedDict):
    """One who is there: the server's id for it, and the name that it gave in `hello`, or an empty one."""

    director: str
    name: str


class Directors(TypedDict):
    """Who directs; `you` is the reader, `baton` who alone commands, or null. Sent when any of it changes."""

    type: Literal["directors"]
    you: str
    directors: list[PresentDirector]
    baton: str | None


@dataclass(frozen=True, slots=True)
class StatsMessage(Stats):
    """The figures of the last second; `quality` names the rung in force, `level` is its number. Sent every second.

    `drift` is there from when a prompt has settled on, `quality_why` while `level` is not 0: a director asked for it
    (`asked`), the machine has no time for more (`machine`), other streams share it (`streams`), chunks take longer than
    they did at the start (`slow`), they would soon have come late (`tight`), they came late (`late`).
    """

    type: ClassVar[str] = "stats"
    quality: str
    level: int
    quality_why: Literal["asked", "machine", "streams", "slow", "tight", "late"] | None = None
    drift: Drift | None = None


class Error(TypedDict):
    """A refusal. `retryable` is true where the same command may work later; `ahead` says how many run before."""

    type: Literal["error"]
    id: NotRequired[int]
    code: Annotated[str, choice(tuple(CODES))]
    message: str
    retryable: bool
    ahead: NotRequired[int]


class Goodbye(TypedDict):
    """The last message before the server closes."""

    type: Literal["goodbye"]
    reason: str


NEWS: dict[str, type[Any]] = {
    "state": State,
    "directors": Directors,
    "stats": StatsMessage,
    "error": Error,
    "goodbye": Goodbye,
}
