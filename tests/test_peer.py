"""A director's peer: video arrives in either codec, commands are served, leaving is noticed."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any, cast

import pytest
from aiortc.rtp import RtcpPsfbPacket, pack_remb_fci

from stream.channel import ChannelLimits
from stream.ice import connection_configuration
from stream.live import LiveStream
from stream.peer import DirectorPeer, PeerSettings
from stream.protocol import Limits
from stream.sdp import read_offer
from tests.fake_live import STEP, FakeLive
from tests.loopback import Client

SETTINGS = PeerSettings(
    configure=lambda: connection_configuration([]),
    handshake_timeout_s=10,
    channel=ChannelLimits(Limits(), upload_timeout_s=10),
)


class Stage:
    """A fake stream and the peers made for it."""

    def __init__(self) -> None:
        self.live = FakeLive()
        self.closed: list[DirectorPeer] = []
        self.peers: list[DirectorPeer] = []
        self.clients: list[Client] = []

    async def join(self, client: Client, settings: PeerSettings = SETTINGS) -> DirectorPeer:
        """Connect a client."""
        peer = self.answer_later(settings)
        self.clients.append(client)
        await client.accept(await peer.accept(read_offer(await client.offer())))
        return peer

    def answer_later(self, settings: PeerSettings) -> DirectorPeer:
        """Make a peer that has answered nobody yet."""
        live = cast(LiveStream, self.live)
        peer = DirectorPeer(live, self.live.broadcast, settings, lambda: self.closed.append(peer))
        self.peers.append(peer)
        return peer


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    """A stage that is left clean."""
    made = Stage()
    yield made
    for client in made.clients:
        await client.close()
    for peer in made.peers:
        await peer.close()
    await made.live.broadcast.close()


@pytest.mark.parametrize("codec", ["VP8", "H264"])
async def test_video_arrives_in_either_codec(stage: Stage, codec: str) -> None:
    """Every frame published is decoded by the client, in order, with the brightness it was made with."""
    client = Client(codecs=[codec])
    await stage.join(client)
    await stage.live.publish(10)
    # aiortc's receiver gives a frame only when a packet of the next one comes.
    await client.wait(lambda: len(client.frames) >= 9)
    brightness = [frame.to_ndarray(format="rgb24").mean() for frame in client.frames[:9]]
    assert brightness == pytest.approx([20 + number * 10 for number in range(9)], abs=6)
    pts = [frame.pts or 0 for frame in client.frames[:9]]
    assert {after - before for before, after in pairwise(pts)} == {STEP}


@pytest.mark.parametrize("codecs", [("VP8", "H264"), ("H264", "VP8")])
async def test_the_offerer_chooses_the_codec(stage: Stage, codecs: tuple[str, str]) -> None:
    """Whichever codec the offer names first is the first of the answer."""
    client = Client(codecs=codecs)
    offer = read_offer(await client.offer())
    answer = await stage.answer_later(SETTINGS).accept(offer)
    await client.close()
    payload_type = next(line for line in answer.splitlines() if line.startswith("m=video")).split()[3]
    assert f"a=rtpmap:{payload_type} {codecs[0]}/90000" in answer.splitlines()


async def test_the_answer_is_what_clients_count_on(stage: Stage) -> None:
    """Passive, sendonly, rtcp-mux-only, all candidates and their end, 127.0.0.1 among them."""
    client = Client()
    answer = await stage.answer_later(SETTINGS).accept(read_offer(await client.offer()))
    await client.close()
    lines = answer.splitlines()
    assert lines.count("a=setup:passive") == 2
    assert lines.count("a=rtcp-mux-only") == 2
    assert lines.count("a=end-of-candidates") == 2
    assert "a=sendonly" in lines
    assert any(" 127.0.0.1 " in line for line in lines if line.startswith("a=candidate:"))


async def test_rtp_timestamps_name_the_frame_on_the_wire(stage: Stage) -> None:
    """``rtp_timestamp`` is what the packets of that frame carry; until there are any, messages wait."""
    client = Client()
    await stage.join(client)
    client.send(type="set_prompt", id=1, prompt="waits for the first packet")
    client.send(type="ping", id=2, t=5)
    await stage.live.heard(2)
    assert client.messages == []
    await stage.live.publish(4)
    client.send(type="set_prompt", id=3, prompt="at once")
    await client.message("prompt_applied", id=3)
    await client.wait(lambda: len(client.timestamps) >= 4)
    assert [message["id"] for message in client.messages] == [1, 2, 3]
    stamps = [m["rtp_timestamp"] for m in client.messages if m["type"] == "prompt_applied"]
    # The first named PTS 0, one step before the first frame; the last the fourth frame.
    assert (stamps[0] + STEP) % 2**32 == client.timestamps[0]
    assert stamps[1] == client.timestamps[3]


async def test_an_upload_reaches_the_stream_whole(stage: Stage) -> None:
    """Bytes come in pieces; texts are served while a picture is decoded, but for another picture."""
    client = Client()
    await stage.join(client)
    data = bytes(range(256)) * 800
    digest = hashlib.sha256(data).hexdigest()
    stage.live.decoding.clear()
    client.send(type="upload_image", id=1, size=len(data), mime="image/png", sha256=digest)
    assert client.channel is not None
    for start in range(0, len(data), 60_000):
        client.channel.send(data[start : start + 60_000])
    client.send(type="ping", id=2, t=1)
    client.send(type="upload_image", id=3, size=1, mime="image/png", sha256=digest)
    client.send(type="ping", id=4, t=2)
    await client.message("pong", id=2)
    assert [message.id for message in stage.live.handled] == [1, 2]
    stage.live.decoding.set()
    await client.message("pong", id=4)
    assert stage.live.pictures == [data]
    assert [message.id for message in stage.live.handled] == [1, 2, 3, 4]
    assert await client.message("upload_progress", id=1)


async def test_bad_messages_are_answered_and_the_channel_goes_on(stage: Stage) -> None:
    """Broken JSON, unknown types, a message that makes the server fail: an error each, and no more."""
    client = Client()
    await stage.join(client)
    assert client.channel is not None
    client.channel.send("{")
    client.channel.send('{"type": "dance", "id": 7}')
    client.channel.send('{"type": "set_prompt", "id": 8}')
    client.channel.send(b"bytes of no upload")
    client.channel.send("x" * 70_000)
    client.send(type="set_prompt", id=9, prompt="boom")
    client.send(type="ping", id=10, t=0)
    await client.message("pong", id=10)
    errors = [(m.get("id"), m["code"]) for m in client.messages if m["type"] == "error"]
    assert errors == [
        (None, "bad_json"),
        (7, "unknown_type"),
        (8, "bad_message"),
        (None, "too_long"),
        (9, "internal"),
    ]


async def test_an_upload_that_stops_times_out(stage: Stage) -> None:
    """When no byte comes for the time set, the error comes by itself, and another upload may follow."""
    channel = ChannelLimits(Limits(), upload_timeout_s=0.1)
    client = Client()
    await stage.join(client, PeerSettings(SETTINGS.configure, 10, channel))
    client.send(type="upload_image", id=1, size=10, mime="image/png", sha256="0" * 64)
    await client.message("error", id=1, code="upload_timeout", retryable=True)
    client.send(type="upload_image", id=2, size=10, mime="image/png", sha256="0" * 64)
    assert client.channel is not None
    client.channel.send(b"0123456789")
    await client.message("error", id=2, code="image_hash_mismatch")


async def test_a_second_upload_is_refused_and_the_first_goes_on(stage: Stage) -> None:
    """The refused one changes nothing about the bytes under way."""
    client = Client()
    await stage.join(client)
    digest = hashlib.sha256(b"0123456789").hexdigest()
    client.send(type="upload_image", id=1, size=10, mime="image/png", sha256=digest)
    assert client.channel is not None
    client.channel.send(b"01234")
    client.send(type="upload_image", id=2, size=99, mime="image/png", sha256=digest)
    client.channel.send(b"56789")
    await client.message("error", id=2, code="upload_in_progress")
    await client.message("image_uploaded", id=1)


async def test_too_many_commands_are_refused(stage: Stage) -> None:
    """Beyond the burst each command is answered ``rate_limited``, with its id; later ones work again."""
    channel = ChannelLimits(Limits(), 10, commands_per_s=20, command_burst=5)
    client = Client()
    await stage.join(client, PeerSettings(SETTINGS.configure, 10, channel))
    for number in range(10):
        client.send(type="ping", id=number, t=0)
    error = await client.message("error", code="rate_limited", id=9)
    assert error["retryable"] is True
    assert await client.message("pong", id=4)
    await asyncio.sleep(0.2)
    client.send(type="ping", id=20, t=0)
    await client.message("pong", id=20)


@pytest.mark.parametrize("fmt", [1, 4], ids=["PLI", "FIR"])
async def test_a_keyframe_request_reaches_the_encoder(stage: Stage, fmt: int) -> None:
    """PLI names the stream in its header, FIR in its body; both make the next frame a keyframe."""
    client = Client()
    peer = await stage.join(client)
    watcher = stage.live.broadcast.subscribe("VP8")
    await stage.live.publish(2)
    await asyncio.sleep(0.55)
    sender = peer._link.connection.getSenders()[0]
    body = sender._ssrc.to_bytes(4, "big") + bytes(4)
    packet = RtcpPsfbPacket(fmt, 1, sender._ssrc if fmt == 1 else 0, b"" if fmt == 1 else body)
    await client.receiver.transport._send_rtp(bytes(packet))
    await asyncio.sleep(0.05)
    await stage.live.publish(2)
    keyframes = [(await watcher.next()).is_keyframe for _ in range(4)]
    assert keyframes == [True, False, True, False]


async def test_reports_of_loss_lower_the_rate_and_low_estimates_do_not(stage: Stage) -> None:
    """A REMB is noted and lowers nothing; loss in a receiver report lowers the rate."""
    client = Client()
    peer = await stage.join(client)
    await stage.live.publish(2)
    control = stage.live.broadcast._control
    sender = peer._link.connection.getSenders()[0]
    await asyncio.sleep(1.05)
    remb = RtcpPsfbPacket(15, 1, 0, pack_remb_fci(400_000, [sender._ssrc]))
    await client.receiver.transport._send_rtp(bytes(remb))
    await asyncio.sleep(0.05)
    assert control.target == 1000
    assert [link.estimate for link in control._links.values()] == [400]
    ssrc = sender._ssrc.to_bytes(4, "big")
    lossy = b"\x81\xc9\x00\x07" + bytes(4) + ssrc + b"\x80" + bytes(19)
    await client.receiver.transport._send_rtp(lossy)
    await asyncio.sleep(0.05)
    assert control.target == 750


async def test_a_closed_connection_leaves_the_stream(stage: Stage) -> None:
    """When the client closes, the peer is closed and the stream is told, also in the middle of an upload."""
    client = Client()
    peer = await stage.join(client)
    client.send(type="upload_image", id=1, size=100, mime="image/png", sha256="0" * 64)
    await client.close()
    async with asyncio.timeout(5):
        await stage.live.left.wait()
        await peer.close()
    assert stage.closed == [peer]
    assert stage.live.present == []
    await stage.live.publish(1)


async def test_a_closed_channel_leaves_the_video_going(stage: Stage) -> None:
    """A channel closed in mid-upload drops the upload; frames go on, and a new channel is served."""
    client = Client()
    await stage.join(client)
    client.send(type="upload_image", id=1, size=100, mime="image/png", sha256="0" * 64)
    await stage.live.heard(1)
    assert client.channel is not None
    client.channel.close()
    await stage.live.publish(4)
    await client.wait(lambda: len(client.frames) >= 3)
    opened = asyncio.Event()
    again = client.connection.createDataChannel("control")
    again.on("open", opened.set)
    again.on("message", client._on_message)
    async with asyncio.timeout(5):
        await opened.wait()
    again.send('{"type": "ping", "id": 2, "t": 0}')
    await client.message("pong", id=2)
    assert stage.live.failed == [(1, "upload_timeout")]
    names = [task.get_name() for task in asyncio.all_tasks()]
    assert names.count(f"control-{stage.live.id}") == 1


async def test_a_channel_closed_while_its_picture_is_decoded_gives_it_up(stage: Stage) -> None:
    """The upload's turn is settled, or later replies would wait for it for ever."""
    client = Client()
    await stage.join(client)
    stage.live.decoding.clear()
    digest = hashlib.sha256(b"0123456789").hexdigest()
    client.send(type="upload_image", id=1, size=10, mime="image/png", sha256=digest)
    assert client.channel is not None
    client.channel.send(b"0123456789")
    client.send(type="ping", id=2, t=0)
    await client.message("pong")
    client.channel.close()
    await stage.live.publish(6)
    assert stage.live.failed == [(1, "upload_timeout")]


