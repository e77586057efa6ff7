// @ts-check
/** The panel of the queue. */

import { byId, hide, iconButton, make, say } from "./dom.js";
import { PromptQueue } from "./queue.js";

/** @typedef {import("./queue.js").Queued} Queued */

const SECONDS = 8;
const KEPT = "vivant.queue";
const ICONS = { up: "M12 19V5M6 11l6-6 6 6", down: "M12 5v14M6 13l6 6 6-6", remove: "M6 6l12 12M18 6L6 18" };

export class QueueView {
  #session;
  #start;
  #queue;
  #list = byId("queue-list", HTMLOListElement);
  #prompt = byId("queue-prompt", HTMLInputElement);
  #seconds = byId("queue-seconds", HTMLInputElement);
  #loop = byId("queue-loop", HTMLInputElement);
  #run = byId("queue-run", HTMLButtonElement);
  #drawn = "";

  /**
   * @param {import("./session.js").Session<any>} session
   * @param {(prompt: string) => void} apply gives the stream a prompt
   * @param {(prompt: string) => Promise<void>} start starts the stream with a prompt
   */
  constructor(session, apply, start) {
    this.#session = session;
    this.#start = start;
    this.#queue = new PromptQueue(apply, () => (this.#keep(), this.render()));
    const kept = sessionStorage.getItem(KEPT);
    if (kept) this.#queue.takeUp(kept);
    this.#loop.checked = this.#queue.loops;
    byId("queue-form", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      this.add(this.#prompt.value.trim(), this.#seconds.valueAsNumber);
      this.#prompt.value = "";
      this.#prompt.focus();
    });
    this.#run.addEventListener("click", () => this.#toggle());
    byId("queue-next", HTMLButtonElement).addEventListener("click", () => this.next());
    this.#loop.addEventListener("change", () => {
      this.#queue.loops = this.#loop.checked;
      this.#keep();
    });
    setInterval(() => this.#renderTime(), 250);
  }

  /** Adds a prompt at the end. @param {string} prompt @param {number} [seconds] */
  add(prompt, seconds = SECONDS) {
    if (prompt !== "") this.#queue.add(prompt, seconds > 0 ? seconds : SECONDS);
  }

  /** Goes on to the next one. */
  next() {
    if (this.#queue.items.length > 0) this.#queue.next();
  }

  render() {
    const { isBusy, isOpen, isReady, plays, stream } = this.#session;
    const { current, isRunning, items } = this.#queue;
    this.#queue.hold(!isOpen || stream.state !== "live");
    if (isRunning && isOpen && !plays && !isBusy && stream.state === "idle") this.#queue.stop();
    say("queue-run", isRunning ? "Stop the queue" : "Run");
    this.#run.disabled = items.length === 0 || (!isRunning && !(isOpen && (plays || isReady)));
    byId("queue-next", HTMLButtonElement).disabled = items.length === 0 || !plays;
    hide("queue-count", items.length === 0);
    say("queue-count", String(items.length));
    const key = JSON.stringify(items) + isRunning + current?.id;
    if (key !== this.#drawn) {
      this.#drawn = key;
      this.#redraw();
    }
    this.#renderTime();
  }

  /** For a reload of the page, and this tab alone. */
  #keep() {
    sessionStorage.setItem(KEPT, this.#queue.keep());
  }

  async #toggle() {
    if (this.#queue.isRunning) return this.#queue.stop();
    const first = this.#queue.current ?? this.#queue.items[0];
    if (!this.#session.plays) await this.#start(first.prompt);
    if (this.#session.plays) this.#queue.run();
  }

  /** Draws the items anew, without taking the focus from who is there. */
  #redraw() {
    const focused = document.activeElement?.getAttribute("data-focus");
    this.#list.replaceChildren(...this.#queue.items.map((item, at) => this.#item(item, at)));
    const again = focused ? this.#list.querySelector(`[data-focus="${focused}"]`) : null;
    if (again instanceof HTMLElement) again.focus();
  }

  /** @param {Queued} item @param {number} at */
  #item(item, at) {
    const { id, prompt, seconds } = item;
    const isCurrent = item === this.#queue.current;
    const go = make("button", { type: "button", className: "go", title: `Go to this prompt: ${prompt}` }, prompt);
    go.addEventListener("click", () => this.#session.plays && this.#queue.jump(id));
    const time = make("input", { type: "number", min: "1", max: "3600", value: String(seconds), inputMode: "decimal" });
    time.setAttribute("aria-label", `Seconds of ${prompt}`);
    time.addEventListener("change", () => time.valueAsNumber > 0 && this.#queue.setSeconds(id, time.valueAsNumber));
    const buttons = [
      iconButton(`Earlier: ${prompt}`, ICONS.up, () => this.#queue.move(id, -1)),
      iconButton(`Later: ${prompt}`, ICONS.down, () => this.#queue.move(id, 1)),
      iconButton(`Leave out: ${prompt}`, ICONS.remove, () => this.#queue.remove(id)),
    ];
    [buttons[0].disabled, buttons[1].disabled] = [at === 0, at === this.#queue.items.length - 1];
    for (const [at, control] of [go, time, ...buttons].entries()) control.dataset.focus = `${at}-${id}`;
    const unit = make("label", { className: "seconds" }, time, " s");
    const progress = make("progress", { max: seconds, value: 0, hidden: !isCurrent });
    progress.setAttribute("aria-label", "Time of this prompt");
    const row = make("li", {}, go, unit, ...buttons, progress);
    if (isCurrent) row.setAttribute("aria-current", "step");
    return row;
  }

  #renderTime() {
    const { current, isRunning } = this.#queue;
    const progress = this.#list.querySelector("[aria-current] progress");
    if (!current || !(progress instanceof HTMLProgressElement)) return;
    progress.value = isRunning ? current.seconds - this.#queue.left : 0;
  }
}
