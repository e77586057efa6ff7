"""What the server sends on the data channel ``control``, as types: the reference and the tests go by them."""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, NotRequired, TypedDict

from pipeline.types import Drift, ImageEntry, Mode, PicturePolicy, Policy
from stream.errors import CODES
from stream.protocol import Latency, StreamState
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


class Reply(TypedDict):
    """A reply repeats the number of its command."""

    id: int


class FrameReply(Reply):
    """`frame` is an index in the stream, `rtp_timestamp` what that frame has on this peer's video, if it has one."""

    frame: int
    rtp_timestamp: NotRequired[int | None]


class BookmarkView(TypedDict):
    """A bookmark: the frame that was on air, a small JPEG of it as a `data:` URL, and what was asked for."""

    bookmark: str
    name: str
    frame: int
    thumbnail: str
    mode: Mode
    prompt: str
    seed: int


class Welcome(Reply):
    """Answers `hello`."""

    type: Literal["welcome"]
    stream: str
    capabilities: Capabilities
    state: State


class ModeChanged(Reply):
    """The mode is taken; `mode_applied` follows."""

    type: Literal["mode_changed"]
    mode: Mode


class ModeApplied(FrameReply):
    """The first frame made in the mode is sent."""

    type: Literal["mode_applied"]


class PromptAccepted(Reply):
    """The prompt is taken; `prompt_applied` follows."""

    type: Literal["prompt_accepted"]


class PromptApplied(FrameReply):
    """The first frame made under the prompt is sent."""

    type: Literal["prompt_applied"]


class UploadProgress(Reply):
    """So many bytes of the picture have come."""

    type: Literal["upload_progress"]
    received: int


class ImageUploaded(Reply):
    """The picture is taken: its upright size, and what was cut from its left, top, right and bottom, in pixels."""

    type: Literal["image_uploaded"]
    width: int
    height: int
    sha256: str
    cropped: tuple[int, int, int, int]


class ImageApplied(FrameReply):
    """The first frame made from the picture is sent."""

    type: Literal["image_applied"]


class Started(FrameReply):
    """The take's first frame is sent."""

    type: Literal["started"]


class Paused(FrameReply):
    """The frame stays on the screen."""

    type: Literal["paused"]


class Resumed(FrameReply):
    """The frame is the first after the pause."""

    type: Literal["resumed"]


class Stopped(FrameReply):
    """The frame is the last one of the take."""

    type: Literal["stopped"]


class ResetApplied(FrameReply):
    """The new take's first frame is sent."""

    type: Literal["reset_applied"]


class Configured(Reply):
    """The values in force."""

    type: Literal["configured"]
    fps: float
    bitrate_kbps: int
    latency: Latency


class Recording(TypedDict):
    """The recording has begun, and is found there; told without `id` to the directors who did not ask."""

    id: NotRequired[int]
    type: Literal["recording"]
    url: str


class Recorded(TypedDict):
    """The recording is complete; told without `id` where nobody asked, with the `reason` where it ended by itself."""

    id: NotRequired[int]
    type: Literal["recorded"]
    url: str
    bytes: int
    seconds: float
    reason: NotRequired[str]


class Bookmarked(BookmarkView):
    """The moment is kept; told without `id` to the directors who did not ask, and after a `welcome`."""

    id: NotRequired[int]
    type: Literal["bookmarked"]


class RewindApplied(FrameReply):
    """The first frame from the bookmark on is sent."""

    type: Literal["rewind_applied"]


class Forked(Reply):
    """The second stream is live; its id, and the token by which it is directed."""

    type: Literal["forked"]
    stream: str
    control_token: str


class Prepared(Reply):
    """The prompt was read; nothing of the video changed."""

    type: Literal["prepared"]


class HandedOver(Reply):
    """That director alone commands now; everyone, where `to` is null."""

    type: Literal["handed_over"]
    to: str | None


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


class Pong(Reply):
    """Answers `ping`; `server_ms` is milliseconds on the server's own clock."""

    type: Literal["pong"]
    t: float
    server_ms: float


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


REPLIES: dict[str, type] = {
    "welcome": Welcome,
    "mode_changed": ModeChanged,
    "mode_applied": ModeApplied,
    "prompt_accepted": PromptAccepted,
    "prompt_applied": PromptApplied,
    "prepared": Prepared,
    "upload_progress": UploadProgress,
    "image_uploaded": ImageUploaded,
    "image_applied": ImageApplied,
    "started": Started,
    "paused": Paused,
    "resumed": Resumed,
    "stopped": Stopped,
    "reset_applied": ResetApplied,
    "configured": Configured,
    "recording": Recording,
    "recorded": Recorded,
    "bookmarked": Bookmarked,
    "rewind_applied": RewindApplied,
    "forked": Forked,
    "handed_over": HandedOver,
    "pong": Pong,
}
NEWS: dict[str, type[Any]] = {
    "state": State,
    "directors": Directors,
    "stats": StatsMessage,
    "error": Error,
    "goodbye": Goodbye,
}
