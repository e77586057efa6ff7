// @ts-check
/** The prompt that the person gave: it goes to the stream, also to the next one, and is told of until it is seen. */

import { MAX_PROMPT_CHARS, codePoints } from "./protocol.js";

const BLEND_S = 2;

/** @typedef {import("./protocol.js").Capabilities} Capabilities */
/** @typedef {import("./commands.js").Commands} Commands */
/** @typedef {import("./commands.js").Place} Place */
/**
 * @typedef {{
 *   changed: () => void,
 *   error: (place: Place, message: string) => void,
 *   promptNote: (words: string) => void,
 * }} PromptView
 */

export class Prompts {
  #commands;
  #view;
  #isLive;
  /** @type {Capabilities | null} */
  #capabilities = null;
  #text = "";
  #isSent = true;
  #isAwaited = false;
  #considered = "";
  /** @type {string | null} how the person wants a prompt to come in */
  #chosenPolicy = null;
  /** How many seconds a prompt takes that comes in by `blend`. */
  blendS = BLEND_S;

  /** @param {Commands} commands @param {PromptView} view @param {() => boolean} isLive whether the stream is */
  constructor(commands, view, isLive) {
    this.#commands = commands;
    this.#view = view;
    this.#isLive = isLive;
  }

  /** The prompt that the stream has, or will have. */
  get text() {
    return this.#text;
  }

  /** How many characters one may have. */
  get limit() {
    return this.#capabilities?.limits.prompt_chars ?? MAX_PROMPT_CHARS;
  }

  /** The ways of another prompt into the running video, as the server has them. */
  get policies() {
    return this.#capabilities?.policies ?? ["auto"];
  }

  /** How another prompt comes in: as chosen, else as the server likes. */
  get policy() {
    return this.#chosenPolicy && this.policies.includes(this.#chosenPolicy) ? this.#chosenPolicy : "auto";
  }

  /** @param {Capabilities} capabilities */
  useCapabilities(capabilities) {
    this.#capabilities = capabilities;
  }

  /** @param {string} policy */
  choosePolicy(policy) {
    this.#chosenPolicy = policy;
    this.#view.changed();
  }

  /**
   * Gives the stream a prompt, now or when the connection is back.
   * @param {string} text
   * @returns {Promise<boolean>} whether it was taken
   */
  async apply(text) {
    if (text === this.#text && this.#isSent) return true;
    const length = codePoints(text);
    if (length > this.limit) {
      this.#view.error("prompt", `A prompt may have ${this.limit} characters; this one has ${length}.`);
      return false;
    }
    [this.#text, this.#isSent] = [text, this.#commands.isOpen];
    if (!this.#isSent) {
      this.#view.promptNote("It will be applied when the connection is back.");
      return true;
    }
    this.#isAwaited = this.#isLive();
    this.#view.promptNote(this.#isAwaited ? "On its way…" : "");
    const isTaken = (await this.#commands.send("prompt", "set_prompt", { prompt: text, ...this.#way() })) !== null;
    if (!isTaken) {
      this.#isSent = false;
      this.#view.promptNote("");
    }
    this.#view.changed();
    return isTaken;
  }

  /** How the next prompt comes in; nothing where the server's own way is meant. */
  #way() {
    const { policy } = this;
    if (policy === "auto") return {};
    return policy === "blend" ? { policy, over_s: this.blendS } : { policy };
  }

  /** Has the model read what is being written, so that it shows sooner once it is given. @param {string} text */
  async consider(text) {
    const known = ["", this.#text, this.#considered].includes(text) || codePoints(text) > this.limit;
    if (known || !this.#isLive() || !this.#commands.isOpen) return;
    this.#considered = text;
    await this.#commands.hint("prepare", { prompt: text });
  }

  /**
   * Brings the prompt to a stream that welcomed this page, or takes over that stream's.
   * @param {boolean} rejoined @param {string} text the stream's
   */
  async onWelcome(rejoined, text) {
    if (!rejoined) this.#isSent = this.#text === text;
    else if (this.#isSent) this.#text = text;
    if (!this.#isSent) await this.apply(this.#text);
  }

  /** The stream went back to another prompt. @param {string} text */
  onRewind(text) {
    [this.#text, this.#isSent] = [text, true];
  }

  /** The first picture made under the last command is on the screen. @param {number} latency in milliseconds */
  onSeen(latency) {
    if (!this.#isAwaited) return;
    this.#isAwaited = false;
    this.#view.promptNote(`On screen after ${(latency / 1_000).toFixed(2)} s.`);
  }
}
