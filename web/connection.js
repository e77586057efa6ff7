// @ts-check
/** One WebRTC connection to a stream, and the commands on it. */

import { CommandError, disconnected } from "./command_error.js";
import { Diagnosis, gathered } from "./diagnosis.js";
import { PROTOCOL_VERSION, dumpCommand, parseServerMessage } from "./protocol.js";
import { sendBytes } from "./upload.js";

/** @typedef {import("./protocol.js").ServerMessage} ServerMessage */
/** @typedef {import("./picture.js").Picture} Picture */
/**
 * @typedef {{ type: string, fields: Record<string, unknown>, sentAt: number }} Sent a command on its way; `sentAt` in
 *   ms of `performance.now()`
 */
/**
 * @typedef {{
 *   onVideo: (video: MediaStream) => void,
 *   onMessage: (message: ServerMessage, sent: Sent | undefined) => void,
 * }} ConnectionEvents
 */

export const CONNECT_TIMEOUT_MS = 10_000;
const GATHER_TIMEOUT_MS = 2_000;
const PING_AFTER_MS = 3_000;
const LOST_AFTER_MS = 9_000;
const REMEMBERED_COMMANDS = 256;

/** One RTCPeerConnection with its data channel; it is not used again once lost. */
export class Connection {
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

  /** @param {ConnectionEvents} events @param {RTCIceServer[]} iceServers */
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
   * @param {string} name what other directors are to read of this one, or ""
   * @param {(offer: RTCSessionDescriptionInit, signal: AbortSignal) => Promise<RTCSessionDescriptionInit>} exchange
   * @returns {Promise<ServerMessage>} the welcome
   */
  async open(name, exchange) {
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
      const welcome = await this.command("hello", { protocol: PROTOCOL_VERSION, name });
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
    const reply = new Promise((settle, fail) => this.#sent.set(id, { type, fields, sentAt, settle, fail }));
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
