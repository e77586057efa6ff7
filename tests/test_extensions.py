"""The answer agrees to what the offer offers of what is sent, and to nothing else."""

from fractions import Fraction

import pytest
from aiortc import RTCConfiguration, RTCPeerConnection

from stream.broadcast import Broadcast
from stream.congestion import BitrateBounds
from stream.extensions import PLAYOUT_DELAY, TRANSPORT_CC
from stream.link import LinkEvents, LinkSettings, VideoLink
from stream.sdp import read_offer

EXTENSION_LINES = {TRANSPORT_CC: f"a=extmap:7 {TRANSPORT_CC}", PLAYOUT_DELAY: f"a=extmap:9 {PLAYOUT_DELAY}"}


async def answer_to(extensions: tuple[str, ...], feedback: bool) -> tuple[str, int | None]:
    """Answer aiortc's offer with more in it; gives the answer, and the playout delay's id."""
    settings = LinkSettings(lambda: RTCConfiguration([]), 10)
    broadcast = Broadcast("test", lambda: 0, Fraction(16), BitrateBounds(1000, 300, 4000))
    link = VideoLink(broadcast, settings, LinkEvents(print))
    peer = RTCPeerConnection(RTCConfiguration([]))
    peer.addTransceiver("video", direction="recvonly")
    await peer.setLocalDescription(await peer.createOffer())
    lines = peer.localDescription.sdp.splitlines()
    at = next(at for at, line in enumerate(lines) if line.startswith("a=extmap:"))
    lines[at:at] = [EXTENSION_LINES[uri] for uri in extensions]
    if feedback:
        codecs = [line.split(":")[1].split()[0] for line in lines if line.startswith("a=rtpmap:") and "rtx" not in line]
        lines += [f"a=rtcp-fb:{codec} transport-cc" for codec in codecs]
    answer = await link.answer(read_offer("".join(f"{line}\r\n" for line in lines)))
    assert link._video is not None
    playout_delay_id = link._video.playout_delay_id
    await link.close()
    await peer.close()
    await broadcast.close()
    return answer, playout_delay_id


async def test_what_is_offered_is_agreed_on_under_its_number() -> None:
    """Both extensions, and the feedback for video alone, not for its RTX."""
    answer, playout_delay_id = await answer_to((TRANSPORT_CC, PLAYOUT_DELAY), feedback=True)
    lines = answer.splitlines()
    assert playout_delay_id == 9
    assert all(lines.count(line) == 1 for line in EXTENSION_LINES.values())
    video = {line.split(":")[1].split()[0] for line in lines if line.startswith("a=rtpmap:") and "rtx" not in line}
    agreed = {line.split(":")[1].split()[0] for line in lines if line.endswith(" transport-cc")}
    assert agreed == video


@pytest.mark.parametrize(("extensions", "feedback"), [((), True), ((TRANSPORT_CC,), False), ((PLAYOUT_DELAY,), False)])
async def test_what_is_not_offered_is_not_sent(extensions: tuple[str, ...], feedback: bool) -> None:
    """Numbers without reports, or reports without numbers, are of no use."""
    answer, playout_delay_id = await answer_to(extensions, feedback)
    assert "transport-cc" not in answer
    assert TRANSPORT_CC not in answer
    assert (PLAYOUT_DELAY in answer) == (playout_delay_id is not None) == (PLAYOUT_DELAY in extensions)
