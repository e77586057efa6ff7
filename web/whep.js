// @ts-check
/**
 * Watching a stream by WHEP: one connection at a time, made again when it is lost.
 *
 * Written for browsers of 2022 too: OBS brings its own, which may be that old.
 */

/**
 * @typedef {{
 *   onVideo: (video: MediaStream) => void,
 *   onGone: () => void,
 * }} ViewerEvents `onVideo`: a new connection's video, before its first frame; `onGone`: there is no such stream
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
  #ended = new AbortController();
  #location = "";

  constructor() {
    if ("jitterBufferTarget" in this.#receiver) this.#receiver.jitterBufferTarget = 0;
    this.#pc.addEventListener("connectionstatechange", () => {
      if (["failed", "closed"].includes(this.#pc.connectionState)) this.end("The connection was lost.");
    });
  }

  /** @returns {AbortSignal} aborted when it is over; its reason is a {@link WatchError} */
  get ended() {
    return this.#ended.signal;
  }

  /** @param {URL} endpoint @returns {Promise<MediaStream>} the video, once connected */
  async open(endpoint) {
    const timer = setTimeout(() => this.end("The server took too long to answer."), CONNECT_TIMEOUT_MS);
    try {
      // Candidates are not waited for: the server learns ours from the checks that we send to it.
      await this.#pc.setLocalDescription();
      const sdp = await this.#exchange(endpoint, /** @type {RTCSessionDescription} */ (this.#pc.localDescription).sdp);
      await this.#pc.setRemoteDescription({ type: "answer", sdp });
      await this.#connected();
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

  /** @param {URL} endpoint @param {string} offer @returns {Promise<string>} the answer */
  async #exchange(endpoint, offer) {
    const headers = { "Content-Type": "application/sdp" };
    const response = await fetch(endpoint, { method: "POST", headers, body: offer, signal: this.ended });
    if (response.status !== 201) throw await refusal(response);
    const answer = await response.text();
    const location = response.headers.get("Location");
    if (location) this.#location = new URL(location, endpoint).href;
    return answer;
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

/** @param {Response} response @returns {Promise<WatchError>} */
async function refusal(response) {
  const { status } = response;
  const retryAfter = Number(response.headers.get("Retry-After")) || undefined;
  const body = await response.text();
  return new WatchError(`The server answered ${status}: ${body}`, { status, retryAfter });
}
