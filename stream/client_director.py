"""A director without a browser: makes a stream, commands it, receives its video, notes when what came."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar

from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.codecs import get_capabilities
from aiortc.sdp import SessionDescription

from stream.client_http import DirectorError, Refused, ServerHttp
from stream.client_video import Arrivals, ReceivedFrame, VideoReceiver
from stream.clock import Alarm
from stream.ice import connection_configuration, gathering_failures, use_servers
from stream.network import Network, use_network
from stream.protocol import PROTOCOL

T = TypeVar("T")
Message = dict[str, Any]

PATIENCE_S = 10.0
CODECS = ("VP8", "H264")
# aiortc's SCTP loses the tail of larger ones now and then, and then waits a second.
UPLOAD_MESSAGE_BYTES = 16_384
BUFFERED_BYTES = 262_144
# The replies that name the first frame made under a command.
NAMING_A_FRAME = ("started", "resumed", "prompt_applied", "image_applied", "mode_applied", "reset_applied")


@dataclass(frozen=True, slots=True)
class Applied:
    """A command and the first frame made under it, times in seconds of the event loop.

    ``sent`` is when the command left, ``told`` when its reply came; ``arrived`` is when the frame's last packet
    came, ``decoded`` when aiortc handed the frame out, which is one frame interval later than it could be.
    """

    frame: int
    rtp_timestamp: int
    sent: float
    told: float
    arrived: float
    decoded: float


class Director:
    """One director's peer; made inside a running event loop, to be closed in any case.

    ``token`` is the server's access token. ``on_frame`` is called on the loop with each frame, and must be quick.

        async with Director("http://127.0.0.1:8080") as director:
            await director.connect()
            await director.upload(photo)
            await director.start()
            applied = await director.wait_applied(await director.set_prompt("pan left"))
    """

    def __init__(
        self,
        url: str,
        *,
        codecs: Sequence[str] = CODECS,
        token: str = "",
        on_frame: Callable[[ReceivedFrame], None] | None = None,
    ) -> None:
        self._http = ServerHttp(url, token)
        use_network(Network(loopback=self._http.is_on_loopback))
        self._loop = asyncio.get_running_loop()
        self._alarm = Alarm(self._loop)
        self._connection = RTCPeerConnection(connection_configuration([]))
        # Before the channel, or aiortc never starts the transport that both share.
        self._transceiver = self._connection.addTransceiver("video", direction="recvonly")
        self._channel = self._connection.createDataChannel("control")
        self._uploading = asyncio.Lock()
        self._sent: list[float] = []
        self._replies: dict[int, list[tuple[float, Message]]] = {}
        self._gone = ""
        self._video = self._prepare(codecs, on_frame)
        self.messages: list[tuple[float, Message]] = []
        """Every message of the server, with the time when it came."""
        self.stream = self.control_token = self.codec = ""
        self.answer: Message = {}
        """What ``POST /offer`` answered."""
        self.began = self.answered = self.connected = 0.0
        """When :meth:`connect` began, the offer was answered, and the channel opened."""

    @property
    def arrivals(self) -> Arrivals:
        """Every frame that came, and when."""
        return self._video.arrivals

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the last frame."""
        return self._video.size

    def _prepare(self, codecs: Sequence[str], on_frame: Callable[[ReceivedFrame], None] | None) -> VideoReceiver:
        known = get_capabilities("video").codecs
        wanted = [f"video/{name}" for name in (*codecs, "rtx")]
        self._transceiver.setCodecPreferences([codec for name in wanted for codec in known if codec.mimeType == name])
        received = VideoReceiver(self._transceiver.receiver, self._alarm, on_frame)
        self._connection.on("track", received.read)
        self._connection.on("connectionstatechange", self._on_connection_state)
        self._channel.on("open", self._alarm.ring)
        self._channel.on("message", self._on_message)
        self._channel.on("close", lambda: self._leave("the control channel closed"))
        self._channel.bufferedAmountLowThreshold = BUFFERED_BYTES // 2
        self._channel.on("bufferedamountlow", self._alarm.ring)
        return received

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def connect(self, stream: str = "", control_token: str = "") -> Message:
        """Make a stream, or join one, and say hello; gives ``welcome``. Call it once.

        Raises Refused as the server does, DirectorError when it can't be reached or WebRTC does not connect.
        """
        self.began = self._loop.time()
        connection = self._connection
        use_servers(connection, await self._http.ice_servers())
        await connection.setLocalDescription(await connection.createOffer())
        body: Message = {"type": "offer", "sdp": connection.localDescription.sdp}
        if stream:
            body |= {"stream": stream, "control_token": control_token}
        text = await self.request("POST", "/offer", json=body)
        self.answered = self._loop.time()
        try:
            self.answer = json.loads(text)
            self.stream, self.control_token = self.answer["stream"], self.answer["control_token"]
            sdp = self.answer["sdp"]
        except (ValueError, KeyError, TypeError):
            raise DirectorError(
                f"{self._http.url} answers offers with something else; is it the right address?"
            ) from None
        media = (media for media in SessionDescription.parse(sdp).media if media.kind == "video")
        self.codec = next((codec.name for section in media for codec in section.rtp.codecs), "")
        await connection.setRemoteDescription(RTCSessionDescription(sdp=sdp, type="answer"))
        try:
            await self._until(lambda: self._channel.readyState == "open" or None, "the WebRTC connection (over UDP)")
        except DirectorError as error:
            # Why no server could help is a cause, where there was one.
            raise DirectorError("; ".join([str(error), *gathering_failures(connection)])) from None
        self.connected = self._loop.time()
        return await self.command("hello", "welcome", protocol=PROTOCOL)

    async def request(self, method: str, path: str, **options: Any) -> str:
        """Ask the server over HTTP, as :meth:`stream.client_http.ServerHttp.request` does."""
        return await self._http.request(method, path, **options)

    def send(self, type: str, **fields: Any) -> int:
        """Send a command; gives its id. Fields that are None are left out. Raises DirectorError when it is over."""
        self._require_here()
        self._sent.append(self._loop.time())
        message_id = len(self._sent)
        message = {"type": type, "id": message_id, **fields}
        self._channel.send(json.dumps({name: value for name, value in message.items() if value is not None}))
        return message_id

    async def reply(self, message_id: int, *types: str, timeout_s: float = PATIENCE_S) -> Message:
        """Wait for the reply of one of these types. Raises Refused for an ``error``, DirectorError without a reply."""
        return (await self._reply(message_id, types, timeout_s))[1]

    async def _reply(self, message_id: int, types: tuple[str, ...], timeout_s: float) -> tuple[float, Message]:
        def find() -> tuple[float, Message] | None:
            replies = self._replies.get(message_id, [])
            return next((reply for reply in replies if reply[1]["type"] in (*types, "error")), None)

        found = await self._until(find, f"`{'` or `'.join(types)}`", timeout_s)
        message = found[1]
        if message["type"] == "error":
            raise Refused(message["code"], message["message"], message["retryable"])
        return found

    async def command(self, type: str, reply: str, **fields: Any) -> Message:
        """Send a command and wait for its reply of the type given; raises as :meth:`reply` does."""
        return await self.reply(self.send(type, **fields), reply)

    async def upload(self, data: bytes, mime: str = "application/octet-stream", name: str | None = None) -> Message:
        """Upload a picture; gives ``image_uploaded``. Raises Refused with one of the image codes."""
        async with self._uploading:
            digest = hashlib.sha256(data).hexdigest()
            message_id = self.send("upload_image", size=len(data), mime=mime, sha256=digest, name=name)
            for begin in range(0, len(data), UPLOAD_MESSAGE_BYTES):
                self._require_here()
                self._channel.send(data[begin : begin + UPLOAD_MESSAGE_BYTES])
                await self._until(lambda: self._channel.bufferedAmount <= BUFFERED_BYTES or None, "room for the upload")
        return await self.reply(message_id, "image_uploaded")

    async def start(self, seed: int | None = None) -> Applied:
        """Start the stream; gives its first frame. Raises Refused, or DirectorError when no video comes."""
        return await self.wait_applied(self.send("start", seed=seed))

    async def set_prompt(self, prompt: str, policy: str | None = None, over_s: float | None = None) -> int:
        """Change the prompt; gives the command's id when it is accepted. Raises Refused."""
        message_id = self.send("set_prompt", prompt=prompt, policy=policy, over_s=over_s)
        await self.reply(message_id, "prompt_accepted")
        return message_id

    async def wait_applied(self, message_id: int, timeout_s: float = PATIENCE_S) -> Applied:
        """Wait for the frame that the reply to a command names, by its RTP timestamp, decoded.

        Any order will do, also long after. Raises Refused, or DirectorError when reply or frame do not come.
        """
        told, message = await self._reply(message_id, NAMING_A_FRAME, timeout_s)
        timestamp = message.get("rtp_timestamp")
        if timestamp is None:
            raise DirectorError(f"`{message['type']}` came without `rtp_timestamp`")

        def find() -> Applied | None:
            arrival = self.arrivals.find(timestamp)
            if self.arrivals.missed(timestamp):
                raise DirectorError(f"the video went on without the frame that `{message['type']}` names")
            if arrival is None or arrival.decoded is None:
                return None
            sent = self._sent[message_id - 1]
            return Applied(message["frame"], timestamp, sent, told, arrival.arrived, arrival.decoded)

        return await self._until(find, f"the frame that `{message['type']}` names", timeout_s)

    async def stay(self, until: float) -> None:
        """Wait until a time of the event loop. Raises DirectorError when the server breaks off before."""
        while self._loop.time() < until:
            self._require_here()
            await self._alarm.wait(until)

    def frames(self) -> AsyncIterator[ReceivedFrame]:
        """Give the frames from now on, until the video ends; the oldest of 64 that wait is dropped."""
        return self._video.frames()

    async def end(self) -> None:
        """End the stream for everyone, so that it takes no capacity any more. Raises as :meth:`request` does."""
        authorization = {"Authorization": f"Bearer {self.control_token}"}
        await self.request("DELETE", f"/streams/{self.stream}", headers=authorization)

    async def close(self) -> None:
        """Leave; idempotent. Raises what ``on_frame`` raised."""
        self._leave("this director left")
        await self._connection.close()
        await self._http.close()
        await self._video.close()

    async def _until(self, find: Callable[[], T | None], what: str, timeout_s: float = PATIENCE_S) -> T:
        try:
            async with asyncio.timeout(timeout_s):
                while (found := find()) is None:
                    self._require_here()
                    await self._alarm.wait()
                return found
        except TimeoutError:
            raise DirectorError(f"{what} did not come within {timeout_s:g} s") from None

    def _require_here(self) -> None:
        if self._gone:
            raise DirectorError(f"the stream is over: {self._gone}")

    def _leave(self, reason: str) -> None:
        self._gone = self._gone or reason
        self._alarm.ring()

    def _on_connection_state(self) -> None:
        if self._connection.connectionState in ("failed", "closed"):
            self._leave("the connection was lost")

    def _on_message(self, data: str | bytes) -> None:
        message = json.loads(data)
        entry = (self._loop.time(), message)
        self.messages.append(entry)
        if "id" in message:
            self._replies.setdefault(message["id"], []).append(entry)
        if message["type"] == "goodbye":
            self._leave(f"the server said goodbye, {message['reason']}")
        self._alarm.ring()
