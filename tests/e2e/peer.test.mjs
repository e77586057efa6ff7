// @ts-check
/** The page gets its stream, comes back to it, and says why when it can't. */

import { Director } from "../../web/peer.js";
import { equal, settle, test } from "./harness.mjs";

const CAPABILITIES = { model: "pocket", modes: ["i2v"] };

class FakeChannel extends EventTarget {
  readyState = "connecting";
  bufferedAmount = 0;
  bufferedAmountLowThreshold = 0;
  /** @type {any[]} */
  sent = [];
  send(/** @type {string} */ text) {
    this.sent.push(JSON.parse(text));
  }
  hear(/** @type {object} */ message) {
    this.dispatchEvent(new MessageEvent("message", { data: JSON.stringify(message) }));
  }
}

class FakePeerConnection extends EventTarget {
  static last = /** @type {any} */ (null);
  static answers = true;
  connectionState = "new";
  iceConnectionState = "new";
  iceGatheringState = "new";
  remoteDescription = /** @type {any} */ (null);
  localDescription = { type: "offer", sdp: "v=0" };
  channel = new FakeChannel();
  constructor(/** @type {any} */ configuration) {
    super();
    this.configuration = configuration;
    FakePeerConnection.last = this;
  }
  getConfiguration() {
    return this.configuration;
  }
  createDataChannel() {
    return this.channel;
  }
  addTransceiver() {
    return { receiver: { track: {} } };
  }
  async setLocalDescription() {}
  async setRemoteDescription(/** @type {any} */ description) {
    this.remoteDescription = description;
    if (!FakePeerConnection.answers) return;
    this.channel.readyState = "open";
    this.channel.dispatchEvent(new Event("open"));
  }
  happen(/** @type {string} */ type, /** @type {object} */ fields) {
    this.dispatchEvent(Object.assign(new Event(type), fields));
  }
  become(/** @type {string} */ connection, /** @type {string} */ ice) {
    this.connectionState = connection;
    this.iceConnectionState = ice;
    this.happen("connectionstatechange", {});
  }
  close() {}
}

/** Storage as a tab has it. */
class FakeStorage extends Map {
  getItem(/** @type {string} */ key) {
    return this.get(key) ?? null;
  }
  setItem(/** @type {string} */ key, /** @type {string} */ value) {
    this.set(key, value);
  }
}

/** Runs a director before a server that answers each offer with the next of these, and so each look whether it is ready. */
async function setUp(
  /** @type {{ status: number, body: any, headers?: any }[]} */ answers,
  storage = new FakeStorage(),
  readiness = /** @type {{ status: number, body: any }[]} */ ([]),
  iceServers = /** @type {{ status: number, body: any }} */ ({ status: 200, body: { ice_servers: [] } }),
) {
  const offers = /** @type {any[]} */ ([]);
  const asked = /** @type {any[]} */ ([]);
  const seen = /** @type {any[]} */ ([]);
  FakePeerConnection.answers = true;
  const saved = { RTCPeerConnection: globalThis.RTCPeerConnection, MediaStream: globalThis.MediaStream, fetch: globalThis.fetch };
  const fakes = {
    RTCPeerConnection: FakePeerConnection,
    MediaStream: class {},
    fetch: async (/** @type {string} */ url, /** @type {any} */ { body, headers }) => {
      if (url === "offer") offers.push({ ...JSON.parse(body), authorization: headers.get("Authorization") });
      if (url === "ice_servers") asked.push(headers.get("Authorization"));
      const ready = { status: 200, body: { ready: true } };
      const { status, body: answer, headers: extra } =
        url === "offer"
          ? (answers.shift() ?? { status: 500, body: {} })
          : { headers: {}, ...(url === "ice_servers" ? iceServers : (readiness.shift() ?? ready)) };
      return new Response(JSON.stringify(answer), { status, headers: { "Content-Type": "application/json", ...extra } });
    },
  };
  Object.assign(globalThis, fakes);
  const director = new Director(
    {
      onPhase: (phase) => void seen.push(phase),
      onVideo() {},
      onWelcome: (welcome, rejoined, lost) => void seen.push({ welcome: welcome.stream, rejoined, ...(lost && { lost }) }),
      onMessage() {},
    },
    /** @type {any} */ (storage),
  );
  void director.run();
  return {
    director,
    offers,
    asked,
    seen,
    storage,
    get channel() {
      return FakePeerConnection.last.channel;
    },
    async welcome(/** @type {string} */ stream) {
      for (let i = 0; i < 4; i += 1) await settle();
      const [hello] = this.channel.sent;
      this.channel.hear({ type: "welcome", id: hello.id, stream, capabilities: CAPABILITIES, state: {} });
      await settle();
    },
    end() {
      director.close();
      Object.assign(globalThis, saved);
    },
  };
}

