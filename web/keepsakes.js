// @ts-check
/** What is kept of a stream: recordings, and bookmarks to go back to or on from. */

/** @typedef {import("./protocol.js").Bookmark} Bookmark */
/** @typedef {import("./protocol.js").Limits} Limits */
/** @typedef {import("./protocol.js").ServerMessage} ServerMessage */
/** @typedef {import("./commands.js").Commands} Commands */
/** @typedef {{ url: string, bytes: number, seconds: number, reason?: string }} Recorded */

export class Keepsakes {
  #commands;
  /** @type {Limits | null} */
  #limits = null;
  /** @type {string | null} url of the recording under way */
  #recording = null;
  /** @type {Recorded | null} the last one that ended */
  #recorded = null;
  /** @type {readonly Bookmark[]} the oldest first */
  #bookmarks = [];

  /** @param {Commands} commands */
  constructor(commands) {
    this.#commands = commands;
  }

  get canRecord() {
    return (this.#limits?.recording_s ?? 0) > 0;
  }

  get isRecording() {
    return this.#recording !== null;
  }

  get recorded() {
    return this.#recorded;
  }

  get canBookmark() {
    return (this.#limits?.bookmarks ?? 0) > 0;
  }

  get bookmarks() {
    return this.#bookmarks;
  }

  /** @param {import("./protocol.js").Capabilities} capabilities */
  useCapabilities({ limits }) {
    this.#limits = limits;
  }

  /** Begins a recording, or ends the one under way, whoever began it. */
  async toggleRecording() {
    await this.#commands.send("control", this.isRecording ? "record_stop" : "record_start");
  }

  /** Keeps this moment. */
  async bookmark() {
    await this.#commands.send("control", "bookmark");
  }

  /** @param {string} bookmark @returns {Promise<string | null>} the second stream's id, null where it was refused */
  async fork(bookmark) {
    const reply = await this.#commands.send("control", "fork", { bookmark });
    return reply ? reply.stream : null;
  }

  /** The connection is gone; the server tells of what there is again after its welcome. */
  forget() {
    [this.#recording, this.#bookmarks] = [null, []];
  }

  /** @param {ServerMessage} message */
  onMessage(message) {
    if (message.type === "recording") [this.#recording, this.#recorded] = [message.url, null];
    else if (message.type === "recorded") this.#onRecorded(message);
    else if (message.type === "bookmarked") this.#onBookmarked(/** @type {any} */ (message));
  }

  /** @param {ServerMessage} recorded */
  #onRecorded(recorded) {
    this.#recording = null;
    this.#recorded = recorded.bytes > 0 ? /** @type {any} */ (recorded) : null;
  }

  /** @param {Bookmark} bookmark the server keeps the newest */
  #onBookmarked(bookmark) {
    this.#bookmarks = [...this.#bookmarks, bookmark].slice(-(this.#limits?.bookmarks ?? Infinity));
  }
}
