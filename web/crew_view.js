// @ts-check
/** Who directs together: a list with its buttons in the panel of sharing, and a line at the dock while one directs alone. */

import { called } from "./crew.js";
import { byId, hide, make, say } from "./dom.js";

/** @typedef {import("./crew.js").Person} Person */

const NAME = "vivant.name";

export class CrewView {
  #crew;
  #session;
  #list = byId("crew-list", HTMLUListElement);
  #name = byId("crew-name", HTMLInputElement);
  #turn = byId("baton-turn", HTMLButtonElement);
  #drawn = "";

  /** @param {import("./session.js").Session<any>} session */
  constructor(session) {
    this.#session = session;
    this.#crew = session.crew;
    this.#name.value = localStorage.getItem(NAME) ?? "";
    void this.#crew.rename(this.#name.value);
    this.#name.addEventListener("change", () => {
      const name = this.#name.value.trim();
      localStorage.setItem(NAME, name);
      void this.#crew.rename(name);
    });
    this.#turn.addEventListener("click", () => void (this.#crew.isYours ? this.#crew.release() : this.#crew.takeOver()));
  }

  render() {
    const { holder, isYours, name, others } = this.#crew;
    hide("baton", !holder && !isYours);
    say("baton-text", holder ? `${called(holder)} directs alone now.` : "You alone direct now.");
    say("baton-turn", holder ? "Take over" : "Let all direct");
    this.#turn.disabled = !this.#session.isOpen;
    const key = JSON.stringify([holder, isYours, name, others]);
    if (key === this.#drawn) return;
    this.#drawn = key;
    this.#list.replaceChildren(this.#row(name ? `${name} (you)` : "You", isYours), ...others.map((one) => this.#other(one)));
    hide("crew-alone", others.length > 0);
  }

  /** @param {Person} person */
  #other(person) {
    const button = make("button", { type: "button", className: "quiet" }, "Hand over");
    button.setAttribute("aria-label", `Hand over to ${called(person)}`);
    button.addEventListener("click", () => void this.#crew.handOver(person));
    const hasIt = person === this.#crew.holder;
    const row = this.#row(called(person), hasIt);
    if (!hasIt) row.append(button);
    return row;
  }

  /** @param {string} words @param {boolean} hasIt */
  #row(words, hasIt) {
    return make("li", {}, make("span", {}, words), ...(hasIt ? [make("b", {}, "directs alone")] : []));
  }
}
