// @ts-check
/** The line to write in: the prompt, examples of it, and how it comes in. */

import { byId, hide, make, say, show } from "./dom.js";
import { heardLine } from "./heard.js";
import { codePoints } from "./protocol.js";
import { keptStill } from "./still.js";

/** @typedef {import("./session.js").Session<import("./still.js").ShownPicture>} Session */
/**
 * @typedef {{
 *   enter: () => void,
 *   enqueue: () => void,
 *   example: (prompt: string) => void,
 * }} ComposerEvents what the person wants with what is written; `example`: one was clicked
 */

const COUNT_FROM = 0.75;
/** Of the hand that writes, after which what is written may be what is meant. */
const PAUSE_MS = 300;
const BLENDS_S = [0.5, 1, 2, 4, 8];
/** @type {Record<string, string>} */
const POLICIES = {
  auto: "As it fits",
  blend: "Gradually",
  recache: "Smoothly, at once",
  flush: "At once",
  cut: "New scene",
};

export class Composer {
  #session;
  #events;
  #box = byId("prompt", HTMLTextAreaElement);
  #examples = byId("examples", HTMLUListElement);
  #policy = byId("prompt-policy", HTMLSelectElement);
  #over = byId("prompt-over", HTMLSelectElement);
  #known = "";
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #pause;

  /** @param {Session} session @param {ComposerEvents} events */
  constructor(session, events) {
    this.#session = session;
    this.#events = events;
    this.#box.addEventListener("input", () => {
      this.render();
      clearTimeout(this.#pause);
      this.#pause = setTimeout(() => void session.prompts.consider(this.text), PAUSE_MS);
    });
    this.#box.addEventListener("keydown", (event) => this.#press(event));
    byId("composer", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      events.enter();
    });
    byId("enqueue", HTMLButtonElement).addEventListener("click", () => events.enqueue());
    this.#policy.addEventListener("change", () => session.prompts.choosePolicy(this.#policy.value));
    this.#over.replaceChildren(...BLENDS_S.map((seconds) => new Option(`in ${seconds} s`, String(seconds))));
    this.#over.value = String(session.prompts.blendS);
    this.#over.addEventListener("change", () => {
      session.prompts.blendS = Number(this.#over.value);
    });
  }

  get text() {
    return this.#box.value.trim();
  }

  set text(text) {
    this.#box.value = text;
    this.render();
  }

  focus() {
    this.#box.focus();
    this.#box.select();
  }

  /** @param {boolean} isBad */
  mark(isBad) {
    this.#box.setAttribute("aria-invalid", String(isBad));
  }

  render() {
    this.#renderText();
    this.#renderExamples();
    this.#renderPolicies();
    const { capabilities, pictures, plays, stream } = this.#session;
    say("heard", plays ? heardLine(stream.heard, capabilities?.model ?? "The model") : "");
    const url = pictures.current?.url ?? keptStill(stream.image);
    show(byId("thumbnail", HTMLImageElement), url);
    hide("replace", pictures.current === null && stream.image === null);
  }

  /** @param {KeyboardEvent} event */
  #press(event) {
    if (event.key === "Escape") this.#box.blur();
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    if (event.ctrlKey || event.metaKey) this.#events.enqueue();
    else this.#events.enter();
  }

  #renderText() {
    const { plays, prompts } = this.#session;
    // The stream's prompt comes into the box when it changes elsewhere, unless something else is typed there.
    if (prompts.text !== this.#known && this.text === this.#known) this.#box.value = prompts.text;
    this.#known = prompts.text;
    const length = codePoints(this.text);
    const isTyped = this.text !== prompts.text;
    hide("apply", !plays || !isTyped);
    hide("enqueue", !plays || this.text === "");
    if (isTyped) say("prompt-note", length > COUNT_FROM * prompts.limit ? `${length} of ${prompts.limit} characters` : "");
  }

  #renderExamples() {
    const wanted = this.#session.examples;
    const shown = Array.from(this.#examples.children, (item) => item.textContent);
    if (shown.join("\n") !== wanted.join("\n")) {
      this.#examples.replaceChildren(...wanted.map((prompt) => this.#chip(prompt)));
    }
    for (const chip of this.#examples.querySelectorAll("button")) {
      chip.setAttribute("aria-pressed", String(chip.textContent === this.text));
    }
  }

  /** @param {string} prompt */
  #chip(prompt) {
    const button = make("button", { type: "button" }, prompt);
    button.addEventListener("click", () => this.#events.example(prompt));
    return make("li", {}, button);
  }

  #renderPolicies() {
    const { policies, policy } = this.#session.prompts;
    const shown = Array.from(this.#policy.options, ({ value }) => value);
    if (shown.join() !== policies.join()) {
      this.#policy.replaceChildren(...policies.map((value) => new Option(POLICIES[value] ?? value, value)));
    }
    this.#policy.value = policy;
    hide("policy", policies.length < 2 || !this.#session.plays);
    hide("over", policy !== "blend" || !this.#session.plays);
  }
}
