// @ts-check
/** Keys that do what buttons do, and the list of them. */

import { byId, make } from "./dom.js";

/** @typedef {{ key: string, name?: string, words: string, press: () => void }} Shortcut `name`: how the key is called */

const KEPT = "vivant.single_keys";
/** What is said of keys that the browser or a field handles. */
const OTHERS = [
  { name: "Enter", words: "Apply the prompt that you write" },
  { name: "Ctrl Enter", words: "Add it to the queue" },
  { name: "Esc", words: "Leave the prompt, close a panel" },
];

export class Shortcuts {
  #shortcuts;
  #dialog = byId("help-dialog", HTMLDialogElement);
  #isOn = byId("single-keys", HTMLInputElement);

  /** @param {Shortcut[]} shortcuts */
  constructor(shortcuts) {
    this.#shortcuts = [...shortcuts, { key: "?", words: "Show this list", press: () => this.#dialog.showModal() }];
    this.#isOn.checked = localStorage.getItem(KEPT) !== "off";
    this.#isOn.addEventListener("change", () => localStorage.setItem(KEPT, this.#isOn.checked ? "on" : "off"));
    byId("help", HTMLButtonElement).addEventListener("click", () => this.#dialog.showModal());
    this.#dialog.addEventListener("click", (event) => event.target === this.#dialog && this.#dialog.close());
    addEventListener("keydown", (event) => this.#press(event));
    this.#list();
  }

  /** @param {KeyboardEvent} event */
  #press(event) {
    if (!this.#isOn.checked || event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (document.querySelector("dialog[open]") || isForTarget(event)) return;
    const shortcut = this.#shortcuts.find(({ key }) => key === event.key.toLowerCase());
    if (!shortcut) return;
    event.preventDefault();
    shortcut.press();
  }

  #list() {
    const keys = [...OTHERS, ...this.#shortcuts.map(({ key, name, words }) => ({ name: name ?? key, words }))];
    const rows = keys.map(({ name, words }) => {
      const caps = name.split(" ").map((cap) => make("kbd", {}, cap));
      return make("div", {}, make("dt", {}, ...caps), make("dd", {}, words));
    });
    byId("keys", HTMLElement).replaceChildren(...rows);
  }
}

/** Whether the element that has the focus wants the key itself. @param {KeyboardEvent} event */
function isForTarget({ target, key }) {
  if (!(target instanceof Element)) return false;
  if (target.closest("textarea, select, input:not([type=radio], [type=checkbox])")) return true;
  return key === " " && target.closest("button, a, summary, input") !== null;
}