async def test_goodbye_arrives_before_the_end(stage: Stage) -> None:
    """The client hears why, then the connection closes; messages that waited for video come first."""
    client = Client()
    peer = await stage.join(client)
    client.send(type="set_prompt", id=1, prompt="waits")
    client.send(type="ping", id=2, t=0)
    await stage.live.heard(2)
    for number in range(300):
        peer.send({"type": "filler", "number": number, "text": "x" * 1000})
    peer.goodbye("server_shutdown")
    peer.goodbye("again")
    await client.message("goodbye", reason="server_shutdown")
    types = [message["type"] for message in client.messages]
    assert types == ["prompt_applied", "pong", *["filler"] * 300, "goodbye"]
    async with asyncio.timeout(5):
        await peer.close()
    assert stage.closed == [peer]


async def test_who_does_not_connect_in_time_is_dropped(stage: Stage) -> None:
    """An answered offer whose client never comes costs the stream nothing for long."""
    client = Client()
    peer = stage.answer_later(PeerSettings(SETTINGS.configure, 0.1, SETTINGS.channel))
    await peer.accept(read_offer(await client.offer()))
    assert stage.live.present == [peer]
    async with asyncio.timeout(5):
        await stage.live.left.wait()
    await client.close()
    assert stage.live.present == []


async def test_messages_to_a_closed_peer_are_dropped(stage: Stage) -> None:
    """The stream may send at any time; nothing is raised."""
    peer = stage.answer_later(SETTINGS)
    message: dict[str, Any] = {"type": "state"}
    peer.send(message)
    peer.send_at(message, 0)
    await peer.close()
    peer.send(message)
    peer.goodbye("late")
    await peer.close()