const accept = (/** @type {string} */ stream) => ({
  status: 200,
  body: { type: "answer", sdp: "v=0", stream, control_token: `token of ${stream}` },
});
const refuse = (/** @type {number} */ status, /** @type {string} */ code, headers = {}) => ({
  status,
  body: { error: { code, message: `It says ${code}.` } },
  headers,
});

test("a connection that is lost is made again, with the stream that the page had", async () => {
  const page = await setUp([accept("one"), accept("one")]);
  await page.welcome("one");
  page.channel.dispatchEvent(new Event("close"));
  await settle();
  equal(page.seen.at(-1).phase, "waiting");
  page.director.retryNow();
  await page.welcome("one");
  equal(page.offers.map(({ stream, control_token }) => [stream, control_token]), [[null, null], ["one", "token of one"]]);
  equal(page.seen.filter(({ welcome }) => welcome).map(({ rejoined }) => rejoined), [false, true]);
  page.end();
});

test("a reloaded page comes back to its stream by what the tab kept", async () => {
  const storage = new FakeStorage([["vivant.stream", '{"stream":"one","control_token":"t"}']]);
  const page = await setUp([accept("one")], storage);
  await page.welcome("one");
  equal([page.offers[0].stream, page.offers[0].control_token, page.seen.at(-1).rejoined], ["one", "t", true]);
  page.end();
});

test("where the stream is gone the page gets a new one at once", async () => {
  const storage = new FakeStorage([["vivant.stream", '{"stream":"one","control_token":"t"}']]);
  const page = await setUp([refuse(404, "not_found"), accept("two")], storage);
  await page.welcome("two");
  equal([page.offers[1].stream, page.seen.at(-1)], [undefined, { welcome: "two", rejoined: false }]);
  equal(JSON.parse(storage.getItem("vivant.stream")).stream, "two");
  page.end();
});

test("where the stream can't go on the page gets a new one, and says once why", async () => {
  const storage = new FakeStorage([["vivant.stream", '{"stream":"one","control_token":"t"}']]);
  const page = await setUp([refuse(409, "wrong_state"), accept("two"), accept("two")], storage);
  await page.welcome("two");
  equal(page.seen.at(-1), { welcome: "two", rejoined: false, lost: "It says wrong_state." });
  page.channel.dispatchEvent(new Event("close"));
  await settle();
  page.director.retryNow();
  await page.welcome("two");
  equal(page.seen.at(-1), { welcome: "two", rejoined: true });
  page.end();
});

test("a stream whose connection never opened is no stream to come back to", async () => {
  const page = await setUp([accept("one"), accept("one")]);
  for (let i = 0; i < 4; i += 1) await settle();
  page.channel.dispatchEvent(new Event("close"));
  await settle();
  page.director.retryNow();
  await page.welcome("one");
  equal([page.offers[1].stream, page.seen.at(-1).rejoined], ["one", false]);
  page.end();
});

test("a full server is asked again when it said, with its reason shown", async () => {
  const page = await setUp([refuse(503, "at_capacity", { "Retry-After": "40" })]);
  for (let i = 0; i < 4; i += 1) await settle();
  const { phase, reason, retryAt } = page.seen.at(-1);
  equal([phase, reason], ["waiting", "It says at_capacity."]);
  equal(Math.abs(retryAt - performance.now() - 40_000) < 1_000, true);
  page.end();
});

