// @ts-check
/** The viewer's page gets the video, comes back to it, and asks no more often than it is told. */

import { Viewer } from "../../web/whep.js";
import { equal, test } from "./harness.mjs";

const HANGS = 0;
const ENDPOINT = new URL("http://server.example/whep/abc");

class FakePeerConnection extends EventTarget {
  static all = /** @type {FakePeerConnection[]} */ ([]);
  connectionState = "new";
  localDescription = { type: "offer", sdp: "v=0 offer" };
  closed = false;
  bytes = 0;
  answer = "";
  constructor() {
    super();
    FakePeerConnection.all.push(this);
  }
  addTransceiver(/** @type {string} */ kind, /** @type {any} */ { direction }) {
    equal([kind, direction], ["video", "recvonly"]);
    const getStats = async () => new Map([["in", { type: "inbound-rtp", bytesReceived: this.bytes }]]);
    return { receiver: { track: {}, getStats, jitterBufferTarget: null } };
  }
  async setLocalDescription() {}
  async setRemoteDescription(/** @type {any} */ { sdp }) {
    this.answer = sdp;
    this.become("connected");
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
  const viewer = new Viewer(ENDPOINT, { onVideo: () => void seen.push("video"), onGone: () => void seen.push("gone") });
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
  equal(page.requests, [{ method: "POST", url: ENDPOINT.href, body: "v=0 offer", type: "application/sdp" }]);
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
