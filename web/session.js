// @ts-check
/**
 * What the page knows and wants of its stream, apart from how it looks: the person's picture, prompt and
 * mode are brought to the server, also to a new stream when the old one is gone.
 */

import { Commands } from "./commands.js";
import { Crew } from "./crew.js";
import { Keepsakes } from "./keepsakes.js";
import { Director } from "./peer.js";
import { Pictures } from "./pictures.js";
import { Prompts } from "./prompts.js";
import { CommandLatency, DriftHistory } from "./stats.js";

/** @typedef {import("./protocol.js").ServerMessage} ServerMessage */
/** @typedef {import("./protocol.js").Capabilities} Capabilities */
/** @typedef {import("./protocol.js").StreamState} StreamState */
/** @typedef {import("./protocol.js").Mode} Mode */
/** @typedef {import("./peer.js").DirectorEvents} DirectorEvents */
/** @typedef {import("./peer.js").Phase} Phase */
/** @typedef {import("./connection.js").Sent} Sent */
/** @typedef {import("./commands.js").AnyDirector} AnyDirector */
/** @typedef {import("./pictures.js").UprightPicture} UprightPicture */
/** @typedef {{ prompt: string, frame: number, rtp: number | undefined }} Effect a prompt, and its first frame */
/**
 * @typedef {import("./pictures.js").PictureView & import("./prompts.js").PromptView & {
 *   video: (video: MediaStream) => void,
 *   tookEffect: (effect: Effect) => void,
 * }} View what shows a session; an empty message takes an error away
 */

const RESTART_AFTER_MS = 10_000;
const FULL_RATE = 0.9;

/** @template {UprightPicture} P */
export class Session {
  #view;
  #director;
  #now;
  #commands;
  #latency = new CommandLatency();
  #drift = new DriftHistory();
  /** @type {Phase} */
  #phase = { phase: "connecting" };
  /** @type {Capabilities | null} */
  #capabilities = null;
  /** @type {StreamState} */
  #stream = { state: "idle", mode: "i2v", prompt: "", frame: 0, image: null };
  /** @type {ServerMessage | null} */
  #stats = null;
  /** @type {Mode | null} */
  #chosenMode = null;
  /** @type {Mode | null} what was chosen last, until the server says so or refuses */
  #askedMode = null;
  #streamId = "";
  #isLost = false;
  #busy = false;
  #liveSince = 0;
  #playSentAt = 0;

