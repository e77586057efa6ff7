// @ts-check
/** The viewer's page gets the video, comes back to it, and asks no more often than it is told. */

import { Viewer, readLinks } from "../../web/whep.js";
import { equal, test } from "./harness.mjs";

const HANGS = 0;
const OFFER = "v=0 offer\r\na=ice-ufrag:u\r\na=ice-pwd:p\r\n";
const ENDPOINT = new URL("http://server.example/whep/abc");

class FakePeerConnection extends EventTarget {
  static all = /** @type {FakePeerConnection[]} */ ([]);
  static connects = true;
  connectionState = "new";
  iceConnectionState = "new";
  localDescription = /** @type {any} */ (null);
  remoteDescription = /** @type {any} */ (null);
  configuration = /** @type {any} */ ({});
  closed = false;
  bytes = 0;
  answer = "";
  constructor(/** @type {any} */ configuration) {
    super();
    this.configuration = configuration;
    FakePeerConnection.all.push(this);
  }
  addTransceiver(/** @type {string} */ kind, /** @type {any} */ { direction }) {
    equal([kind, direction], ["video", "recvonly"]);
    const getStats = async () => new Map([["in", { type: "inbound-rtp", bytesReceived: this.bytes }]]);
    return { receiver: { track: {}, getStats, jitterBufferTarget: null } };
  }
  async createOffer() {
    return { type: "offer", sdp: OFFER };
  }
  getConfiguration() {
    return this.configuration;
  }
  setConfiguration(/** @type {any} */ configuration) {
    equal(this.localDescription, null, "before it gathers:");
    this.configuration = configuration;
  }
  async setLocalDescription(/** @type {any} */ description) {
    this.localDescription = description;
  }
  async setRemoteDescription(/** @type {any} */ description) {
    this.remoteDescription = description;
    this.answer = description.sdp;
    if (FakePeerConnection.connects) this.become("connected");
  }
  find(/** @type {string} */ candidate) {
    const event = Object.assign(new Event("icecandidate"), { candidate: { candidate, sdpMid: "0", type: "host" } });
    this.dispatchEvent(event);
  }
  become(/** @type {string} */ state) {
    this.connectionState = state;
    this.dispatchEvent(new Event("connectionstatechange"));
  }
  close() {
    this.closed = true;
  }
}

/** Runs a viewer before a server that gives these answers; time stands still, and waits are noted. */
async function setUp(/** @type {{ status: number, headers?: Record<string, string> }[]} */ answers) {
  const requests = /** @type {any[]} */ ([]);
  const seen = /** @type {string[]} */ ([]);
  const timers = /** @type {Map<number, { ms: number, call: () => void }>} */ (new Map());
  let numbers = 0;
  const book = (/** @type {() => void} */ call, /** @type {number} */ ms) => {
    numbers += 1;
    timers.set(numbers, { ms, call });
    return numbers;
  };
  const cancel = (/** @type {number} */ number) => void timers.delete(number);
  const { RTCPeerConnection, MediaStream, fetch, setTimeout, clearTimeout, setInterval, clearInterval } = globalThis;
  const saved = { RTCPeerConnection, MediaStream, fetch, setTimeout, clearTimeout, setInterval, clearInterval };
  FakePeerConnection.all = [];
  FakePeerConnection.connects = true;
  Object.assign(globalThis, {
    RTCPeerConnection: FakePeerConnection,
    MediaStream: class {},
    fetch: async (/** @type {any} */ url, /** @type {any} */ { method, body, headers, keepalive, signal }) => {
      requests.push({ method, url: String(url), body, type: headers?.["Content-Type"], keepalive });
      if (method === "DELETE") return new Response(null, { status: 200 });
      const { status, headers: extra } = answers.shift() ?? { status: 500 };
      if (status === HANGS) await new Promise((_, fail) => signal.addEventListener("abort", () => fail(signal.reason)));
      return new Response("v=0 answer", { status, headers: extra });
    },
    setTimeout: book,
    clearTimeout: cancel,
    setInterval: book,
    clearInterval: cancel,
  });
  const reasons = /** @type {string[]} */ ([]);
  const viewer = new Viewer(ENDPOINT, {
    onVideo: () => void seen.push("video"),
    onGone: () => void seen.push("gone"),
    onFailure: (reason) => void reasons.push(reason),
  });
  // The timers are taken, so whoever waits waits for promises alone.
  const rest = async () => {
    for (let i = 0; i < 60; i += 1) await null;
    await new Promise((resolve) => saved.setTimeout.call(globalThis, resolve));
  };
  void viewer.run();
  await rest();
  return {
    viewer,
    requests,
    seen,
    reasons,
    timers,
    rest,
    get pc() {
      return /** @type {FakePeerConnection} */ (FakePeerConnection.all.at(-1));
    },
    get posts() {
      return requests.filter(({ method }) => method === "POST").length;
    },
    /** Lets the timers of this many milliseconds or fewer go off. */
    async pass(/** @type {number} */ ms) {
      for (const [, { ms: due, call }] of [...timers].filter(([, timer]) => timer.ms <= ms)) if (due <= ms) call();
      await rest();
    },
    async end() {
      viewer.close();
      await rest();
      Object.assign(globalThis, saved);
    },
  };
}

