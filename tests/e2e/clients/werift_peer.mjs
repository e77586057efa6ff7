/**
 * A WebRTC stack that shares nothing with the server's: watches, or publishes what comes as RTP by UDP.
 *
 *     node werift_peer.mjs watch WHEP_URL VP8|H264 FRAMES
 *     node werift_peer.mjs publish WHIP_URL VP8|H264 TOKEN
 *
 * Prints a JSON line at each step. Neither decodes.
 */
import { createSocket } from "node:dgram";
import { MediaStreamTrack, RTCPeerConnection, useH264, useVP8 } from "werift";

const [what, url, codec, argument] = process.argv.slice(2);
const connection = new RTCPeerConnection({
  iceServers: [],
  iceAdditionalHostAddresses: ["127.0.0.1"],
  codecs: { video: [codec === "VP8" ? useVP8() : useH264()] },
});
const headers = what === "publish" ? { Authorization: `Bearer ${argument}` } : {};
let session = "";

const tell = (/** @type {object} */ news) => console.log(JSON.stringify(news));

async function connect() {
  await connection.setLocalDescription(await connection.createOffer());
  const response = await fetch(url, {
    method: "POST",
    headers: { ...headers, "Content-Type": "application/sdp" },
    body: connection.localDescription.sdp,
  });
  const body = await response.text();
  if (response.status !== 201) throw new Error(`${response.status} ${body}`);
  session = new URL(response.headers.get("Location"), url).href;
  await connection.setRemoteDescription({ type: "answer", sdp: body });
}

async function leave() {
  const { status } = await fetch(session, { method: "DELETE", headers });
  tell({ left: status });
  process.exit(0);
}

if (what === "watch") {
  const timestamps = new Set();
  connection.addTransceiver("video", { direction: "recvonly" }).onTrack.subscribe((track) =>
    track.onReceiveRtp.subscribe(({ header, payload }) => {
      timestamps.add(header.timestamp);
      if (timestamps.size === 1) tell({ first: payload.toString("hex", 0, 8) });
      if (header.marker && timestamps.size === Number(argument)) {
        tell({ timestamps: [...timestamps] });
        leave();
      }
    }),
  );
  await connect();
} else {
  const track = new MediaStreamTrack({ kind: "video" });
  connection.addTransceiver(track, { direction: "sendonly" });
  const source = createSocket("udp4").bind(0, "127.0.0.1", () => tell({ port: source.address().port }));
  source.once("message", connect);
  source.on("message", (packet) => connection.connectionState === "connected" && track.writeRtp(packet));
  process.on("SIGINT", leave);
}