test("a server that is not ready is followed until it is, and then offered to at once", async () => {
  const loading = (/** @type {string} */ stage) => ({ status: 503, body: { ready: false, reason: `loading: ${stage}` } });
  const page = await setUp(
    [refuse(503, "at_capacity", { "Retry-After": "40" }), accept("one")],
    new FakeStorage(),
    [loading("weights"), loading("warming up")],
  );
  for (let i = 0; i < 4; i += 1) await settle();
  equal(page.seen.at(-1), { phase: "loading", reason: "loading: weights" });
  equal(page.offers.length, 1);
  page.director.retryNow();
  for (let i = 0; i < 4; i += 1) await settle();
  equal(page.seen.at(-1), { phase: "loading", reason: "loading: warming up" });
  page.director.retryNow();
  for (let i = 0; i < 4; i += 1) await settle();
  await page.welcome("one");
  equal([page.offers.length, page.seen.map(({ phase }) => phase).includes("waiting")], [2, false]);
  page.end();
});

test("a page that leaves asks no more whether the server is ready", async () => {
  const readiness = Array.from({ length: 9 }, () => ({ status: 503, body: { ready: false } }));
  const page = await setUp([refuse(503, "at_capacity")], new FakeStorage(), readiness);
  for (let i = 0; i < 4; i += 1) await settle();
  equal(page.seen.at(-1), { phase: "loading", reason: "the model is loading" });
  page.director.close();
  for (let i = 0; i < 4; i += 1) await settle();
  equal([page.offers.length, page.seen.length], [1, 2]);
  page.end();
});

test("an access token is asked for, sent, and kept with the stream", async () => {
  const storage = new FakeStorage([["vivant.stream", '{"stream":"one","control_token":"t"}']]);
  const page = await setUp([refuse(401, "unauthorized"), refuse(401, "unauthorized"), accept("one")], storage);
  for (let i = 0; i < 4; i += 1) await settle();
  equal(page.seen.at(-1).phase, "token");
  page.director.useAccessToken("secret");
  await page.welcome("one");
  equal([page.offers[2].authorization, page.offers[2].stream, page.seen.at(-1).rejoined], ["Bearer secret", "one", true]);
  page.end();
});

test("a command's first reply answers it; a refusal rejects with the code and the sentence", async () => {
  const page = await setUp([accept("one")]);
  await page.welcome("one");
  const done = page.director.command("pause");
  const refused = page.director.command("resume").catch((error) => [error.code, error.message]);
  await settle();
  const [, pause, resume] = page.channel.sent;
  page.channel.hear({ type: "error", id: resume.id, code: "wrong_state", message: "Start first.", retryable: false });
  page.channel.hear({ type: "paused", id: pause.id, frame: 3 });
  equal([(await done).frame, await refused], [3, ["wrong_state", "Start first."]]);
  page.end();
});

test("a refused upload is sent to its end, for the server waits for its bytes", async () => {
  const page = await setUp([accept("one")]);
  await page.welcome("one");
  const { channel } = page;
  let bytes = 0;
  channel.bufferedAmount = 262_144;
  channel.send = (/** @type {any} */ data) => {
    if (typeof data === "string") channel.hear({ type: "error", id: JSON.parse(data).id, code: "image_too_large", message: "No." });
    else bytes += data.length;
  };
  const picture = { bytes: new Uint8Array(200_000), name: "a", mime: "image/png", sha256: "0".repeat(64) };
  let code = "";
  void page.director.upload(/** @type {any} */ (picture), () => {}).catch((error) => (code = error.code));
  await settle();
  equal(code, "", "before its bytes are out:");
  channel.bufferedAmount = 0;
  channel.dispatchEvent(new Event("bufferedamountlow"));
  await settle();
  equal([code, bytes], ["image_too_large", 200_000]);
  page.end();
});

test("what waits for an answer fails with the connection", async () => {
  const page = await setUp([accept("one")]);
  await page.welcome("one");
  const lost = page.director.command("pause").catch((error) => error.code);
  await settle();
  page.channel.hear({ type: "goodbye", reason: "the server stops" });
  page.channel.dispatchEvent(new Event("close"));
  await settle();
  equal([await lost, page.seen.at(-1).reason.includes("the server stops")], ["disconnected", true]);
  page.end();
});

