"""GStreamer watches or publishes by webrtcbin: a small program for the system's Python, and a recipe.

    python3 gstreamer_peer.py watch http://127.0.0.1:8080/whep/STREAM
    python3 gstreamer_peer.py publish http://127.0.0.1:8080/whip/STREAM CONTROL_TOKEN

It needs python3-gst-1.0, gir1.2-gst-plugins-bad-1.0, gstreamer1.0-nice and the plugins base, good, bad and ugly.
GStreamer 1.24 with its Rust plugins has elements for both, whepsrc and whipclientsink.
"""

# pyright: reportMissingImports=false, reportMissingModuleSource=false
import argparse
import json
import sys
import urllib.parse
import urllib.request
from typing import Any

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402

ENCODERS = {
    "VP8": "vp8enc deadline=1 keyframe-max-dist=60 ! rtpvp8pay",
    "H264": "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=60 ! video/x-h264,profile=baseline "
    "! rtph264pay config-interval=-1 aggregate-mode=zero-latency",
}
DECODERS = {"VP8": "rtpvp8depay ! vp8dec", "H264": "rtph264depay ! h264parse ! openh264dec"}
TEST_VIDEO = "videotestsrc is-live=true pattern=ball ! video/x-raw,width=320,height=240,framerate=15/1"


class Peer:
    """One webrtcbin, its pipeline and its session over HTTP."""

    def __init__(self, url: str, token: str, codec: str, frames: int) -> None:
        self.url, self.token, self.codec, self.frames = url, token, codec, frames
        self.session = ""
        self.seen = 0
        self.loop = GLib.MainLoop()
        self.pipeline: Any = None
        self.webrtc: Any = None

    def publish(self) -> None:
        """Send a test picture."""
        payload = f"application/x-rtp,media=video,encoding-name={self.codec},payload=96"
        self._begin(f"{TEST_VIDEO} ! videoconvert ! {ENCODERS[self.codec]} ! {payload} ! webrtc.")
        self.webrtc.connect("on-negotiation-needed", self._offer)
        self.webrtc.emit("get-transceiver", 0).props.direction = GstWebRTC.WebRTCRTPTransceiverDirection.SENDONLY
        self.pipeline.set_state(Gst.State.PLAYING)
        self._run()

    def watch(self) -> None:
        """Receive until so many frames have come; 0 is for ever."""
        sink = "fakesink name=end signal-handoffs=true" if self.frames else "videoconvert ! autovideosink"
        self._begin(f"queue name=shown ! {DECODERS[self.codec]} ! {sink}")
        if self.frames:
            self.pipeline.get_by_name("end").connect("handoff", self._count)
        caps = f"application/x-rtp,media=video,encoding-name={self.codec},clock-rate=90000,payload=96"
        if self.codec == "H264":
            caps += ",packetization-mode=(string)1,profile-level-id=(string)42e01f"
        receive = GstWebRTC.WebRTCRTPTransceiverDirection.RECVONLY
        self.webrtc.emit("add-transceiver", receive, Gst.Caps.from_string(caps))
        self.webrtc.connect("pad-added", self._show)
        self.pipeline.set_state(Gst.State.PLAYING)
        self._offer(self.webrtc)
        self._run()

    def _begin(self, others: str) -> None:
        self.pipeline = Gst.parse_launch(f"webrtcbin name=webrtc bundle-policy=max-bundle {others}")
        self.webrtc = self.pipeline.get_by_name("webrtc")
        bus = self.pipeline.get_bus()
        bus.add_signal_watch()
        bus.connect("message::error", self._fail)
        self.webrtc.connect("notify::ice-gathering-state", self._post)

    def _run(self) -> None:
        try:
            self.loop.run()
        finally:
            if self.session:
                self._http("DELETE", self.session)
            self.pipeline.set_state(Gst.State.NULL)

    def _offer(self, webrtc: Any) -> None:
        webrtc.emit("create-offer", None, Gst.Promise.new_with_change_func(self._describe))

    def _describe(self, promise: Any) -> None:
        reply = promise.get_reply()  # owns the offer
        self.webrtc.emit("set-local-description", reply.get_value("offer"), Gst.Promise.new())

    def _post(self, webrtc: Any, _: Any) -> None:
        if webrtc.props.ice_gathering_state == GstWebRTC.WebRTCICEGatheringState.COMPLETE and not self.session:
            # Not here: this is one of webrtcbin's own threads.
            GLib.idle_add(self._exchange)

    def _exchange(self) -> bool:
        response = self._http("POST", self.url, self.webrtc.props.local_description.sdp.as_text().encode())
        self.session = urllib.parse.urljoin(self.url, response.headers["Location"])
        _, sdp = GstSdp.SDPMessage.new_from_text(response.read().decode())
        answer = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, sdp)
        self.webrtc.emit("set-remote-description", answer, Gst.Promise.new())
        print(json.dumps({"session": self.session}), flush=True)
        return False

    def _http(self, method: str, url: str, body: bytes | None = None) -> Any:
        headers = {"Content-Type": "application/sdp"} if body else {}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        return urllib.request.urlopen(urllib.request.Request(url, body, headers, method=method), timeout=10)

    def _show(self, _: Any, pad: Any) -> None:
        pad.link(self.pipeline.get_by_name("shown").get_static_pad("sink"))

    def _count(self, _: Any, buffer: Any, pad: Any) -> None:
        self.seen += 1
        if self.seen == self.frames:
            structure = pad.get_current_caps().get_structure(0)
            size = [structure.get_int(name).value for name in ("width", "height")]
            print(json.dumps({"frames": self.seen, "size": size}), flush=True)
            GLib.idle_add(self.loop.quit)

    def _fail(self, _: Any, message: Any) -> None:
        print(message.parse_error(), file=sys.stderr)
        self.loop.quit()


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("watch", "publish"))
    parser.add_argument("url")
    parser.add_argument("token", nargs="?", default="")
    parser.add_argument("--codec", choices=ENCODERS, default="VP8")
    parser.add_argument("--frames", type=int, default=0, help="watch so many without a window, then end")
    arguments = parser.parse_args()
    Gst.init(None)
    peer = Peer(arguments.url, arguments.token, arguments.codec, arguments.frames)
    GLib.unix_signal_add(GLib.PRIORITY_DEFAULT, 2, peer.loop.quit)
    peer.watch() if arguments.what == "watch" else peer.publish()


if __name__ == "__main__":
    main()