const created = { status: 201, headers: { Location: "/whep/abc/secret" } };

test("an offer is posted, and the answer plays", async () => {
  const page = await setUp([created]);
  equal(page.requests, [{ method: "POST", url: ENDPOINT.href, body: OFFER, type: "application/sdp" }]);
  equal(page.pc.answer, "v=0 answer");
  equal(page.seen, ["video"]);
  await page.end();
});

test("who leaves deletes its session, though the page is going", async () => {
  const page = await setUp([created]);
  page.viewer.close();
  equal(page.requests.at(-1), { method: "DELETE", url: "http://server.example/whep/abc/secret", keepalive: true });
  equal(page.pc.closed, true);
  await page.rest();
  await page.pass(60_000);
  equal(page.posts, 1);
  await page.end();
});

test("a lost connection is made again", async () => {
  const page = await setUp([created, created]);
  page.pc.become("failed");
  await page.rest();
  equal(page.posts, 1, "not at once");
  await page.pass(650);
  equal(page.posts, 2);
  equal(page.seen, ["video", "video"]);
  equal(FakePeerConnection.all.map(({ closed }) => closed), [true, false]);
  await page.end();
});

test("a server that falls silent is left, one that sends is not", async () => {
  const page = await setUp([created, created]);
  for (let second = 0; second < 20; second += 1) {
    page.pc.bytes += 100;
    await page.pass(1_000);
  }
  equal(FakePeerConnection.all.length, 1);
  for (let second = 0; second < 6; second += 1) await page.pass(1_000);
  equal(FakePeerConnection.all[0].closed, true);
  await page.end();
});

test("a stream without video is asked when the server says, and it is no failure", async () => {
  const wait = { status: 409, headers: { "Retry-After": "2" } };
  const page = await setUp([wait, wait, wait, created]);
  for (let round = 1; round <= 3; round += 1) {
    const [{ ms }] = [...page.timers.values()];
    equal(ms >= 1_500 && ms <= 2_500, true, `waits ${ms}`);
    equal(page.posts, round);
    await page.pass(2_500);
  }
  equal(page.seen, ["video"]);
  await page.end();
});

test("waits grow to ten seconds and no further", async () => {
  const page = await setUp([]);
  const waits = [];
  for (let round = 0; round < 8; round += 1) {
    waits.push([...page.timers.values()][0].ms);
    await page.pass(60_000);
  }
  waits.forEach((ms, round) => {
    const middle = Math.min(10_000, 500 * 2 ** round);
    equal(ms >= 0.75 * middle && ms <= 1.25 * middle, true, `wait ${round} is ${ms}`);
  });
  await page.end();
});

