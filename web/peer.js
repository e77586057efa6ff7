// @ts-check
/** The page's side of a stream: a director keeps a connection open, coming back to the same stream when the network fails. */

import { CommandError, disconnected, refusal } from "./command_error.js";
import { CONNECT_TIMEOUT_MS, Connection } from "./connection.js";

/** @typedef {import("./protocol.js").ServerMessage} ServerMessage */
/** @typedef {import("./picture.js").Picture} Picture */
/** @typedef {import("./connection.js").ConnectionEvents} ConnectionEvents */
/** @typedef {{ stream: string, control_token: string }} Credentials */
/**
 * @typedef {{ phase: "connecting" | "open" | "token" }
 *   | { phase: "loading", reason: string }
 *   | { phase: "waiting", reason: string, retryAt: number }} Phase
 */
/**
 * @typedef {ConnectionEvents & {
 *   onPhase: (phase: Phase) => void,
 *   onWelcome: (welcome: ServerMessage, rejoined: boolean, lost: string) => void,
 * }} DirectorEvents `lost`: why the stream of before is not the one that welcomes, where there is more to say than that
 */

const READY_POLL_MS = 1_000;
const FIRST_RETRY_MS = 500;
const LONGEST_RETRY_MS = 10_000;

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
  /** What other directors are to read of this one, from the next connection on. */
  name = "";

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

  /** What a program that directs this stream must say, "" before there is one. */
  get controlToken() {
    return this.#credentials?.control_token ?? "";
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
      const welcome = await connection.open(this.name, (offer, signal) => this.#exchange(offer, signal));
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