const CREDENTIALS = { urls: "turn:turn.example", username: "1:a", credential: "b" };
const ANSWER = [
  "v=0",
  "a=candidate:1 1 udp 2130706431 203.0.113.7 50000 typ host",
  "a=candidate:2 1 udp 2130706431 10.0.0.5 50000 typ host",
  "a=candidate:3 1 udp 2130706431 127.0.0.1 50001 typ host",
  "",
].join("\r\n");

/** A page whose connection is answered, and then hangs. */
async function hanging(/** @type {any} */ iceServers) {
  const storage = new FakeStorage([["vivant.access_token", "secret"]]);
  const page = await setUp([{ ...accept("one"), body: { ...accept("one").body, sdp: ANSWER } }], storage, [], iceServers);
  FakePeerConnection.answers = false;
  for (let i = 0; i < 4; i += 1) await settle();
  return page;
}

/** Why the page says that it is not connected, after this. */
async function reasonAfter(/** @type {any} */ page, /** @type {string} */ ice) {
  FakePeerConnection.last.become("failed", ice);
  for (let i = 0; i < 4; i += 1) await settle();
  page.end();
  return page.seen.at(-1).reason;
}

test("STUN and TURN servers are asked for, and their candidates stand in the offer", async () => {
  const page = await hanging({ status: 200, body: { ice_servers: [CREDENTIALS] } });
  equal(FakePeerConnection.last.configuration.iceServers, [CREDENTIALS]);
  equal([page.asked, page.offers.length], [["Bearer secret"], 0], "before all is gathered:");
  FakePeerConnection.last.iceGatheringState = "complete";
  FakePeerConnection.last.localDescription = { type: "offer", sdp: "v=0 with candidates" };
  FakePeerConnection.last.happen("icegatheringstatechange", {});
  for (let i = 0; i < 4; i += 1) await settle();
  equal(page.offers[0].sdp, "v=0 with candidates");
  page.end();
});

test("a server that knows no ICE servers is offered to without", async () => {
  const page = await hanging({ status: 404, body: { error: {} } });
  equal([FakePeerConnection.last.configuration.iceServers, page.offers.length], [[], 1]);
  page.end();
});

test("where no packet comes through, the page names the addresses and what to set", async () => {
  const page = await hanging();
  const reason = await reasonAfter(page, "failed");
  for (const word of ["203.0.113.7:50000, 10.0.0.5:50000.", "server.udp_ports", "server.public_ip", "stream.doctor"]) {
    equal(reason.includes(word), true, `${word} in ${reason}`);
  }
  equal(reason.includes("127.0.0.1") || reason.includes("TURN server turn"), false, reason);
});

test("where TURN refuses, is away or is full, the page says so, and a refusal outweighs silence", async () => {
  const errors = /** @type {[any, string][]} */ ([
    [[701, 401, 701], "refused the credentials (401 Unauthorized): check server.turn_secret"],
    [[701, 0], "The TURN server turn:turn.example could not be reached."],
    [[486], "The TURN server turn:turn.example gave no address (486"],
  ]);
  for (const [codes, words] of errors) {
    const page = await hanging();
    for (const errorCode of codes) {
      const errorText = errorCode === 401 ? "Unauthorized." : "";
      FakePeerConnection.last.happen("icecandidateerror", { url: CREDENTIALS.urls, errorCode, errorText });
    }
    const reason = await reasonAfter(page, "failed");
    equal([reason.includes(words), reason.includes("server.udp_ports")], [true, codes[1] !== 401], reason);
  }
});

test("a TURN server that helped is not blamed for the error of one interface", async () => {
  const page = await hanging();
  FakePeerConnection.last.happen("icecandidateerror", { url: CREDENTIALS.urls, errorCode: 701, errorText: "" });
  FakePeerConnection.last.happen("icecandidate", { candidate: { type: "relay", candidate: "candidate:..." } });
  equal((await reasonAfter(page, "failed")).includes("turn.example"), false);
});

test("where packets come through and DTLS fails, the page says that", async () => {
  equal((await reasonAfter(await hanging(), "connected")).includes("DTLS failed"), true);
});

test("a connection that is lost later is lost, whatever kept others from beginning", async () => {
  const page = await setUp([accept("one")]);
  await page.welcome("one");
  equal(await reasonAfter(page, "failed"), "The connection to the server was lost.");
});
