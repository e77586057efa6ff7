// @ts-check
/**
 * The page's side of a stream: one WebRTC connection with its commands ({@link Connection}), and a
 * director that keeps one open, coming back to the same stream when the network fails ({@link Director}).
 */

import { Diagnosis, gathered } from "./diagnosis.js";
import { PROTOCOL_VERSION, dumpCommand, parseServerMessage } from "./protocol.js";
import { sendBytes } from "./upload.js";

/** @typedef {import("./protocol.js").ServerMessage} ServerMessage */
/** @typedef {import("./picture.js").Picture} Picture */
/** @typedef {{ type: string, sentAt: number }} Sent a command on its way; `sentAt` in ms of `performance.now()` */
/** @typedef {{ stream: string, control_token: string }} Credentials */
/**
 * @typedef {{ phase: "connecting" | "open" | "token" }
 *   | { phase: "loading", reason: string }
 *   | { phase: "waiting", reason: string, retryAt: number }} Phase
 */
/**
 * @typedef {{
 *   onPhase: (phase: Phase) => void,
 *   onVideo: (video: MediaStream) => void,
 *   onWelcome: (welcome: ServerMessage, rejoined: boolean, lost: string) => void, `lost`: why the old stream is not it
 *   onMessage: (message: ServerMessage, sent: Sent | undefined) => void,
 * }} DirectorEvents
 */

const CONNECT_TIMEOUT_MS = 10_000;
const GATHER_TIMEOUT_MS = 2_000;
const PING_AFTER_MS = 3_000;
const LOST_AFTER_MS = 9_000;
const READY_POLL_MS = 1_000;
const FIRST_RETRY_MS = 500;
const LONGEST_RETRY_MS = 10_000;
const REMEMBERED_COMMANDS = 256;

/** A refusal by the server, on the channel or by HTTP, or what kept a command from it. */
export class CommandError extends Error {
  /**
   * @param {string} code of the contract, or `disconnected`
   * @param {string} message
   * @param {{ status?: number, retryAfter?: number, ahead?: number }} [extra] `retryAfter` in seconds
   */
  constructor(code, message, extra = {}) {
    super(message);
    this.code = code;
    this.status = extra.status;
    this.retryAfter = extra.retryAfter;
    this.ahead = extra.ahead;
  }
}

const disconnected = () => new CommandError("disconnected", "There is no connection to the server.");

/** One RTCPeerConnection with its data channel; it is not used again once lost. */
class Connection {
  #pc;
  #diagnosis;
  #channel;
  #closed = new AbortController();
  #nextId = 1;
  #heardAt = performance.now();
  #events;
  #receiver;
  #goodbye = "";
  #isAnswered = false;
  #isOpen = false;
  /** @type {Map<number, Sent & { settle: (message: ServerMessage) => void, fail: (error: CommandError) => void }>} */
  #sent = new Map();

