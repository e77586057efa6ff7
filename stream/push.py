"""Pushing a stream by WebRTC to a far end that takes WHIP."""

import asyncio
from collections.abc import Callable

from aiortc import RTCRtpTransceiver, RTCSessionDescription
from aiortc.codecs import get_capabilities
from aiortc.sdp import SessionDescription

from stream.broadcast import Broadcast
from stream.destination import AddressRule, Destination
from stream.errors import StreamError
from stream.extensions import accept_extensions, offer_extensions
from stream.link import UNANSWERABLE, LinkEvents, LinkSettings, SendingLink
from stream.sdp import finish_answer, read_answer
from stream.sender import VideoTrack
from stream.whip_client import WhipClient


class PushLink(SendingLink):
    """Offers the stream's H.264 and sends it to who answers."""

    _transceiver: RTCRtpTransceiver

    async def offer(self) -> str:
        """Give the offer, with all candidates."""
        connection = self.connection
        video = self._transceiver = connection.addTransceiver(VideoTrack(), direction="sendonly")
        video.setCodecPreferences(
            [one for one in get_capabilities("video").codecs if one.mimeType in ("video/H264", "video/rtx")]
        )
        offer = offer_extensions(await connection.createOffer())
        gathering = asyncio.ensure_future(connection.setLocalDescription(offer))
        try:
            await asyncio.shield(gathering)
        except asyncio.CancelledError:
            # Half-way through, aioice has sockets that nobody would close.
            await asyncio.wait({gathering})
            raise
        self._send_video(video.sender, "H264", is_viewer=True)
        return finish_answer(connection.localDescription.sdp)

    async def accept(self, answer: str) -> None:
        """Take the answer and connect. Raises StreamError ``bad_gateway`` for one that can't be used."""
        try:
            await self.connection.setRemoteDescription(RTCSessionDescription(sdp=answer, type="answer"))
            self._accept_extensions(SessionDescription.parse(answer))
        except UNANSWERABLE as error:
            raise StreamError("bad_gateway", f"The far end's answer can't be used: {error}.") from error
        self._await_connection()

    def _accept_extensions(self, answer: SessionDescription) -> None:
        # The sender is told of them when the connection stands, which it can't yet.
        theirs = next((media for media in answer.media if media.kind == "video"), None)
        if theirs is not None and self._video is not None:
            self._video.playout_delay_id = accept_extensions(self._transceiver, theirs)


class WhipPush:
    """One attempt to push by WHIP, of :class:`stream.publication.Publication`."""

    def __init__(self, broadcast: Broadcast, client: WhipClient, rule: AddressRule, settings: LinkSettings) -> None:
        self._client = client
        self._rule = rule
        self._lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._connected = asyncio.Event()
        self._link = PushLink(broadcast, settings, LinkEvents(self._on_lost, connected=self._connected.set))

    async def begin(self) -> None:
        """Reach the far end and have the offer answered. Raises StreamError."""
        answer = await self._client.post(await self._link.offer())
        await self._link.accept(read_answer(answer, self._rule.allows))

    async def run(self, live: Callable[[], None]) -> str:
        """Send until it is lost; gives the reason. ``live`` is called when the far end has connected."""
        connected = asyncio.create_task(self._connected.wait())
        try:
            await asyncio.wait({connected, self._lost}, return_when=asyncio.FIRST_COMPLETED)
            if connected.done():
                live()
            return await self._lost
        finally:
            connected.cancel()

    async def end(self) -> None:
        """End the session there and free the connection here; idempotent."""
        await self._link.close()
        await self._client.delete()

    def _on_lost(self, reason: str) -> None:
        if not self._lost.done():
            self._lost.set_result(reason)


def whip_push(
    broadcast: Broadcast, destination: Destination, token: str | None, rule: AddressRule, settings: LinkSettings
) -> WhipPush:
    """Make an attempt to push to this destination."""
    return WhipPush(broadcast, WhipClient(destination, token, rule), rule, settings)
