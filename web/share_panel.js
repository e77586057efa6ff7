// @ts-check
/** The panel of sharing: addresses and command lines, each with a button that copies it. */

import { byId, make, say } from "./dom.js";
import { shareLines } from "./share.js";

/** @typedef {import("./share.js").Line} Line */

const HIDDEN = "••••••••••••";
const COPIED_MS = 1_600;

export class SharePanel {
  #session;
  #lines = byId("share-lines", HTMLElement);
  #drawn = "";

  /** @param {import("./session.js").Session<any>} session */
  constructor(session) {
    this.#session = session;
  }

  render() {
    const { capabilities, controlToken, stream, streamId } = this.#session;
    const size = stream.size ?? capabilities?.sizes[0] ?? [832, 480];
    const key = [streamId, controlToken, ...size].join();
    if (streamId === "" || key === this.#drawn) return;
    this.#drawn = key;
    const base = new URL(".", location.href).href;
    const groups = shareLines({ base, stream: streamId, token: controlToken, size });
    this.#lines.replaceChildren(
      ...groups.map(({ title, lines }) =>
        make("section", {}, make("h3", {}, title), ...lines.map((line) => this.#line(line))),
      ),
    );
  }

  /** @param {Line} line */
  #line({ name, text, note, isSecret, isLink }) {
    const shown = isSecret ? make("code", {}, HIDDEN) : make("code", { title: text }, text);
    const words = isLink ? make("a", { href: text, target: "_blank", rel: "noopener" }, shown) : shown;
    const copy = make("button", { type: "button", className: "quiet copy" }, "Copy");
    copy.setAttribute("aria-label", `Copy: ${name}`);
    copy.addEventListener("click", () => void this.#copy(copy, name, text));
    const parts = [make("h4", {}, name), words, copy];
    return make("div", { className: "line" }, ...parts, ...(note ? [make("p", { className: "note" }, note)] : []));
  }

  /** @param {HTMLButtonElement} button @param {string} name @param {string} text */
  async #copy(button, name, text) {
    const isDone = await copyText(text);
    button.textContent = isDone ? "Copied" : "Failed";
    say("copied", isDone ? `${name} is copied.` : "The browser did not let it be copied.");
    setTimeout(() => (button.textContent = "Copy"), COPIED_MS);
  }
}

/** @param {string} text @returns {Promise<boolean>} whether it is in the clipboard */
async function copyText(text) {
  try {
    // Browsers have it over https and on the own machine alone.
    if (navigator.clipboard) await navigator.clipboard.writeText(text);
    else return copyByHand(text);
    return true;
  } catch (error) {
    if (!(error instanceof DOMException)) throw error;
    return copyByHand(text);
  }
}

/** @param {string} text */
function copyByHand(text) {
  const box = make("textarea", { value: text, readOnly: true, className: "sr" });
  const focused = document.activeElement;
  document.body.append(box);
  box.select();
  const isDone = document.execCommand("copy");
  box.remove();
  if (focused instanceof HTMLElement) focused.focus();
  return isDone;
}
