// @ts-check
/**
 * Watching a stream by WHEP: one connection at a time, made again when it is lost.
 *
 * Written for browsers of 2022 too: OBS brings its own, which may be that old.
 */

import { Diagnosis } from "./diagnosis.js";

/**
 * @typedef {{
 *   onVideo: (video: MediaStream) => void,
 *   onGone: () => void,
 *   onFailure: (reason: string) => void,
 * }} ViewerEvents `onVideo`: a new connection's video, before its first frame; `onGone`: there is no such stream;
 *   `onFailure`: there is no connection, or no longer, and why; it is tried again
 */

const CONNECT_TIMEOUT_MS = 10_000;
const CHECK_MS = 1_000;
// The server sends about once a second also while the picture stands still.
const LOST_AFTER_CHECKS = 5;
const FIRST_RETRY_MS = 500;
const LONGEST_RETRY_MS = 10_000;

/** Why there is no connection: `retryAfter` in seconds and `status` where the server said so. */
export class WatchError extends Error {
  /** @param {string} message @param {{ status?: number, retryAfter?: number }} [extra] */
  constructor(message, { status, retryAfter } = {}) {
    super(message);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

/** One WHEP session. */
class Session {
  #pc = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
  #receiver = this.#pc.addTransceiver("video", { direction: "recvonly" }).receiver;
  #diagnosis = new Diagnosis(this.#pc);
  #ended = new AbortController();
  #location = "";
  #isConnected = false;
  /** @type {RTCIceCandidate[]} found, and not told to the server yet */
  #candidates = [];
  #isTelling = false;

  constructor() {
    this.#pc.addEventListener("icecandidate", ({ candidate }) => {
      if (candidate?.candidate) this.#candidates.push(candidate);
      void this.#tell();
    });
    if ("jitterBufferTarget" in this.#receiver) this.#receiver.jitterBufferTarget = 0;
    this.#pc.addEventListener("connectionstatechange", () => {
      if (["failed", "closed"].includes(this.#pc.connectionState)) this.end(this.#failure());
    });
  }

  /** @returns {AbortSignal} aborted when it is over; its reason is a {@link WatchError} */
  get ended() {
    return this.#ended.signal;
  }

  /** @param {URL} endpoint @returns {Promise<MediaStream>} the video, once connected */
  async open(endpoint) {
    const timer = setTimeout(() => this.end(this.#failure()), CONNECT_TIMEOUT_MS);
    try {
      // Which STUN and TURN servers there are stands in the answer, so nothing is gathered before (RFC 9725 section 4.6).
      const offer = await this.#pc.createOffer();
      const { sdp, iceServers } = await this.#exchange(endpoint, /** @type {string} */ (offer.sdp));
      if (iceServers.length > 0) this.#pc.setConfiguration({ ...this.#pc.getConfiguration(), iceServers });
      await this.#pc.setLocalDescription(offer);
      await this.#pc.setRemoteDescription({ type: "answer", sdp });
      await this.#connected();
      this.#isConnected = true;
      this.#watch();
      return new MediaStream([this.#receiver.track]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** @param {string | WatchError} reason */
  end(reason) {
    if (this.ended.aborted) return;
    this.#ended.abort(typeof reason === "string" ? new WatchError(reason) : reason);
    this.#pc.close();
    // The page may be on its way out; the server would notice by itself, only later.
    if (this.#location) fetch(this.#location, { method: "DELETE", keepalive: true }).catch(() => {});
  }

  /** @returns {string} why it is over, or does not begin */
  #failure() {
    if (this.#isConnected) return "The connection was lost.";
    return this.#pc.remoteDescription ? this.#diagnosis.explain() : "The server took too long to answer.";
  }

  /** Tells the server our candidates as they are found: behind a firewall its checks must open the way for ours. */
  async #tell() {
    if (this.#isTelling || !this.#location) return;
    this.#isTelling = true;
    while (this.#candidates.length > 0 && this.#pc.connectionState !== "connected" && !this.ended.aborted) {
      const body = fragment(this.#pc.localDescription?.sdp ?? "", this.#candidates.splice(0));
      const headers = { "Content-Type": "application/trickle-ice-sdpfrag" };
      // Lost, it is as if they had not been found: others may do.
      await fetch(this.#location, { method: "PATCH", headers, body, signal: this.ended }).catch(() => {});
    }
    this.#isTelling = false;
  }

  /** @param {URL} endpoint @param {string} offer @returns {Promise<{ sdp: string, iceServers: RTCIceServer[] }>} the answer */
  async #exchange(endpoint, offer) {
    const headers = { "Content-Type": "application/sdp" };
    const response = await fetch(endpoint, { method: "POST", headers, body: offer, signal: this.ended });
    if (response.status !== 201) throw await refusal(response);
    const sdp = await response.text();
    const location = response.headers.get("Location");
    if (location) this.#location = new URL(location, endpoint).href;
    return { sdp, iceServers: readLinks(response.headers.get("Link") ?? "") };
  }

  /** @returns {Promise<void>} */
  #connected() {
    return new Promise((resolve, reject) => {
      const look = () => this.#pc.connectionState === "connected" && resolve();
      this.#pc.addEventListener("connectionstatechange", look);
      this.ended.addEventListener("abort", () => reject(this.ended.reason));
      look();
    });
  }

  /** Notices a server that is gone long before ICE gives up, by what comes: it never sends nothing for long. */
  #watch() {
    let received = -1;
    let silent = 0;
    const timer = setInterval(async () => {
      const now = await this.#bytesReceived();
      silent = now === received ? silent + 1 : 0;
      received = now;
      if (silent >= LOST_AFTER_CHECKS) this.end("Nothing comes any more.");
    }, CHECK_MS);
    this.ended.addEventListener("abort", () => clearInterval(timer));
  }

  async #bytesReceived() {
    let bytes = 0;
    for (const entry of (await this.#receiver.getStats()).values()) {
      if (entry.type === "inbound-rtp") bytes += entry.bytesReceived;
    }
    return bytes;
  }
}

/** Keeps a session open, with growing waits between attempts, or those that the server asks for. */
export class Viewer {
  #endpoint;
  #events;
  #stopped = new AbortController();
  /** @type {Session | null} */
  #session = null;
  #failures = 0;
  #wake = () => {};

  /** @param {URL} endpoint of WHEP @param {ViewerEvents} events */
  constructor(endpoint, events) {
    this.#endpoint = endpoint;
    this.#events = events;
  }

  /** Watches, and goes on coming back until {@link close}. */
  async run() {
    this.#stopped = new AbortController();
    const { signal } = this.#stopped;
    while (!signal.aborted) {
      const error = await this.#watchOnce();
      if (signal.aborted) return;
      if (error.status === 404) this.#events.onGone();
      this.#events.onFailure(error.message);
      await this.#wait(error);
    }
  }

  /** Leaves. */
  close() {
    this.#stopped.abort();
    this.#session?.end("The page was left.");
    this.#wake();
  }

  /** Ends the wait for the next attempt, for there is reason to hope. */
  retryNow() {
    this.#wake();
  }

  /** @returns {Promise<WatchError>} why there is no video any more */
  async #watchOnce() {
    const session = new Session();
    this.#session = session;
    try {
      const video = await session.open(this.#endpoint);
      this.#failures = 0;
      this.#events.onVideo(video);
      await new Promise((resolve) => session.ended.addEventListener("abort", resolve));
      return session.ended.reason;
    } catch (error) {
      const reason = error instanceof WatchError ? error : new WatchError(String(error));
      session.end(reason);
      return reason;
    } finally {
      this.#session = null;
    }
  }

  /** @param {WatchError} error */
  async #wait(error) {
    const growing = Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** this.#failures);
    // Spread, so that the viewers of a server that restarts do not come back in one moment.
    const delay = (error.retryAfter ? error.retryAfter * 1_000 : growing) * (0.75 + Math.random() / 2);
    // A stream that is there and only makes no video yet is no failure.
    if (error.status !== 409) this.#failures += 1;
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
 * Reads the STUN and TURN servers of a `Link` header (RFC 8288, RFC 9725 section 4.6).
 * @param {string} header @returns {RTCIceServer[]}
 */
export function readLinks(header) {
  const servers = [];
  for (const [, urls, rest] of header.matchAll(/<([^>]*)>((?:\s*;\s*[\w*-]+\s*=\s*(?:"(?:\\.|[^"\\])*"|[^\s",;]+))*)/g)) {
    /** @type {Record<string, string>} */
    const values = {};
    for (const [, name, quoted, token] of rest.matchAll(/([\w*-]+)\s*=\s*(?:"((?:\\.|[^"\\])*)"|([^\s",;]+))/g)) {
      values[name.toLowerCase()] = token ?? quoted.replace(/\\(.)/g, "$1");
    }
    if (values.rel !== "ice-server") continue;
    const { username, credential } = values;
    servers.push(username === undefined ? { urls } : { urls, username, credential });
  }
  return servers;
}

/**
 * Makes a fragment of a session description that holds candidates (RFC 8840).
 * @param {string} sdp of the local description @param {RTCIceCandidate[]} candidates
 */
function fragment(sdp, candidates) {
  const lines = ["ice-ufrag", "ice-pwd"].map((name) => sdp.match(new RegExp(`^a=${name}:.*$`, "m"))?.[0].trim() ?? "");
  lines.push("m=video 9 UDP/TLS/RTP/SAVPF 0", `a=mid:${candidates[0].sdpMid ?? "0"}`);
  for (const { candidate } of candidates) lines.push(`a=${candidate}`);
  return lines.filter(Boolean).map((line) => `${line}\r\n`).join("");
}

/** @param {Response} response @returns {Promise<WatchError>} */
async function refusal(response) {
  const { status } = response;
  const retryAfter = Number(response.headers.get("Retry-After")) || undefined;
  const body = await response.text();
  return new WatchError(`The server answered ${status}: ${body}`, { status, retryAfter });
}
