// @ts-check
/**
 * What the page knows and wants of its stream, apart from how it looks: the person's picture, prompt and
 * mode are brought to the server, also to a new stream when the old one is gone.
 */

import { CommandError } from "./command_error.js";
import { Director } from "./peer.js";
import { MAX_PROMPT_CHARS, ProtocolError, codePoints } from "./protocol.js";
import { CommandLatency } from "./stats.js";

/** @typedef {import("./protocol.js").ServerMessage} ServerMessage */
/** @typedef {import("./protocol.js").Capabilities} Capabilities */
/** @typedef {import("./protocol.js").StreamState} StreamState */
/** @typedef {import("./protocol.js").Mode} Mode */
/** @typedef {import("./protocol.js").PicturePolicy} PicturePolicy */
/** @typedef {import("./peer.js").DirectorEvents} DirectorEvents */
/** @typedef {import("./peer.js").Phase} Phase */
/** @typedef {import("./connection.js").Sent} Sent */
/** @typedef {import("./picture.js").Picture & { width: number, height: number }} UprightPicture */
/** @typedef {"picture" | "prompt" | "control" | "publish" | "status"} Place where an error belongs */
/**
 * @typedef {{
 *   changed: () => void,
 *   video: (video: MediaStream) => void,
 *   error: (place: Place, message: string) => void,
 *   promptNote: (words: string) => void,
 *   uploading: (share: number | null) => void,
 *   pictureTaken: (picture: any) => void,
 * }} View what shows a session; an empty message takes an error away
 */
/** @typedef {Pick<Director, "run" | "close" | "command" | "upload" | "request" | "retryNow" | "useAccessToken">} AnyDirector */

const RESTART_AFTER_MS = 10_000;
/** @type {PicturePolicy[]} */
const ENTRIES = ["blend", "flush", "cut"];
const BLEND_S = 1;
const FULL_RATE = 0.9;
const IMAGE_CODES = ["no_image", "image_too_large", "image_unsupported", "image_corrupt", "image_hash_mismatch"];
const STATUS_CODES = ["at_capacity", "disconnected", "rate_limited", "internal"];

/** @template {UprightPicture} P */
export class Session {
  #view;
  #director;
  #now;
  #latency = new CommandLatency();
  /** @type {Phase} */
  #phase = { phase: "connecting" };
  /** @type {Capabilities | null} */
  #capabilities = null;
  /** @type {StreamState} */
  #stream = { state: "idle", mode: "i2v", prompt: "", frame: 0, image: null };
  /** @type {ServerMessage | null} */
  #stats = null;
  /** @type {P | null} what the person chose last */
  #picture = null;
  /** @type {PicturePolicy | null} how the person wants another picture to come in */
  #chosenEntry = null;
  /** @type {P | null} what the server took last */
  #accepted = null;
  /** @type {Promise<void>} uploads, one after the other */
  #uploads = Promise.resolve();
  #prompt = { text: "", sent: true };
  /** @type {Mode | null} */
  #chosenMode = null;
  /** @type {Mode | null} what was chosen last, until the server says so or refuses */
  #askedMode = null;
  #streamId = "";
  /** @type {string | null} url of the recording under way */
  #recording = null;
  /** @type {{ url: string, bytes: number, seconds: number, reason?: string } | null} the last one that ended */
  #recorded = null;
  /** @type {readonly import("./protocol.js").Bookmark[]} the oldest first */
  #bookmarks = [];
  #isAwaited = false;
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

  get picture() {
    return this.#picture;
  }

  /** The ways of another picture into the running video, softest first. */
  get entries() {
    const known = this.#capabilities?.picture_policies ?? ["cut"];
    return ENTRIES.filter((policy) => known.includes(policy));
  }

  /** How another picture comes in: as chosen, else the softest way that the model has. */
  get entry() {
    return this.#chosenEntry && this.entries.includes(this.#chosenEntry) ? this.#chosenEntry : this.entries[0];
  }

  get streamId() {
    return this.#streamId;
  }

