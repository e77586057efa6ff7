// @ts-check
/** The strip below the stage: prompts to use again, bookmarks to go back to or on from. */

import { byId, hide, iconButton, make } from "./dom.js";
import { rtpDistance } from "./stats.js";
import { Timeline, inOrder, timeOf } from "./timeline.js";

/** @typedef {import("./protocol.js").Bookmark} Bookmark */
/** @typedef {import("./session.js").Effect} Effect */
/** @typedef {import("./timeline.js").Moment} Moment */

const THUMBNAIL_WIDTH = 208;
// A prompt takes its time to be seen: the picture of its first frame is that of the prompt before.
const SEEN_AFTER_MS = 1_500;
const FORK = "M6 3v18M6 14c0-5 11-3 11-9M14 7l3-3 3 3";

export class TimelineView {
  #session;
  #video;
  #use;
  #timeline = new Timeline();
  #list = byId("moments", HTMLOListElement);
  #keep = byId("bookmark", HTMLButtonElement);
  /** @type {Effect[]} whose first frame was not shown yet */
  #awaited = [];
  /** @type {unknown[]} */
  #drawn = [];

  /**
   * @param {import("./session.js").Session<any>} session @param {HTMLVideoElement} video
   * @param {(prompt: string) => void} use makes a prompt the stream's again
   */
  constructor(session, video, use) {
    this.#session = session;
    this.#video = video;
    this.#use = use;
    this.#keep.addEventListener("click", () => void session.kept.bookmark());
  }

  /** A prompt took effect. @param {Effect} effect */
  tookEffect(effect) {
    this.#awaited.push(effect);
    if (!("requestVideoFrameCallback" in this.#video)) this.frame(undefined);
  }

  /** A frame is on the screen. @param {number | undefined} rtp its RTP timestamp, where the browser tells */
  frame(rtp) {
    const isShown = (/** @type {Effect} */ effect) =>
      effect.rtp === undefined || rtp === undefined || rtpDistance(rtp, effect.rtp) >= 0;
    const shown = this.#awaited.filter(isShown);
    if (shown.length === 0) return;
    this.#awaited = this.#awaited.filter((effect) => !isShown(effect));
    for (const effect of shown) this.#add(effect);
  }

  render() {
    const { isOpen, kept, plays, prompts, streamId } = this.#session;
    if (streamId) this.#timeline.turnTo(streamId);
    const { moments } = this.#timeline;
    const items = inOrder(moments, kept.bookmarks);
    byId("timeline", HTMLElement).hidden = items.length === 0 && !(plays && kept.canBookmark);
    hide("bookmark", !kept.canBookmark);
    this.#keep.disabled = !isOpen || !plays;
    const drawn = [moments, kept.bookmarks, prompts.text];
    if (drawn.every((part, i) => part === this.#drawn[i])) return;
    const isLonger = items.length > this.#list.children.length;
    this.#drawn = drawn;
    const current = moments.findLast(({ prompt }) => prompt === prompts.text);
    this.#redraw(items.map((item) => ("bookmark" in item ? this.#bookmark(item) : this.#moment(item, item === current))));
    if (isLonger) this.#list.scrollLeft = this.#list.scrollWidth;
  }

  /** Puts new items in the place of the old ones, without taking the focus from who is there. @param {HTMLLIElement[]} items */
  #redraw(items) {
    const buttons = (/** @type {HTMLElement} */ list) => [...list.querySelectorAll("button")];
    const at = buttons(this.#list).findIndex((button) => button === document.activeElement);
    this.#list.replaceChildren(...items);
    if (at >= 0) buttons(this.#list)[at]?.focus({ preventScroll: true });
  }

  /** @param {Effect} effect */
  #add(effect) {
    const moment = this.#timeline.add(effect);
    if (!moment) return;
    const look = () => {
      this.#timeline.picture(moment, thumbnail(this.#video));
      this.render();
    };
    look();
    setTimeout(() => this.#timeline.moments.at(-1) === moment && this.#session.plays && look(), SEEN_AFTER_MS);
  }

  /** @param {Moment} moment @param {boolean} isCurrent */
  #moment({ prompt, at, thumbnail }, isCurrent) {
    const button = this.#card(thumbnail, prompt);
    const began = this.#timeline.moments[0].at;
    button.append(make("span", { className: "time" }, timeOf(at - began)));
    button.title = `Use this prompt again: ${prompt}`;
    if (isCurrent) button.setAttribute("aria-current", "true");
    button.addEventListener("click", () => this.#use(prompt));
    return make("li", { className: "moment" }, button);
  }

  /** @param {Bookmark} bookmark */
  #bookmark({ bookmark, name, prompt, frame, thumbnail }) {
    const words = name || prompt || `frame ${frame}`;
    const button = this.#card(thumbnail, words);
    button.title = `Go back to this bookmark: ${words}`;
    button.addEventListener("click", () => void this.#session.rewind(bookmark));
    const fork = iconButton(`Go on from here in a second stream: ${words}`, FORK, () => void this.#fork(bookmark));
    fork.classList.add("fork");
    return make("li", { className: "moment bookmark" }, button, fork);
  }

  /** @param {string} picture @param {string} words */
  #card(picture, words) {
    const image = make("img", { alt: "", src: picture, hidden: picture === "" });
    return make("button", { type: "button" }, image, make("span", { className: "words" }, words));
  }

  /** @param {string} bookmark */
  async #fork(bookmark) {
    const stream = await this.#session.kept.fork(bookmark);
    hide("forked", stream === null);
    if (stream === null) return;
    const link = /** @type {HTMLAnchorElement} */ (document.querySelector("#forked a"));
    link.href = `watch/${stream}`;
  }
}

/** @param {HTMLVideoElement} video @returns {string} what it shows, small, as a `data:` URL */
function thumbnail(video) {
  const canvas = document.createElement("canvas");
  canvas.width = THUMBNAIL_WIDTH;
  canvas.height = Math.max(1, Math.round((THUMBNAIL_WIDTH * video.videoHeight) / (video.videoWidth || 1)));
  canvas.getContext("2d")?.drawImage(video, 0, 0, canvas.width, canvas.height);
  return canvas.toDataURL("image/jpeg", 0.7);
}
