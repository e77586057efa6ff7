// @ts-check
/** The prompts of a stream, each from when it took effect, with what was seen then. */

/** @typedef {import("./protocol.js").Bookmark} Bookmark */
/** @typedef {{ prompt: string, frame: number, at: number, thumbnail: string }} Moment `at` in ms of `Date.now()` */

const REMEMBERED = 40;
const KEY = "vivant.timeline";

export class Timeline {
  #storage;
  #stream = "";
  /** @type {readonly Moment[]} the oldest first */
  #moments = [];

  /** @param {Pick<Storage, "getItem" | "setItem">} [storage] where what survives a reload is kept */
  constructor(storage = sessionStorage) {
    this.#storage = storage;
  }

  get moments() {
    return this.#moments;
  }

  /** Turns to a stream: to what is kept of it, or to nothing. @param {string} stream its id */
  turnTo(stream) {
    if (stream === this.#stream) return;
    this.#stream = stream;
    const kept = JSON.parse(this.#storage.getItem(KEY) ?? "{}");
    this.#moments = kept.stream === stream ? kept.moments : [];
  }

  /**
   * Adds a prompt that took effect; the one that is in effect already, and none, add nothing.
   * @param {{ prompt: string, frame: number }} effect @param {number} [at] when
   * @returns {Moment | null}
   */
  add({ prompt, frame }, at = Date.now()) {
    if (prompt === "" || prompt === this.#moments.at(-1)?.prompt) return null;
    const moment = { prompt, frame, at, thumbnail: "" };
    this.#moments = [...this.#moments, moment].slice(-REMEMBERED);
    return moment;
  }

  /** Gives a moment its picture. @param {Moment} moment @param {string} thumbnail a `data:` URL */
  picture(moment, thumbnail) {
    moment.thumbnail = thumbnail;
    this.#moments = [...this.#moments];
    this.#storage.setItem(KEY, JSON.stringify({ stream: this.#stream, moments: this.#moments }));
  }
}

/**
 * Puts prompts and bookmarks in the order of their frames.
 * @param {readonly Moment[]} moments @param {readonly Bookmark[]} bookmarks
 * @returns {(Moment | Bookmark)[]}
 */
export const inOrder = (moments, bookmarks) => [...moments, ...bookmarks].sort((a, b) => a.frame - b.frame);

/** @param {number} ms @returns {string} such as "1:05" */
export function timeOf(ms) {
  const seconds = Math.floor(Math.max(0, ms) / 1_000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}