  get canRecord() {
    return (this.#capabilities?.limits.recording_s ?? 0) > 0;
  }

  get isRecording() {
    return this.#recording !== null;
  }

  get recorded() {
    return this.#recorded;
  }

  get canBookmark() {
    return (this.#capabilities?.limits.bookmarks ?? 0) > 0;
  }

  get bookmarks() {
    return this.#bookmarks;
  }

  /** The prompt that the stream has, or will have. */
  get prompt() {
    return this.#prompt.text;
  }

  get promptChars() {
    return this.#capabilities?.limits.prompt_chars ?? MAX_PROMPT_CHARS;
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
    return this.mode === "t2v" || this.#picture !== null || this.#stream.image !== null;
  }

  /** Milliseconds from the last command to its picture on the screen, null before the first. */
  get latency() {
    return this.#latency.last;
  }

  /** @returns {{ p50: number, p95: number } | null} of the last commands, in milliseconds */
  get latencies() {
    return this.#latency.percentiles;
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

  /**
   * Makes a picture the stream's, now or as soon as there is a connection.
   * @param {P} picture
   */
  usePicture(picture) {
    this.#picture = picture;
    this.#uploads = this.#uploadAfter(this.#uploads, picture);
    this.#view.changed();
  }

  /** @param {PicturePolicy} policy */
  chooseEntry(policy) {
    this.#chosenEntry = policy;
  }

  /** @param {string} text @param {number} seed */
  async start(text, seed) {
    if (!this.isOpen || this.#busy) return;
    this.#setBusy(true);
    await this.#uploads;
    if (this.isReady && (await this.applyPrompt(text))) await this.#send("control", "start", { seed });
    this.#setBusy(false);
  }

  /**
   * Commands the stream: pause, resume, stop, reset.
   * @param {string} type @param {Record<string, unknown>} [fields]
   */
  async control(type, fields) {
    this.#setBusy(true);
    await this.#send("control", type, fields);
    this.#setBusy(false);
  }

  /** Makes the newest frame of who publishes into the stream its picture. */
  async useCameraFrame() {
    await this.#useFrame("use_camera_frame", this.#entryFields());
  }

  /** Makes the frame on the screen the stream's picture. */
  async useFrame() {
    // Camera and light are in it already: with the motion kept they would be seen twice.
    await this.#useFrame("use_frame", {});
  }

  /** @param {"use_frame" | "use_camera_frame"} type @param {Record<string, unknown>} fields */
  async #useFrame(type, fields) {
    const before = this.#picture;
    // Answered only when it is on the screen, which before a start is not soon; what state tells of it is shown.
    this.#picture = null;
    this.#view.changed();
    if (await this.#send("picture", type, fields)) return;
    this.#picture ??= before;
    this.#view.changed();
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
    this.#view.error("publish", "");
    this.#setBusy(true);
    try {
      await this.#director.request(method, "publish", body);
    } catch (error) {
      this.#report("publish", error);
    }
    this.#setBusy(false);
  }

  /** Begins a recording, or ends the one under way, whoever began it. */
  async toggleRecording() {
    await this.#send("control", this.isRecording ? "record_stop" : "record_start");
  }

  /** Keeps this moment. */
  async bookmark() {
    await this.#send("control", "bookmark");
  }

  /** @param {string} bookmark to go on from, under the prompt and picture of then */
  async rewind(bookmark) {
    if (!(await this.#send("control", "rewind", { bookmark }))) return;
    // Its prompt and picture are those of then; this page's own picture stays only where it is that one.
    this.#prompt = { text: this.#stream.prompt, sent: true };
    if (this.#picture?.sha256 !== this.#stream.image?.sha256) this.#picture = this.#accepted = null;
    this.#view.changed();
  }

  /** @param {string} bookmark @returns {Promise<string | null>} the second stream's id, null where it was refused */
  async fork(bookmark) {
    const reply = await this.#send("control", "fork", { bookmark });
    return reply ? reply.stream : null;
  }

  /** @param {Mode} mode */
  async setMode(mode) {
    this.#chosenMode = this.#askedMode = mode;
    if (this.isOpen && !(await this.#send("control", "set_mode", { mode }))) this.#chosenMode = this.#askedMode = null;
    this.#view.changed();
  }

  /**
   * Gives the stream a prompt, now or when the connection is back.
   * @param {string} text
   * @returns {Promise<boolean>} whether it was taken
   */
  async applyPrompt(text) {
    if (text === this.#prompt.text && this.#prompt.sent) return true;
    const length = codePoints(text);
    if (length > this.promptChars) {
      this.#view.error("prompt", `A prompt may have ${this.promptChars} characters; this one has ${length}.`);
      return false;
    }
    this.#prompt = { text, sent: this.isOpen };
    if (!this.isOpen) {
      this.#view.promptNote("It will be applied when the connection is back.");
      return true;
    }
    this.#isAwaited = this.#stream.state === "live";
    this.#view.promptNote(this.#isAwaited ? "On its way…" : "");
    const isTaken = await this.#send("prompt", "set_prompt", { prompt: text });
    if (!isTaken) {
      this.#prompt.sent = false;
      this.#view.promptNote("");
    }
    this.#view.changed();
    return isTaken;
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

  /** @param {Promise<void>} previous @param {P} picture */
  async #uploadAfter(previous, picture) {
    await previous;
    if (picture !== this.#picture || !this.isOpen) return;
    this.#view.uploading(0);
    try {
      const progress = (/** @type {number} */ sent) => this.#view.uploading(sent / picture.bytes.length);
      await this.#director.upload(picture, progress, this.#entryFields());
      this.#accepted = picture;
      this.#view.pictureTaken(picture);
    } catch (error) {
      const isRefused = this.#report("picture", error) !== "disconnected";
      // The server keeps the picture that it had, so the page shows that one again.
      if (isRefused && picture === this.#picture) this.#picture = this.#accepted;
    }
    this.#view.uploading(null);
    this.#view.changed();
  }

  /** What tells the server how a picture comes into the video; nothing where it begins with it. */
  #entryFields() {
    return this.plays && this.entry !== "cut" ? { policy: this.entry, over_s: BLEND_S } : {};
  }

  /**
   * Sends a command; what goes wrong is shown at its place.
   * @param {Place} place @param {string} type @param {Record<string, unknown>} [fields]
   * @returns {Promise<boolean>} whether it was taken
   */
  async #send(place, type, fields) {
    this.#view.error(place, "");
    if (type === "start" || type === "resume") this.#playSentAt = this.#now();
    try {
      const reply = await this.#director.command(type, fields);
      if (this.isOpen) this.#view.error("status", "");
      return reply;
    } catch (error) {
      this.#report(place, error);
      return null;
    }
  }

  /** @param {Place} place @param {unknown} error @returns {string} its code */
  #report(place, error) {
    if (!(error instanceof CommandError || error instanceof ProtocolError)) throw error;
    // Without a connection the status line says already, and better, what is wrong.
    if (error.code === "disconnected" && !this.isOpen) return error.code;
    const isAboutServer = STATUS_CODES.includes(error.code);
    this.#view.error(isAboutServer ? "status" : IMAGE_CODES.includes(error.code) ? "picture" : place, error.message);
    return error.code;
  }

  // What the server says.

  /** @param {Capabilities} capabilities */
  useCapabilities(capabilities) {
    this.#capabilities = capabilities;
    this.#view.changed();
  }

  /** @param {Phase} phase */
  #onPhase(phase) {
    this.#phase = phase;
    // The server tells of them again after the welcome.
    if (phase.phase !== "open") [this.#recording, this.#bookmarks] = [null, []];
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
    this.#streamId = welcome.stream;
    this.useCapabilities(welcome.capabilities);
    this.#useState(welcome.state);
    if (rejoined) {
      if (this.#prompt.sent) this.#prompt.text = welcome.state.prompt;
    } else {
      this.#prompt.sent = this.#prompt.text === welcome.state.prompt;
      this.#accepted = null;
      const mode = this.#chosenMode;
      if (mode && mode !== welcome.state.mode) await this.setMode(mode);
    }
    if (this.#picture && this.#picture !== this.#accepted) this.usePicture(this.#picture);
    if (!this.#prompt.sent) await this.applyPrompt(this.#prompt.text);
    this.#view.changed();
    // Not after a moment only: then the start itself may be what ended the stream.
    if (!rejoined && played) await this.start(this.#prompt.text, randomSeed());
    if (lost) this.#view.error("status", lost);
  }

  /** @param {ServerMessage} message @param {Sent | undefined} sent */
  #onMessage(message, sent) {
    if (message.type === "state") this.#useState(/** @type {any} */ (message));
    else if (message.type === "stats") this.#stats = message;
    else if (message.type === "recording") this.#onRecording(message.url);
    else if (message.type === "recorded") this.#onRecorded(message);
    else if (message.type === "bookmarked") this.#onBookmarked(/** @type {any} */ (message));
    else if (message.type === "error" && !sent) this.#view.error("status", message.message);
    else if (sent && (message.type.endsWith("_applied") || ["started", "resumed"].includes(message.type))) {
      // What was said before it played counts from the moment when it was told to play.
      const from = Math.max(sent.sentAt, this.#playSentAt);
      if (this.#latency.applied(from, message.rtp_timestamp, this.#now())) this.#onSeen();
    }
    if (message.type !== "pong") this.#view.changed();
  }

  /** @param {string} url */
  #onRecording(url) {
    this.#recording = url;
    this.#recorded = null;
  }

  /** @param {ServerMessage} recorded */
  #onRecorded(recorded) {
    this.#recording = null;
    this.#recorded = recorded.bytes > 0 ? /** @type {any} */ (recorded) : null;
  }

  /** @param {import("./protocol.js").Bookmark} bookmark the server keeps the newest */
  #onBookmarked(bookmark) {
    this.#bookmarks = [...this.#bookmarks, bookmark].slice(-(this.#capabilities?.limits.bookmarks ?? Infinity));
  }

  /** @param {StreamState} state */
  #useState(state) {
    if (state.state === "live" && this.#stream.state !== "live") this.#liveSince = this.#now();
    this.#stream = state;
    if (state.mode === this.#askedMode) this.#askedMode = null;
  }

  /** The first picture made under the last command is on the screen. */
  #onSeen() {
    if (this.#isAwaited && this.latency !== null) {
      this.#isAwaited = false;
      this.#view.promptNote(`On screen after ${(this.latency / 1_000).toFixed(2)} s.`);
    }
    this.#view.changed();
  }
}

/** @returns {number} a seed that nobody chose, short enough to be noted down */
export const randomSeed = () => Math.floor(Math.random() * 1_000_000);
