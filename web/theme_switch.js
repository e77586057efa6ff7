// @ts-check
/** Light, dark, or as the system has it; `theme.js` applies it again at the next visit. */

import { byId, label } from "./dom.js";

/** @typedef {"system" | "light" | "dark"} Theme */

const KEY = "vivant.theme";
/** @type {Record<Theme, { words: string, icon: string, next: Theme }>} */
const THEMES = {
  system: { words: "Colours: as the system", icon: "M12 3a9 9 0 1 0 0 18zM12 3a9 9 0 0 1 0 18", next: "light" },
  light: {
    words: "Colours: light",
    icon: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2v2M12 20v2M2 12h2M20 12h2M5 5l1.4 1.4M17.6 17.6L19 19M5 19l1.4-1.4M17.6 6.4L19 5",
    next: "dark",
  },
  dark: { words: "Colours: dark", icon: "M20 14.5A8.5 8.5 0 0 1 9.5 4a8.5 8.5 0 1 0 10.5 10.5z", next: "system" },
};

export class ThemeSwitch {
  #button = byId("theme", HTMLButtonElement);

  constructor() {
    this.#button.addEventListener("click", () => this.turn());
    this.#draw();
  }

  /** Goes on to the next. */
  turn() {
    const { next } = THEMES[this.#theme];
    if (next === "system") {
      localStorage.removeItem(KEY);
      delete document.documentElement.dataset.theme;
    } else {
      localStorage.setItem(KEY, next);
      document.documentElement.dataset.theme = next;
    }
    this.#draw();
  }

  /** @returns {Theme} */
  get #theme() {
    return /** @type {Theme} */ (document.documentElement.dataset.theme ?? "system");
  }

  #draw() {
    const { words, icon } = THEMES[this.#theme];
    label(this.#button, words);
    byId("theme-icon", SVGPathElement).setAttribute("d", icon);
  }
}
