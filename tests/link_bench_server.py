"""The sending end of the link benchmark: a clip whose frames carry the time at which they were made, and its page."""

import asyncio
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from aiohttp import web

from pipeline.types import Pixels
from stream.broadcast import Broadcast
from stream.clock import VIDEO_CLOCK_HZ
from stream.congestion import BitrateBounds
from stream.ice import connection_configuration
from stream.link import LinkEvents, LinkSettings, VideoLink
from stream.sdp import read_offer
from stream.viewers_bench_sender import clip
from tests.udp_relay import Trouble, UdpRelay

FPS = Fraction(16)
CLOCK_BITS, BLOCK = 20, 16
PAGE = """<!doctype html><video muted autoplay playsinline></video><script>
const BITS = 20, BLOCK = 16;
const frames = [], stats = [];
const video = document.querySelector("video");
const context = Object.assign(document.createElement("canvas"), { width: BITS * BLOCK, height: BLOCK })
  .getContext("2d", { willReadFrequently: true });
const wall = () => performance.timeOrigin + performance.now();
function onFrame(now, metadata) {
  const at = wall();
  video.requestVideoFrameCallback(onFrame);
  context.drawImage(video, 0, 0, BITS * BLOCK, BLOCK, 0, 0, BITS * BLOCK, BLOCK);
  const pixels = context.getImageData(0, BLOCK / 2, BITS * BLOCK, 1).data;
  let code = 0;
  for (let bit = 0; bit < BITS; bit++) code = 2 * code + (pixels[4 * (bit * BLOCK + BLOCK / 2)] > 128 ? 1 : 0);
  frames.push({ at, code, presented: metadata.presentedFrames });
}
async function watch(codec, strip) {
  const pc = new RTCPeerConnection();
  const transceiver = pc.addTransceiver("video", { direction: "recvonly" });
  const { codecs } = RTCRtpReceiver.getCapabilities("video");
  transceiver.setCodecPreferences(codecs.filter(({ mimeType }) => [`video/${codec}`, "video/rtx"].includes(mimeType)));
  pc.ontrack = ({ track }) => { video.srcObject = new MediaStream([track]); };
  video.requestVideoFrameCallback(onFrame);
  await pc.setLocalDescription();
  while (pc.iceGatheringState !== "complete") await new Promise((done) => setTimeout(done, 20));
  let sdp = pc.localDescription.sdp;
  if (strip) sdp = sdp.split("\\r\\n").filter((line) => !line.startsWith("a=candidate")).join("\\r\\n");
  const answer = await (await fetch("/offer", { method: "POST", body: sdp })).text();
  await pc.setRemoteDescription({ type: "answer", sdp: answer });
  setInterval(async () => {
    for (const report of (await pc.getStats()).values()) {
      if (report.type === "inbound-rtp") stats.push({ at: wall(), ...report });
    }
  }, 250);
  return answer;
}
</script>"""


@dataclass(frozen=True, slots=True)
class Stream:
    """What is sent: kbit/s and how far from it, size, and what the path does to it, if anything."""

    bounds: BitrateBounds
    size: tuple[int, int]
    trouble: Trouble | None
    is_viewer: bool


def stamp(frame: Pixels, ms: int) -> Pixels:
    """Draw the low bits of a time in milliseconds into the frame's corner, the highest first."""
    stamped = frame.copy()
    for bit in range(CLOCK_BITS):
        value = 235 if ms >> (CLOCK_BITS - 1 - bit) & 1 else 20
        stamped[:BLOCK, bit * BLOCK : (bit + 1) * BLOCK] = value
    return stamped


class BenchServer:
    """One stream, its page, and whoever asks for it."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._pts = 0
        self.broadcast = Broadcast("bench", self._take_slot, FPS, stream.bounds)
        self._links: list[VideoLink] = []
        self._relays: list[UdpRelay] = []

    def _take_slot(self) -> int:
        self._pts += int(VIDEO_CLOCK_HZ / FPS)
        return self._pts

    async def run(self, port: int) -> None:
        """Serve and send until cancelled."""
        app = web.Application()
        app.router.add_get("/", self._page)
        app.router.add_post("/offer", self._offer)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "0.0.0.0", port).start()
        try:
            await self._pump(clip(self._stream.size))
        finally:
            await asyncio.gather(*(link.close() for link in self._links))
            for relay in self._relays:
                relay.close()
            await self.broadcast.close()
            await runner.cleanup()

    async def _pump(self, frames: Iterator[Pixels]) -> None:
        loop = asyncio.get_running_loop()
        at = loop.time()
        for number, frame in enumerate(frames):
            at += 1 / FPS
            await asyncio.sleep(max(0.0, at - loop.time()))
            ms = time.clock_gettime_ns(time.CLOCK_REALTIME) // 1_000_000
            await self.broadcast.publish(stamp(frame, ms), number, self._take_slot())

    async def _page(self, request: web.Request) -> web.Response:
        return web.Response(text=PAGE, content_type="text/html")

    async def _offer(self, request: web.Request) -> web.Response:
        settings = LinkSettings(lambda: connection_configuration([]), 20.0)
        link = VideoLink(self.broadcast, settings, LinkEvents(lambda reason: print("lost:", reason, flush=True)))
        self._links.append(link)
        answer = await link.answer(read_offer(await request.text()), self._stream.is_viewer)
        if self._stream.trouble is not None:
            answer = await self._through_relay(answer, self._stream.trouble)
        return web.Response(text=answer, content_type="application/sdp")

    async def _through_relay(self, answer: str, trouble: Trouble) -> str:
        """Leave the receiver one address to send to: the relay's."""
        candidates = re.findall(r"a=candidate:.*\r\n", answer)
        mine = next(line for line in candidates if " 127.0.0.1 " in line)
        relay = UdpRelay(("127.0.0.1", int(mine.split()[5])), trouble)
        self._relays.append(relay)
        parts = mine.split(" ")
        parts[5] = str(await relay.start())
        kept = "".join(line for line in answer.splitlines(keepends=True) if not line.startswith("a=candidate:"))
        return kept.replace("a=end-of-candidates", " ".join(parts).rstrip() + "\r\na=end-of-candidates")