  /** @param {DirectorEvents} events @param {RTCIceServer[]} iceServers */
  constructor(events, iceServers) {
    this.#events = events;
    this.#pc = new RTCPeerConnection({ bundlePolicy: "max-bundle", iceServers });
    this.#diagnosis = new Diagnosis(this.#pc);
    this.#channel = this.#pc.createDataChannel("control", { ordered: true });
    this.#receiver = this.#pc.addTransceiver("video", { direction: "recvonly" }).receiver;
    if ("jitterBufferTarget" in this.#receiver) this.#receiver.jitterBufferTarget = 0;
    const { signal } = this.#closed;
    this.#channel.binaryType = "arraybuffer";
    this.#channel.addEventListener("message", (event) => this.#receive(event.data), { signal });
    this.#channel.addEventListener("close", () => this.close(), { signal });
    this.#pc.addEventListener("connectionstatechange", () => this.#watchState(), { signal });
  }

  /** @returns {AbortSignal} aborted when the connection is gone; its reason says why */
  get closed() {
    return this.#closed.signal;
  }

  /**
   * Offers, waits for the answer and the channel, and says hello.
   * @param {(offer: RTCSessionDescriptionInit, signal: AbortSignal) => Promise<RTCSessionDescriptionInit>} exchange
   * @returns {Promise<ServerMessage>} the welcome
   */
  async open(exchange) {
    const timer = setTimeout(() => this.close(this.#failure()), CONNECT_TIMEOUT_MS);
    try {
      await this.#pc.setLocalDescription();
      // Without such servers candidates are not waited for: this server learns ours from the checks that we send to it.
      if (this.#pc.getConfiguration().iceServers?.length) await gathered(this.#pc, GATHER_TIMEOUT_MS);
      const offer = /** @type {RTCSessionDescription} */ (this.#pc.localDescription);
      const answer = await exchange({ type: offer.type, sdp: offer.sdp }, this.closed);
      this.closed.throwIfAborted();
      this.#isAnswered = true;
      await this.#pc.setRemoteDescription(answer);
      await this.#channelOpen();
      this.#isOpen = true;
      this.#events.onVideo(new MediaStream([this.#receiver.track]));
      const welcome = await this.command("hello", { protocol: PROTOCOL_VERSION });
      this.#watchSilence();
      return welcome;
    } catch (error) {
      const isClosed = this.closed.aborted;
      this.close();
      // What closed it is the cause; what was thrown then is only what came of that.
      throw isClosed ? this.closed.reason : error;
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * Sends a command.
   * @param {string} type @param {Record<string, unknown>} [fields]
   * @returns {Promise<ServerMessage>} the first reply
   * @throws {CommandError | import("./protocol.js").ProtocolError}
   */
  async command(type, fields = {}) {
    return this.#send(type, fields).reply;
  }

  /**
   * Uploads a picture; one at a time.
   * @param {Picture} picture
   * @param {(sent: number) => void} onProgress
   * @param {Record<string, unknown>} [entry] how it comes into a video that runs
   * @returns {Promise<ServerMessage>} `image_uploaded`
   */
  async upload(picture, onProgress, entry = {}) {
    const { bytes, mime, sha256, name } = picture;
    const { reply } = this.#send("upload_image", { size: bytes.length, mime, sha256, name, ...entry });
    const stop = new AbortController();
    // A refused upload is sent to its end, for the server waits for its bytes; only this refusal wants none.
    const refused = reply.catch((error) => {
      if (error.code === "upload_in_progress") stop.abort(error);
      throw error;
    });
    const signal = AbortSignal.any([stop.signal, this.closed]);
    // Both, for the next upload may not begin before the bytes of this one are out.
    const sending = sendBytes(this.#channel, bytes, { signal, onProgress });
    const [answer] = await Promise.allSettled([refused, sending]);
    if (answer.status === "rejected") throw answer.reason;
    return answer.value;
  }

  /** @param {Error} [reason] */
  close(reason = new CommandError("disconnected", this.#goodbye || "The connection to the server was lost.")) {
    if (this.closed.aborted) return;
    this.#closed.abort(reason);
    this.#pc.close();
    for (const { fail } of this.#sent.values()) fail(disconnected());
    this.#sent.clear();
  }

  /** @param {string} type @param {Record<string, unknown>} fields */
  #send(type, fields) {
    if (this.#channel.readyState !== "open") throw disconnected();
    const id = this.#nextId++;
    const text = dumpCommand({ ...fields, type, id });
    const sentAt = performance.now();
    /** @type {Promise<ServerMessage>} */
    const reply = new Promise((settle, fail) => this.#sent.set(id, { type, sentAt, settle, fail }));
    this.#channel.send(text);
    // Later replies to a command (its `*_applied`) find it here, so it stays for a while.
    if (this.#sent.size > REMEMBERED_COMMANDS) {
      const [oldest, command] = [...this.#sent][0];
      command.fail(new CommandError("disconnected", "The server did not answer."));
      this.#sent.delete(oldest);
    }
    return { id, reply };
  }

  /** @param {unknown} data */
  #receive(data) {
    this.#heardAt = performance.now();
    if (typeof data !== "string") return;
    const message = parseServerMessage(data);
    const sent = message.id === undefined ? undefined : this.#sent.get(message.id);
    if (message.type === "goodbye") this.#goodbye = `The server closed the connection: ${String(message.reason).replaceAll("_", " ")}`;
    if (message.type === "error") {
      sent?.fail(new CommandError(message.code, message.message, { ahead: message.ahead }));
    } else if (message.type !== "upload_progress") {
      sent?.settle(message);
    }
    this.#events.onMessage(message, sent);
  }

  /** @returns {Promise<void>} */
  #channelOpen() {
    if (this.#channel.readyState === "open") return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#channel.addEventListener("open", () => resolve(), { signal: this.closed });
      this.closed.addEventListener("abort", () => reject(this.closed.reason));
    });
  }

  /** @returns {CommandError} why it does not open */
  #failure() {
    const reason = this.#isAnswered ? this.#diagnosis.explain() : "The server took too long to answer.";
    return new CommandError("disconnected", reason);
  }

  #watchState() {
    if (["failed", "closed"].includes(this.#pc.connectionState)) this.close(this.#isOpen ? undefined : this.#failure());
  }

  /** Notices a server that is gone long before ICE gives up: it is asked, and must say something. */
  #watchSilence() {
    const timer = setInterval(() => {
      const silence = performance.now() - this.#heardAt;
      if (silence > LOST_AFTER_MS) this.close();
      else if (silence > PING_AFTER_MS) this.command("ping", { t: performance.now() }).catch(() => this.#watchState());
    }, 1_000);
    this.closed.addEventListener("abort", () => clearInterval(timer));
  }
}

/** Keeps a connection open: retries with growing waits, rejoins its stream, or gets a new one. */
export class Director {
  #events;
  #storage;
  #stopped = new AbortController();
  /** @type {Connection | null} */
  #connection = null;
  #failures = 0;
  #wake = () => {};
  /** @type {Credentials | null} */
  #credentials;
  #welcomedBy = "";
  #lost = "";

  /** @param {DirectorEvents} events @param {Storage} [storage] where what survives a reload is kept */
  constructor(events, storage = sessionStorage) {
    this.#events = events;
    this.#storage = storage;
    this.#credentials = JSON.parse(storage.getItem("vivant.stream") ?? "null");
    this.#welcomedBy = this.#credentials?.stream ?? "";
  }

  /** Connects, and goes on connecting until {@link close}. */
  async run() {
    this.#stopped = new AbortController();
    const { signal } = this.#stopped;
    while (!signal.aborted) {
      const error = await this.#connectOnce();
      if (signal.aborted) return;
      if (error.status === 401) await this.#askToken();
      else if (error.status !== 503 || !(await this.#followStart(signal))) await this.#wait(error);
    }
  }

  /** Leaves; the stream lives on for a while, and {@link run} comes back to it. */
  close() {
    this.#stopped.abort();
    this.#connection?.close();
    this.#wake();
  }

  /** Ends the wait for the next attempt, for there is reason to hope. */
  retryNow() {
    this.#wake();
  }

  /** @param {string} token what the server asks of everyone; tried at once */
  useAccessToken(token) {
    this.#storage.setItem("vivant.access_token", token);
    this.#wake();
  }

  /**
   * Sends a command on the connection that there is.
   * @param {string} type @param {Record<string, unknown>} [fields]
   * @returns {Promise<ServerMessage>} the first reply
   */
  async command(type, fields) {
    if (!this.#connection) throw disconnected();
    return this.#connection.command(type, fields);
  }

  /** @param {Picture} picture @param {(sent: number) => void} onProgress @param {Record<string, unknown>} [entry] */
  async upload(picture, onProgress, entry = {}) {
    if (!this.#connection) throw disconnected();
    return this.#connection.upload(picture, onProgress, entry);
  }

  /**
   * Asks for something of the stream over HTTP, as its director.
   * @param {string} method @param {string} path below the stream's own @param {object} [body]
   * @throws {CommandError}
   */
  async request(method, path, body) {
    if (!this.#connection || !this.#credentials) throw disconnected();
    const { stream, control_token } = this.#credentials;
    const headers = { Authorization: `Bearer ${control_token}`, "Content-Type": "application/json" };
    let response;
    try {
      response = await fetch(`streams/${stream}/${path}`, { method, headers, body: body && JSON.stringify(body) });
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
      throw disconnected();
    }
    if (!response.ok) throw await refusal(response);
  }

  /** @returns {Promise<CommandError>} why there is no connection any more */
  async #connectOnce() {
    this.#events.onPhase({ phase: "connecting" });
    try {
      const connection = new Connection(this.#events, await this.#iceServers());
      // Left meanwhile: there was no connection to close then.
      if (this.#stopped.signal.aborted) connection.close();
      this.#connection = connection;
      const welcome = await connection.open((offer, signal) => this.#exchange(offer, signal));
      this.#failures = 0;
      const rejoined = welcome.stream === this.#welcomedBy;
      this.#welcomedBy = welcome.stream;
      this.#storage.setItem("vivant.stream", JSON.stringify(this.#credentials));
      this.#events.onPhase({ phase: "open" });
      this.#events.onWelcome(welcome, rejoined, this.#lost);
      this.#lost = "";
      await new Promise((resolve) => connection.closed.addEventListener("abort", resolve));
      return connection.closed.reason;
    } catch (error) {
      if (error instanceof CommandError) return error;
      if (error instanceof DOMException) return new CommandError("disconnected", error.message);
      throw error;
    } finally {
      this.#connection = null;
    }
  }

  /**
   * `POST /offer`: joins the stream that this tab had, which may have ended and goes on then, or makes a new one where
   * that is gone, or can't go on.
   * @param {RTCSessionDescriptionInit} offer @param {AbortSignal} signal
   * @returns {Promise<RTCSessionDescriptionInit>}
   */
  async #exchange(offer, signal) {
    let response = await this.#post({ ...offer, ...this.#credentials }, signal);
    if (this.#credentials && [401, 404, 409].includes(response.status)) {
      if (response.status === 409) this.#lost = (await refusal(response)).message;
      response = await this.#post(offer, signal);
    }
    if (!response.ok) throw await refusal(response);
    const { type, sdp, stream, control_token } = await response.json();
    this.#credentials = { stream, control_token };
    return { type, sdp };
  }

  /** @returns {Promise<RTCIceServer[]>} the STUN and TURN servers, none where the server does not tell */
  async #iceServers() {
    const signal = AbortSignal.any([this.#stopped.signal, AbortSignal.timeout(CONNECT_TIMEOUT_MS)]);
    const response = await this.#fetch("ice_servers", { signal });
    if (response.status === 401) throw await refusal(response);
    const isJson = response.headers.get("Content-Type")?.startsWith("application/json");
    return (response.ok && isJson && (await response.json()).ice_servers) || [];
  }

  /** @param {object} body @param {AbortSignal} signal */
  #post(body, signal) {
    return this.#fetch("offer", { method: "POST", body: JSON.stringify(body), signal });
  }

  /** @param {string} path @param {RequestInit} options */
  async #fetch(path, options) {
    const token = this.#storage.getItem("vivant.access_token");
    const headers = new Headers({ "Content-Type": "application/json" });
    if (token) headers.set("Authorization", `Bearer ${token}`);
    try {
      return await fetch(path, { ...options, headers });
    } catch (error) {
      if (error instanceof TypeError) throw new CommandError("disconnected", "The server can't be reached.");
      const isLate = error instanceof DOMException && error.name === "TimeoutError";
      throw isLate ? new CommandError("disconnected", "The server took too long to answer.") : error;
    }
  }

  async #askToken() {
    this.#events.onPhase({ phase: "token" });
    await new Promise((resolve) => (this.#wake = () => resolve(undefined)));
  }

  /**
   * Tells where the start of the server's model is, as long as it goes on.
   * @param {AbortSignal} signal
   * @returns {Promise<boolean>} whether it went on
   */
  async #followStart(signal) {
    let reason = await notReady(signal);
    const wasLoading = reason !== null;
    while (reason !== null && !signal.aborted) {
      this.#events.onPhase({ phase: "loading", reason });
      await this.#sleep(READY_POLL_MS);
      reason = await notReady(signal);
    }
    return wasLoading;
  }

  /** @param {CommandError} error */
  async #wait(error) {
    const growing = Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** this.#failures);
    // Spread, so that the pages of a server that restarts do not come back in one moment.
    const delay = error.retryAfter ? error.retryAfter * 1_000 : growing * (0.75 + Math.random() / 2);
    this.#failures += 1;
    this.#events.onPhase({ phase: "waiting", reason: error.message, retryAt: performance.now() + delay });
    await this.#sleep(delay);
  }

  /** @param {number} delay milliseconds, unless woken before */
  async #sleep(delay) {
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let timer;
    await new Promise((resolve) => {
      this.#wake = () => resolve(undefined);
      timer = setTimeout(this.#wake, delay);
    });
    clearTimeout(timer);
  }
}

/**
 * `GET /readyz`
 * @param {AbortSignal} signal
 * @returns {Promise<string | null>} why the server is not ready; null where it is, or does not say
 */
async function notReady(signal) {
  try {
    const response = await fetch("readyz", { signal });
    const isJson = response.headers.get("Content-Type")?.startsWith("application/json");
    const { ready, reason } = isJson ? await response.json() : {};
    return ready === false ? String(reason ?? "the model is loading") : null;
  } catch (error) {
    // Unreachable, or left: the next offer says it better.
    if (error instanceof TypeError || error instanceof DOMException) return null;
    throw error;
  }
}

/** @param {Response} response @returns {Promise<CommandError>} */
async function refusal(response) {
  const { status } = response;
  const retryAfter = Number(response.headers.get("Retry-After")) || undefined;
  const isJson = response.headers.get("Content-Type")?.startsWith("application/json");
  const { error = {} } = isJson ? await response.json() : {};
  const message = error.message ?? `The server answered ${status}.`;
  return new CommandError(error.code ?? "disconnected", message, { status, retryAfter, ahead: error.ahead });
}
