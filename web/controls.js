// @ts-check
/** The buttons that start, pause and end a take, its seed and its mode, and the line that says how it stands. */

import { byId, hide, say } from "./dom.js";
import { formatBytes } from "./picture.js";

/** @typedef {import("./protocol.js").Mode} Mode */
/** @typedef {import("./commands.js").Place} Place */

const PLAY_ICON = "M7 4.5v15l12-7.5z";
const PAUSE_ICON = "M6 4.5h4v15H6zM14 4.5h4v15h-4z";
const STATE_WORDS = { idle: "Ready", live: "Live", paused: "Paused", ended: "Ended" };
const PHASE_WORDS = { connecting: "Connecting…", loading: "Loading…", waiting: "Reconnecting…", token: "Access token needed" };
const PRIMARY_WORDS = { idle: "Start", live: "Pause", paused: "Resume", ended: "Start" };

export class Controls {
  #session;
  #showError;
  #primary = byId("primary", HTMLButtonElement);
  #reset = byId("reset", HTMLButtonElement);
  #stop = byId("stop", HTMLButtonElement);
  #seed = byId("seed", HTMLInputElement);
  #modes = /** @type {NodeListOf<HTMLInputElement>} */ (document.querySelectorAll("input[name=mode]"));

  /**
   * @param {import("./session.js").Session<any>} session
   * @param {(place: Place, message: string) => void} showError
   * @param {() => void} start where there is nothing to pause or resume
   */
  constructor(session, showError, start) {
    this.#session = session;
    this.#showError = showError;
    const press = () => void this.toggle(start);
    this.#primary.addEventListener("click", press);
    byId("play", HTMLButtonElement).addEventListener("click", press);
    this.#stop.addEventListener("click", () => void session.control("stop"));
    this.#reset.addEventListener("click", () => {
      if (this.checkSeed()) void session.control("reset", this.#chosenSeed());
    });
    this.#seed.addEventListener("input", () => this.checkSeed());
    for (const radio of this.#modes) {
      radio.addEventListener("change", () => {
        // What was missing in one mode need not be in the other.
        showError("picture", "");
        void session.setMode(/** @type {Mode} */ (radio.value));
      });
    }
  }

  /** Pauses or resumes, or else starts. @param {() => void} start */
  async toggle(start) {
    if (this.#primary.disabled) return;
    const { state } = this.#session.stream;
    if (state === "live") await this.#session.control("pause");
    else if (state === "paused") await this.#session.control("resume");
    else start();
  }

  /** @returns {boolean} whether the seed field holds a seed or nothing */
  checkSeed() {
    const isGood = /^\d*$/.test(this.#seed.value.trim());
    this.#seed.setAttribute("aria-invalid", String(!isGood));
    this.#showError("control", isGood ? "" : "A seed is a whole number, such as 42. Leave it empty for a random one.");
    if (!isGood) this.#seed.focus();
    return isGood;
  }

  /** @param {number} otherwise @returns {number} the seed in the field; where there is none the other, which it shows */
  seed(otherwise) {
    const { seed } = this.#chosenSeed() ?? { seed: otherwise };
    this.#seed.placeholder = String(seed);
    return seed;
  }

  render() {
    const { isBusy, isOpen, isReady, loading, mode, phase, plays, stream } = this.#session;
    const { state } = stream;
    const isStarting = isOpen && isBusy && !plays;
    say("state-text", isStarting ? "Starting…" : phase === "open" ? STATE_WORDS[state] : PHASE_WORDS[phase]);
    byId("state", HTMLElement).dataset.state = isStarting ? "starting" : isOpen ? state : phase;
    say("status-note", loading);
    say("primary-text", isStarting ? "Starting…" : PRIMARY_WORDS[state]);
    byId("primary-icon", SVGPathElement).setAttribute("d", state === "live" ? PAUSE_ICON : PLAY_ICON);
    this.#primary.disabled = !isOpen || isBusy || state === "ended";
    this.#primary.dataset.ready = plays || isReady ? "yes" : "no";
    this.#stop.disabled = this.#reset.disabled = !isOpen || !plays || isBusy;
    for (const radio of this.#modes) radio.checked = radio.value === mode;
    this.#renderModes();
    this.#renderRecorded();
  }

  #renderModes() {
    const { capabilities } = this.#session;
    if (!capabilities) return;
    const { limits, model, modes, needs } = capabilities;
    for (const radio of this.#modes) radio.disabled = !modes.includes(/** @type {Mode} */ (radio.value));
    hide("modes", modes.length < 2);
    say("model", model);
    if (needs) byId("model", HTMLElement).title = needs;
    const isFromText = modes.includes("t2v");
    say("mode-reason", modes.length > 1 ? "" : isFromText ? "makes video from text" : "animates pictures");
    const rules = `JPG, PNG or WebP, up to ${formatBytes(limits.image_bytes)}`;
    say("empty-rules", this.#session.mode === "t2v" ? "" : rules);
  }

  #renderRecorded() {
    const { recorded } = this.#session.kept;
    hide("recorded", recorded === null);
    if (recorded === null) return;
    byId("recorded-link", HTMLAnchorElement).href = recorded.url;
    const reason = recorded.reason ? ` ${recorded.reason}` : "";
    say("recorded-facts", `${recorded.seconds.toFixed(1)} s, ${formatBytes(recorded.bytes)}.${reason}`);
  }

  #chosenSeed() {
    const digits = this.#seed.value.trim();
    return digits === "" ? undefined : { seed: Number(digits) };
  }
}
