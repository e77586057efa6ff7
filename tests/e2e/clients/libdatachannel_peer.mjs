/**
 * Publishes as OBS does, by the library that OBS has its WHIP output from, what comes as RTP by UDP.
 *
 *     node libdatachannel_peer.mjs WHIP_URL TOKEN
 *
 * Like OBS it offers an audio track before the video, no candidates, and answers no request for a keyframe: what is
 * sent begins somewhere in the middle of a group of pictures. Prints a JSON line at each step.
 */
import { createSocket } from "node:dgram";
import ndc from "node-datachannel";

const [url, token] = process.argv.slice(2);
const SSRC = 42;
const headers = { Authorization: `Bearer ${token}` };
const connection = new ndc.PeerConnection("peer", {
  iceServers: [],
  bindAddress: "127.0.0.1",
  disableAutoNegotiation: true,
});
const audio = new ndc.Audio("0", "SendOnly");
audio.addOpusCodec(111);
audio.addSSRC(SSRC - 1, "obs", "obs", "obs-audio");
const video = new ndc.Video("1", "SendOnly");
video.addH264Codec(96, "profile-level-id=42e01f;packetization-mode=1;level-asymmetry-allowed=1");
video.addSSRC(SSRC, "obs", "obs", "obs-video");
const tracks = [connection.addTrack(audio), connection.addTrack(video)];
let session = "";

const tell = (/** @type {object} */ news) => console.log(JSON.stringify(news));

async function connect() {
  connection.setLocalDescription("offer");
  const offer = connection.localDescription().sdp.replace(/^a=(candidate|end-of-candidates).*\r\n/gm, "");
  const response = await fetch(url, {
    method: "POST",
    headers: { ...headers, "Content-Type": "application/sdp" },
    body: offer,
  });
  const body = await response.text();
  if (response.status !== 201) throw new Error(`${response.status} ${body}`);
  session = new URL(response.headers.get("Location"), url).href;
  connection.setRemoteDescription(body, "answer");
}

connection.onStateChange((state) => tell({ state }));
const source = createSocket("udp4").bind(0, "127.0.0.1", () => tell({ port: source.address().port }));
source.once("message", connect);
source.on("message", (packet) => tracks[1].isOpen() && tracks[1].sendMessageBinary(packet));
process.on("SIGINT", async () => {
  const { status } = await fetch(session, { method: "DELETE", headers });
  tell({ left: status });
  process.exit(0);
});
