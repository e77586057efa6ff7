"""The wire contract's viewers: who watches by WHEP, and what becomes of them, by a client written from that page."""

import asyncio
import itertools
import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiortc import RTCSessionDescription

from tests.contract import STEP, Answer, Peer, Server, directing, http, picture

SDP = {"Content-Type": "application/sdp"}
FRAGMENT = {"Content-Type": "application/trickle-ice-sdpfrag"}
SOON_S = 6.0
"""In which who is gone is noticed."""


class Viewer(Peer):
    """Somebody who watches a stream."""

    def __init__(self, server: Server, stream: Peer, codecs: tuple[str, ...] = ("VP8", "H264")) -> None:
        super().__init__(server, codecs, channel=False)
        self.endpoint = server.url + stream.answer["whep_url"]
        self.session = ""

    async def post(self, audio: bool = False) -> Answer:
        """Post an offer."""
        if audio:
            self.connection.addTransceiver("audio", direction="recvonly")
        return await http("POST", self.endpoint, data=await self.offer(), headers=SDP)

    async def watch(self, audio: bool = False) -> Answer:
        """Connect, and wait for the first frame."""
        answer = await self.post(audio)
        assert answer.status == 201, answer.body
        assert answer.headers["Content-Type"] == "application/sdp"
        assert int(answer.headers["Content-Length"]) == len(answer.body)
        self.session = self.server.url + answer.headers["Location"]
        await self.connection.setRemoteDescription(RTCSessionDescription(answer.body.decode(), "answer"))
        await self.next_frame()
        return answer

    def vanish(self) -> None:
        """Be gone without a word, like a process that was killed."""
        for protocol in self.receiver.transport.transport._connection._protocols:
            protocol.transport.abort()


async def until(holds: Callable[[], Awaitable[Any]], seconds: float) -> None:
    """Ask again and again until the server says so."""
    async with asyncio.timeout(seconds):
        while True:
            if await holds():
                return
            await asyncio.sleep(0.1)


async def counts(peer: Peer, key: str, count: int, seconds: float = SOON_S) -> None:
    """Wait until the stream has so many directors or viewers."""

    async def counted() -> bool:
        return (await http("GET", peer.stream)).json[key] == count

    await until(counted, seconds)


@pytest.mark.parametrize("codecs", [("VP8",), ("H264",), ("VP8", "H264"), ("H264", "VP8")], ids="+".join)
async def test_a_viewer_begins_with_a_keyframe(server: Server, codecs: tuple[str, ...]) -> None:
    """Whoever comes late sees the picture from its first packet on; the director sees nothing of it but the count."""
    async with directing(server) as peer:
        await peer.live(picture(60))
        await peer.next_frame(8)
        viewer = Viewer(server, peer, codecs)
        answer = await viewer.watch()
        assert viewer.timestamps[0] == viewer.keyframes[0]
        section = answer.body.decode().split("m=video")[1]
        assert tuple(dict.fromkeys(re.findall(r"a=rtpmap:\d+ (VP8|H264)/90000", section))) == codecs
        await viewer.until(lambda: len(viewer.pictures) >= 8)
        await peer.until(lambda: any(m["type"] == "stats" and m["viewers"] == 1 for m in peer.messages))
        assert (await http("GET", peer.stream)).json["viewers"] == 1
        assert (await http("DELETE", viewer.session)).status == 200
        assert (await http("GET", peer.stream)).json["viewers"] == 0
        await viewer.close(delete=False)


async def test_a_viewer_of_a_frozen_picture(server: Server) -> None:
    """Paused, or stopped after it was live: the frame on air is there at once."""
    async with directing(server) as peer:
        await peer.live(picture(60))
        await peer.next_frame(4)
        for command, reply in (("pause", "paused"), ("stop", "stopped")):
            await peer.ask(command, reply)
            viewer = Viewer(server, peer)
            await viewer.watch()
            assert viewer.timestamps[0] == viewer.keyframes[0]
            await viewer.close(delete=False)


async def test_no_video_yet(server: Server) -> None:
    """409 with ``Retry-After`` until the stream has begun; then the same offer is taken."""
    async with directing(server) as peer:
        viewer = Viewer(server, peer)
        answer = await viewer.post()
        answer.is_error(409, answer.json["error"]["code"])
        assert int(answer.headers["Retry-After"]) >= 1
        await peer.live()
        assert (await viewer.post()).status == 201
        await viewer.close(delete=False)


