"""The JSON bodies of HTTP requests and answers, as types, where they are not messages of the data channel."""

from typing import Annotated, Literal, NotRequired, TypedDict

from stream.errors import CODES
from stream.messages import State
from stream.rules import choice


class Refusal(TypedDict):
    """Why a request is refused; `ahead` says how many streams run before."""

    code: Annotated[str, choice(tuple(CODES))]
    message: str
    ahead: NotRequired[int]


class Refused(TypedDict):
    """The body of every answer of 400 and above."""

    error: Refusal


class Urls(TypedDict):
    """Where others find the stream."""

    watch_url: str
    whep_url: str
    whip_url: str


class StreamView(State, Urls):
    """A stream: its state, who is there, where it is found."""

    stream: str
    directors: int
    viewers: int


class NewStreamView(StreamView):
    """A stream just made, with the token that what changes it must show."""

    control_token: str


class OfferBody(TypedDict):
    """An offer; with `stream` and its `control_token` it joins that one, else it makes one."""

    type: Literal["offer"]
    sdp: str
    stream: NotRequired[str]
    control_token: NotRequired[str]
    access_token: NotRequired[str]


class AnswerBody(Urls):
    """The answer to an offer, with all candidates."""

    type: Literal["answer"]
    sdp: str
    stream: str
    control_token: str


class IceServer(TypedDict):
    """A STUN or TURN server, as `RTCPeerConnection` takes it."""

    urls: str
    username: NotRequired[str]
    credential: NotRequired[str]


class IceServersView(TypedDict):
    """The servers to make a connection with; TURN credentials may end `ttl_s` seconds from now."""

    ice_servers: list[IceServer]
    ttl_s: int


class Accepted(TypedDict):
    """The command is taken and takes effect with the next frame that is sent; no reply to it is known yet."""

    type: Literal["accepted"]
    id: int


class Alive(TypedDict):
    """The server runs."""

    alive: bool


class Readiness(TypedDict):
    """Whether the server can make streams, and if not, why."""

    ready: bool
    reason: NotRequired[str]


class Publication(TypedDict):
    """Where to publish a stream, and the bearer token that is asked there."""

    url: str
    token: NotRequired[str]
