// @ts-check
/** The panel beside the stage, one thing at a time; on a phone it comes up from below. */

import { byId, hide } from "./dom.js";

/** @typedef {"pictures" | "queue" | "share"} PanelName */

/** @type {Record<PanelName, string>} */
const TITLES = { pictures: "Pictures", queue: "Queue", share: "Share" };
const NAMES = /** @type {PanelName[]} */ (Object.keys(TITLES));

export class Panel {
  #panel = byId("panel", HTMLElement);
  #title = byId("panel-title", HTMLElement);
  /** @type {PanelName | null} */
  #shown = null;
  /** @type {Element | null} */
  #opener = null;

  constructor() {
    for (const name of NAMES) byId(`open-${name}`, HTMLButtonElement).addEventListener("click", () => this.toggle(name));
    byId("close-panel", HTMLButtonElement).addEventListener("click", () => this.close());
    this.#panel.addEventListener("keydown", (event) => event.key === "Escape" && this.close());
  }

  /** Whether it shows this. @param {PanelName} name */
  shows(name) {
    return this.#shown === name;
  }

  /** @param {PanelName} name */
  toggle(name) {
    if (this.#shown === name) this.close();
    else this.open(name);
  }

  /** @param {PanelName} name */
  open(name) {
    if (!this.#panel.contains(document.activeElement)) this.#opener = document.activeElement;
    this.#show(name);
    this.#title.textContent = TITLES[name];
    this.#title.focus({ preventScroll: true });
    this.#panel.scrollTop = 0;
  }

  close() {
    if (this.#shown === null) return;
    const hadFocus = this.#panel.contains(document.activeElement);
    this.#show(null);
    if (hadFocus && this.#opener instanceof HTMLElement) this.#opener.focus({ preventScroll: true });
  }

  /** @param {PanelName | null} name */
  #show(name) {
    this.#shown = name;
    this.#panel.hidden = name === null;
    for (const other of NAMES) {
      hide(`${other}-panel`, other !== name);
      byId(`open-${other}`, HTMLButtonElement).setAttribute("aria-expanded", String(other === name));
    }
  }
}
