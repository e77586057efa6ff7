// @ts-check
/** The row of bookmarks: keep a moment, go back to one, go on from one in a second stream. */

/** @typedef {import("./protocol.js").Bookmark} Bookmark */
/**
 * @typedef {object} Kept the part of the session that bookmarks need
 * @property {boolean} canBookmark
 * @property {boolean} isOpen
 * @property {boolean} plays
 * @property {readonly Bookmark[]} bookmarks
 * @property {() => Promise<void>} bookmark
 * @property {(bookmark: string) => Promise<void>} rewind
 * @property {(bookmark: string) => Promise<string | null>} fork the new stream's id, null where it was refused
 */

const FORK_ICON =
  '<svg viewBox="0 0 24 24" width="14" height="14" aria-hidden="true"><path d="M6 3v18M6 14c0-5 11-3 11-9M14 7l3-3 3 3"></path></svg>';

/** Draws the bookmarks of a session; `render` when something may have changed. */
export class BookmarkRow {
  #session;
  #row = /** @type {HTMLElement} */ (document.getElementById("bookmarks"));
  #list = /** @type {HTMLUListElement} */ (document.getElementById("bookmark-list"));
  #keep = /** @type {HTMLButtonElement} */ (document.getElementById("bookmark"));
  #forked = /** @type {HTMLElement} */ (document.getElementById("forked"));
  /** @type {readonly Bookmark[]} */
  #drawn = [];

  /** @param {Kept} session */
  constructor(session) {
    this.#session = session;
    this.#keep.addEventListener("click", () => void this.#session.bookmark());
  }

  render() {
    const { bookmarks, canBookmark, isOpen, plays } = this.#session;
    this.#row.hidden = !canBookmark || (bookmarks.length === 0 && !plays);
    this.#keep.disabled = !isOpen || !plays;
    if (bookmarks === this.#drawn) return;
    this.#drawn = bookmarks;
    this.#list.replaceChildren(...bookmarks.map((bookmark) => this.#item(bookmark)));
  }

  /** @param {Bookmark} bookmark */
  #item(bookmark) {
    const words = bookmark.name || bookmark.prompt || `frame ${bookmark.frame}`;
    const picture = Object.assign(new Image(), { src: bookmark.thumbnail, alt: "" });
    const back = document.createElement("button");
    Object.assign(back, { type: "button", title: `Go back to “${words}”` });
    back.setAttribute("aria-label", back.title);
    back.append(picture);
    back.addEventListener("click", () => void this.#session.rewind(bookmark.bookmark));
    const fork = document.createElement("button");
    Object.assign(fork, { type: "button", className: "fork", title: "Go on from here in a second stream" });
    fork.innerHTML = FORK_ICON;
    fork.setAttribute("aria-label", `${fork.title}: “${words}”`);
    fork.addEventListener("click", () => void this.#fork(bookmark.bookmark));
    const item = document.createElement("li");
    item.append(back, fork);
    return item;
  }

  /** @param {string} bookmark */
  async #fork(bookmark) {
    const stream = await this.#session.fork(bookmark);
    this.#forked.hidden = stream === null;
    if (stream === null) return;
    const link = /** @type {HTMLAnchorElement} */ (this.#forked.querySelector("a"));
    link.href = `watch/${stream}`;
  }
}