  /**
   * @param {View} view
   * @param {(events: DirectorEvents) => AnyDirector} [makeDirector]
   * @param {() => number} [now] milliseconds
   */
  constructor(view, makeDirector = (events) => new Director(events), now = () => performance.now()) {
    this.#view = view;
    this.#now = now;
    this.#director = makeDirector({
      onPhase: (phase) => this.#onPhase(phase),
      onVideo: view.video,
      onWelcome: (welcome, rejoined, lost) => void this.#onWelcome(welcome, rejoined, lost),
      onMessage: (message, sent) => this.#onMessage(message, sent),
    });
    this.#commands = new Commands(this.#director, view.error, () => this.isOpen);
    /** @type {Pictures<P>} */
    this.pictures = new Pictures(this.#commands, view, () => this.plays);
    this.prompts = new Prompts(this.#commands, view, () => this.#stream.state === "live");
    this.kept = new Keepsakes(this.#commands);
    this.crew = new Crew(this.#commands, this.#director);
  }

  /** Where the connection stands; `waiting` goes on while it is tried again. */
  get phase() {
    return this.#isLost && this.#phase.phase === "connecting" ? "waiting" : this.#phase.phase;
  }

  /** Why the server is not ready yet, in its words; "" where it is not that. */
  get loading() {
    return this.#phase.phase === "loading" ? this.#phase.reason : "";
  }

  get capabilities() {
    return this.#capabilities;
  }

  get stream() {
    return this.#stream;
  }

  /** @returns {Mode} the stream's, or the one that was just chosen */
  get mode() {
    return this.#askedMode ?? this.#stream.mode;
  }

  get stats() {
    return this.#stats;
  }

  get streamId() {
    return this.#streamId;
  }

  get controlToken() {
    return this.#director.controlToken;
  }

  get isOpen() {
    return this.#phase.phase === "open";
  }

  get isBusy() {
    return this.#busy;
  }

  get plays() {
    return this.#stream.state === "live" || this.#stream.state === "paused";
  }

  /** Whether a start has all it needs. */
  get isReady() {
    return this.mode === "t2v" || this.pictures.current !== null || this.#stream.image !== null;
  }

  /** Prompts that the model understands, as it makes video now. */
  get examples() {
    const { examples = [], scenes = [] } = this.#capabilities ?? {};
    return this.mode === "t2v" && scenes.length > 0 ? scenes : examples;
  }

  /** How long the last commands took to the screen. */
  get latency() {
    return this.#latency;
  }

  /** How far the video has gone since its prompt settled, where the server tells. */
  get drift() {
    return this.#drift;
  }

  /** The quality level in words: the server's own where it names one, else told by the rate it sends. */
  get quality() {
    if (!this.#stats || !this.#capabilities) return "–";
    return this.#stats.quality ?? (this.#stats.fps_sent < FULL_RATE * this.#capabilities.fps ? "reduced" : "full");
  }

  // What the person does.

  connect() {
    return this.#director.run();
  }

  leave() {
    this.#director.close();
  }

  /** Tries now, where it waits to try again. */
  hurry() {
    if (this.phase === "waiting") this.#director.retryNow();
  }

  /** @param {string} token */
  useAccessToken(token) {
    this.#director.useAccessToken(token);
  }

  /** @param {string} text @param {number} seed */
  async start(text, seed) {
    if (!this.isOpen || this.#busy) return;
    this.#setBusy(true);
    await this.pictures.uploads;
    if (this.isReady && (await this.prompts.apply(text))) await this.#play("start", { seed });
    this.#setBusy(false);
  }

  /**
   * Commands the stream: pause, resume, stop, reset.
   * @param {string} type @param {Record<string, unknown>} [fields]
   */
  async control(type, fields) {
    this.#setBusy(true);
    if (type === "resume") await this.#play(type);
    else await this.#commands.send("control", type, fields);
    this.#setBusy(false);
  }

  /**
   * Publishes the stream elsewhere.
   * @param {string} url @param {string} token what the far end asks for, or ""
   */
  publish(url, token) {
    return this.#request("POST", token ? { url, token } : { url });
  }

  unpublish() {
    return this.#request("DELETE");
  }

  /** @param {string} method @param {object} [body] */
  async #request(method, body) {
    this.#setBusy(true);
    await this.#commands.request("publish", method, "publish", body);
    this.#setBusy(false);
  }

  /** @param {string} bookmark to go on from, under the prompt and picture of then */
  async rewind(bookmark) {
    if (!(await this.#commands.send("control", "rewind", { bookmark }))) return;
    this.prompts.onRewind(this.#stream.prompt);
    this.pictures.onRewind(this.#stream.image?.sha256);
    this.#view.changed();
  }

  /** @param {Mode} mode */
  async setMode(mode) {
    this.#chosenMode = this.#askedMode = mode;
    if (this.isOpen && !(await this.#commands.send("control", "set_mode", { mode }))) this.#chosenMode = this.#askedMode = null;
    this.#view.changed();
  }

  /** @param {number} rtp timestamp of a frame @param {number} at when it was on the screen */
  frameShown(rtp, at) {
    if (this.#latency.frame(rtp, at)) this.#onSeen();
  }

  /** @param {boolean} busy */
  #setBusy(busy) {
    this.#busy = busy;
    this.#view.changed();
  }

  /** @param {string} type @param {Record<string, unknown>} [fields] */
  #play(type, fields) {
    this.#playSentAt = this.#now();
    return this.#commands.send("control", type, fields);
  }

  // What the server says.

  /** @param {Capabilities} capabilities */
  useCapabilities(capabilities) {
    this.#capabilities = capabilities;
    for (const part of [this.pictures, this.prompts, this.kept]) part.useCapabilities(capabilities);
    this.#view.changed();
  }

  /** @param {Phase} phase */
  #onPhase(phase) {
    this.#phase = phase;
    if (phase.phase !== "open") for (const part of [this.kept, this.crew]) part.forget();
    if (phase.phase !== "connecting") this.#isLost = phase.phase === "waiting";
    if (phase.phase === "waiting") this.#view.error("status", phase.reason);
    if (phase.phase === "open" || phase.phase === "loading") this.#view.error("status", "");
    this.#view.changed();
  }

  /**
   * Takes over a stream that this page was in, or brings a new one to where the last one was.
   * @param {ServerMessage} welcome @param {boolean} rejoined @param {string} lost why a stream of before is not gone on with
   */
  async #onWelcome(welcome, rejoined, lost) {
    const before = this.#stream;
    const played = before.state === "live" && this.#now() - this.#liveSince > RESTART_AFTER_MS;
    this.#latency.clear();
    if (!rejoined) this.#drift.take();
    this.#streamId = welcome.stream;
    this.useCapabilities(welcome.capabilities);
    this.#useState(welcome.state);
    const mode = this.#chosenMode;
    if (!rejoined && mode && mode !== welcome.state.mode) await this.setMode(mode);
    this.pictures.onWelcome(rejoined);
    await this.prompts.onWelcome(rejoined, welcome.state.prompt);
    this.#view.changed();
    // Not after a moment only: then the start itself may be what ended the stream.
    if (!rejoined && played) await this.start(this.prompts.text, randomSeed());
    if (lost) this.#view.error("status", lost);
  }

  /** @param {ServerMessage} message @param {Sent | undefined} sent */
  #onMessage(message, sent) {
    for (const part of [this.kept, this.crew]) part.onMessage(message);
    if (message.type === "state") this.#onState(/** @type {any} */ (message));
    else if (message.type === "stats") this.#onStats(message);
    else if (message.type === "error" && !sent) this.#view.error("status", message.message);
    else if (sent && (message.type.endsWith("_applied") || ["started", "resumed"].includes(message.type))) {
      this.#onApplied(message, sent);
    }
    if (message.type !== "pong") this.#view.changed();
  }

  /** @param {ServerMessage} stats */
  #onStats(stats) {
    this.#stats = stats;
    this.#drift.take(stats.drift);
  }

  /** @param {ServerMessage} message @param {Sent} sent */
  #onApplied(message, sent) {
    const { type, frame, rtp_timestamp: rtp } = message;
    // What was said before it played counts from the moment when it was told to play.
    const from = Math.max(sent.sentAt, this.#playSentAt);
    if (this.#latency.applied(from, rtp, this.#now())) this.#onSeen();
    const prompt = type === "prompt_applied" ? String(sent.fields.prompt) : this.#stream.prompt;
    if (["prompt_applied", "started", "rewind_applied"].includes(type)) this.#view.tookEffect({ prompt, frame, rtp });
  }

  /** @param {StreamState} state */
  #onState(state) {
    const isOthers = state.prompt !== this.#stream.prompt && state.prompt !== this.prompts.text;
    this.#useState(state);
    // Another director's, whose first frame this page is not told.
    if (isOthers && this.plays) this.#view.tookEffect({ prompt: state.prompt, frame: state.frame, rtp: undefined });
  }

  /** @param {StreamState} state */
  #useState(state) {
    if (state.state === "live" && this.#stream.state !== "live") this.#liveSince = this.#now();
    this.#stream = state;
    if (state.mode === this.#askedMode) this.#askedMode = null;
  }

  /** The first picture made under the last command is on the screen. */
  #onSeen() {
    if (this.#latency.last !== null) this.prompts.onSeen(this.#latency.last);
    this.#view.changed();
  }
}

/** @returns {number} a seed that nobody chose, short enough to be noted down */
export const randomSeed = () => Math.floor(Math.random() * 1_000_000);
