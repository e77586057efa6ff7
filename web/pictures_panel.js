// @ts-check
/** The panel of pictures: the one in use and the next one side by side, and how that comes in. */

import { byId, hide, make, say, show } from "./dom.js";
import { listSamples } from "./samples.js";
import { keptStill } from "./still.js";

/** @typedef {import("./still.js").ShownPicture} ShownPicture */
/** @typedef {import("./samples.js").Sample} Sample */
/** @typedef {import("./protocol.js").PicturePolicy} PicturePolicy */

/** @type {Record<PicturePolicy, [string, string]>} */
const ENTRIES = {
  blend: ["Cross-fade", "It fades in while the motion goes on."],
  flush: ["Keep moving", "It takes the other's place; camera and weather go on."],
  cut: ["Begin anew", "The video begins again from it."],
};

export class PicturesPanel {
  #session;
  #swap = byId("swap", HTMLButtonElement);
  #policies = byId("entry-policies", HTMLElement);
  /** @type {ShownPicture | null} */
  #next = null;
  #drawn = "";

  /**
   * @param {import("./session.js").Session<ShownPicture>} session
   * @param {() => void} choose lets the person choose a file
   * @param {(sample: Sample) => void} chooseSample
   */
  constructor(session, choose, chooseSample) {
    this.#session = session;
    byId("next-picture", HTMLButtonElement).addEventListener("click", choose);
    byId("use-frame", HTMLButtonElement).addEventListener("click", () => void session.pictures.useFrame());
    this.#swap.addEventListener("click", () => this.swap());
    listSamples(byId("next-samples", HTMLElement), chooseSample);
  }

  /** Puts a picture beside the one in use. @param {ShownPicture} picture */
  stage(picture) {
    this.#next = picture;
    this.render();
    this.#swap.focus();
  }

  /** Says it in the panel too, which lies over its place on a small screen. @param {string} message */
  showError(message) {
    say("next-error", message);
    hide("next-error", message === "");
  }

  /** Takes the next picture; the one before waits in its place, so that the same again goes back. */
  swap() {
    const next = this.#next;
    if (!next) return;
    this.#next = this.#session.pictures.current;
    this.#session.pictures.use(next);
  }

  render() {
    const { isOpen, pictures, plays, stream } = this.#session;
    const { current, entries, entry } = pictures;
    show(byId("now-image", HTMLImageElement), current?.url ?? keptStill(stream.image));
    const shown = current ?? stream.image;
    say("picture-name", current?.name ?? (shown ? "Picture in use" : "No picture yet"));
    say("picture-facts", shown ? `${shown.width} × ${shown.height}` : "");
    show(byId("next-image", HTMLImageElement), this.#next?.url ?? "");
    hide("next-words", this.#next !== null);
    say("next-name", this.#next?.name ?? "");
    this.#swap.disabled = this.#next === null;
    say("swap", plays ? "Swap" : "Use it");
    hide("use-frame", !plays || !isOpen);
    hide("entry", !plays || entries.length < 2);
    say("entry-note", plays ? ENTRIES[entry][1] : "");
    this.#renderEntries(entries, entry);
  }

  /** @param {PicturePolicy[]} entries @param {PicturePolicy} chosen */
  #renderEntries(entries, chosen) {
    const key = entries.join();
    if (key !== this.#drawn) this.#policies.replaceChildren(...entries.map((policy) => this.#option(policy)));
    this.#drawn = key;
    for (const input of this.#policies.querySelectorAll("input")) input.checked = input.value === chosen;
  }

  /** @param {PicturePolicy} policy */
  #option(policy) {
    const input = make("input", { type: "radio", name: "entry", value: policy });
    input.addEventListener("change", () => this.#session.pictures.chooseEntry(policy));
    return make("label", {}, input, make("span", {}, ENTRIES[policy][0]));
  }
}