test("a wait can be cut short", async () => {
  const page = await setUp([{ status: 503 }, created]);
  page.viewer.retryNow();
  await page.rest();
  equal(page.seen, ["video"]);
  await page.end();
});

test("a stream that is not there is told of, and looked for again", async () => {
  const page = await setUp([{ status: 404 }, created]);
  equal(page.seen, ["gone"]);
  await page.pass(60_000);
  equal(page.seen, ["gone", "video"]);
  await page.end();
});

test("a server that does not answer is given up in time", async () => {
  const page = await setUp([{ status: HANGS }, created]);
  const [{ ms }] = [...page.timers.values()];
  equal(ms, 10_000);
  await page.pass(10_000);
  equal(page.pc.closed, true);
  await page.pass(650);
  equal(page.seen, ["video"]);
  await page.end();
});

const LINK =
  '<stun:stun.example.org>; rel="ice-server", <turn:turn.example.org?transport=udp>; rel="ice-server"; ' +
  'username="1:a"; credential="p,a\\"ss"; credential-type="password", <urn:other>; rel=ext';

test("the servers of the Link header are used before anything is gathered", async () => {
  const page = await setUp([{ status: 201, headers: { ...created.headers, Link: LINK } }]);
  const iceServers = [
    { urls: "stun:stun.example.org" },
    { urls: "turn:turn.example.org?transport=udp", username: "1:a", credential: 'p,a"ss' },
  ];
  equal(page.pc.configuration, { bundlePolicy: "max-bundle", iceServers });
  equal(page.seen, ["video"]);
  await page.end();
});

test("what is no ICE server in a Link header is left out", () => {
  equal(["", "garbage", '<a>; rel="next"', "<stun:a>;rel=ice-server"].map(readLinks), [[], [], [], [{ urls: "stun:a" }]]);
});

test("candidates are told to the session as they are found, until it is connected", async () => {
  const page = await setUp([{ status: 503 }, created]);
  FakePeerConnection.connects = false;
  page.viewer.retryNow();
  await page.rest();
  page.pc.find("candidate:1 1 udp 1 10.0.0.1 9 typ host");
  page.pc.find("candidate:2 1 udp 1 10.0.0.2 9 typ relay");
  await page.rest();
  const patches = page.requests.filter(({ method }) => method === "PATCH");
  equal(patches.map(({ url, type }) => [url, type]), [
    ["http://server.example/whep/abc/secret", "application/trickle-ice-sdpfrag"],
    ["http://server.example/whep/abc/secret", "application/trickle-ice-sdpfrag"],
  ]);
  equal(patches[0].body.split("\r\n"), [
    "a=ice-ufrag:u",
    "a=ice-pwd:p",
    "m=video 9 UDP/TLS/RTP/SAVPF 0",
    "a=mid:0",
    "a=candidate:1 1 udp 1 10.0.0.1 9 typ host",
    "",
  ]);
  equal(patches[1].body.includes("10.0.0.2"), true);
  page.pc.become("connected");
  await page.rest();
  page.pc.find("candidate:3 1 udp 1 10.0.0.3 9 typ host");
  await page.rest();
  equal(page.requests.filter(({ method }) => method === "PATCH").length, 2);
  await page.end();
});

test("why there is no video is told: an answer that does not come, a connection that does not, one that is lost", async () => {
  const page = await setUp([{ status: HANGS }, created, created]);
  await page.pass(10_000);
  FakePeerConnection.connects = false;
  await page.pass(650);
  page.pc.iceConnectionState = "checking";
  await page.pass(10_000);
  FakePeerConnection.connects = true;
  await page.pass(60_000);
  page.pc.become("failed");
  await page.rest();
  const beginnings = ["The server took too long to answer.", "The server offers no address", "The connection was lost."];
  equal(page.reasons.map((reason, at) => reason.startsWith(beginnings[at])), [true, true, true], String(page.reasons));
  await page.end();
});
