"""What a command is answered with on the data channel ``control``, as types: the reference and the tests go by them."""

from typing import Literal, NotRequired, TypedDict

from pipeline.types import Mode
from stream.messages import Capabilities, State
from stream.protocol import Latency


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


class Pong(Reply):
    """Answers `ping`; `server_ms` is milliseconds on the server's own clock."""

    type: Literal["pong"]
    t: float
    server_ms: float


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