async def test_refusals(server: Server) -> None:
    """400, 404, 415, 422, each in the error's shape, and none of them counts."""
    async with directing(server) as peer:
        await peer.live()
        viewer = Viewer(server, peer)
        offer, url = await viewer.offer(), viewer.endpoint
        unknown = f"{server.url}/whep/nosuchstream"
        for body in (b"", b"garbage", b"\xff\xfe", b'{"type": "offer"}', offer[: len(offer) // 2].encode()):
            answer = await http("POST", url, data=body, headers=SDP)
            answer.is_error(400, answer.json["error"]["code"])
        (await http("POST", unknown, data=offer, headers=SDP)).is_error(404, "not_found")
        wrong = await http("POST", url, json={"type": "offer", "sdp": offer})
        wrong.is_error(415, wrong.json["error"]["code"])
        assert wrong.headers["Accept-Post"] == "application/sdp"
        for sdp in (offer.replace("a=recvonly", "a=sendonly"), re.sub("VP8|H264", "AV1", offer)):
            answer = await http("POST", url, data=sdp, headers=SDP)
            answer.is_error(422, answer.json["error"]["code"])
        assert (await http("GET", peer.stream)).json["viewers"] == 0
        await viewer.close(delete=False)


async def test_sessions_over_http(server: Server) -> None:
    """OPTIONS, GET and PATCH of a session; an ICE restart is refused, and it plays on."""
    async with directing(server) as peer:
        await peer.live()
        viewer = Viewer(server, peer)
        answer = await viewer.watch(audio=True)
        assert answer.body.count(b"a=sendonly") == answer.body.count(b"a=rtcp-mux-only") == 2
        assert re.search(rb"a=rtpmap:\d+ opus/48000/2", answer.body)
        for url in (viewer.endpoint, viewer.session):
            assert 200 <= (await http("OPTIONS", url)).status < 300
            assert 200 <= (await http("GET", url)).status < 300
        assert (await http("OPTIONS", viewer.endpoint)).headers["Accept-Post"] == "application/sdp"
        line = "a=candidate:1 1 udp 2122260223 192.0.2.7 50000 typ host\r\n"
        hidden = line.replace("192.0.2.7", "0b1c6f2e-9d7e-4f7c-8a2f-0a4d2b6a4c11.local")
        patched = await http("PATCH", viewer.session, data=line + hidden, headers=FRAGMENT)
        assert (patched.status, patched.body) == (204, b"")
        restart = f"a=ice-ufrag:anew\r\na=ice-pwd:{'p' * 24}\r\n{line}"
        refused = await http("PATCH", viewer.session, data=restart, headers=FRAGMENT | {"If-Match": "*"})
        refused.is_error(422, refused.json["error"]["code"])
        refused = await http("PATCH", viewer.session, data=line, headers=SDP)
        refused.is_error(415, refused.json["error"]["code"])
        await viewer.next_frame(8)
        assert (await http("DELETE", viewer.session)).status == 200
        (await http("DELETE", viewer.session)).is_error(404, "not_found")
        (await http("PATCH", viewer.session, data=line, headers=FRAGMENT)).is_error(404, "not_found")
        await viewer.close(delete=False)


def steps(peer: Peer) -> str:
    """Give the steps between its timestamps, in slots, as text."""
    slots = [(b - a) % 2**32 / STEP for a, b in itertools.pairwise(peer.timestamps)]
    return " ".join(f"{count:g}" for count in slots)


async def test_everyone_sees_the_same_frames(server: Server) -> None:
    """Five viewers and the director get every frame, evenly; who comes does not make the others miss one."""
    async with directing(server) as peer:
        await peer.live()
        viewers = [Viewer(server, peer, codecs) for codecs in (("VP8",), ("H264",)) * 2]
        for viewer in viewers:
            await viewer.watch()
        await asyncio.gather(*(one.next_frame(16) for one in (peer, *viewers)))
        taken = [steps(viewer) for viewer in viewers]
        await peer.next_frame(4)
        # A loaded machine may hold a frame, for everyone alike: a step then is a multiple.
        assert all(of_viewer in steps(peer) for of_viewer in taken)
        await asyncio.gather(*(viewer.close(delete=False) for viewer in viewers))
        await counts(peer, "viewers", 0, 2)


async def test_who_vanishes_is_noticed(server: Server) -> None:
    """A viewer and a director that say nothing any more are gone within about 5 s; the others see no difference."""
    async with directing(server) as peer:
        await peer.live()
        viewer, other = Viewer(server, peer), Peer(server)
        await viewer.watch()
        await other.connect(stream=peer.answer["stream"], control_token=peer.answer["control_token"])
        await counts(peer, "directors", 2)
        viewer.vanish()
        for protocol in other.receiver.transport.transport._connection._protocols:
            protocol.transport.abort()
        await asyncio.gather(counts(peer, "viewers", 0), counts(peer, "directors", 1))
        (await http("DELETE", viewer.session)).is_error(404, "not_found")
        await peer.next_frame(8)
        await viewer.close(delete=False)
        await other.close(delete=False)


async def test_a_stream_lives_as_long_as_somebody_watches(server: Server) -> None:
    """The director leaves, and the viewer sees on; it leaves too, and the stream is gone."""
    peer = Peer(server)
    await peer.connect()
    await peer.live()
    viewer = Viewer(server, peer)
    await viewer.watch()
    await peer.close(delete=False)
    await counts(peer, "directors", 0)
    await asyncio.sleep(1.5)  # the server's grace is one second
    await viewer.next_frame(8)
    await viewer.close(delete=False)

    async def gone() -> bool:
        return (await http("GET", peer.stream)).status == 404

    await until(gone, 5)


async def test_the_end_of_a_stream_ends_its_viewers(server: Server) -> None:
    """DELETE of the stream closes their connections; their sessions are gone with it."""
    async with directing(server) as peer:
        await peer.live()
        viewer = Viewer(server, peer)
        await viewer.watch()
        closed = asyncio.Event()
        viewer.connection.on("connectionstatechange", closed.set)
        assert (await http("DELETE", peer.stream, headers=peer.bearer)).status == 204
        async with asyncio.timeout(5):
            await closed.wait()
        assert viewer.connection.connectionState == "closed"
        (await http("POST", viewer.endpoint, data="v=0", headers=SDP)).is_error(404, "not_found")
        (await http("DELETE", viewer.session)).is_error(404, "not_found")
        await viewer.close(delete=False)
