// @ts-check
/** Who directs this stream together, and who of them has the baton; while one has it, the others' commands are refused. */

import { PROTOCOL_VERSION } from "./protocol.js";

/** @typedef {import("./protocol.js").ServerMessage} ServerMessage */
/** @typedef {import("./commands.js").Commands} Commands */
/** @typedef {import("./commands.js").AnyDirector} AnyDirector */
/** @typedef {{ director: string, name: string }} Person */

export class Crew {
  #commands;
  #director;
  #you = "";
  /** @type {string | null} */
  #baton = null;
  /** @type {readonly Person[]} */
  #people = [];

  /** @param {Commands} commands @param {AnyDirector} director */
  constructor(commands, director) {
    this.#commands = commands;
    this.#director = director;
  }

  /** The others, in the order in which they came. */
  get others() {
    return this.#people.filter(({ director }) => director !== this.#you);
  }

  /** What the others read of whoever sits here; "" for nothing. */
  get name() {
    return this.#director.name;
  }

  /** Whether only the person who sits here directs. */
  get isYours() {
    return this.#baton !== null && this.#baton === this.#you;
  }

  /** Who directs alone, where that is somebody else. */
  get holder() {
    return this.others.find(({ director }) => director === this.#baton) ?? null;
  }

  /** @param {string} name */
  async rename(name) {
    this.#director.name = name;
    // The server takes a name with a greeting, and a second one is as good as the first.
    if (this.#commands.isOpen) await this.#commands.send("control", "hello", { protocol: PROTOCOL_VERSION, name });
  }

  /** Lets one alone direct. @param {Person} person */
  async handOver({ director }) {
    await this.#commands.send("control", "hand_over", { to: director });
  }

  /** Lets everyone direct. */
  async release() {
    await this.#commands.send("control", "hand_over");
  }

  /** Directs alone from now on. */
  async takeOver() {
    await this.#commands.send("control", "take_over");
  }

  /** The connection is gone; the server tells who is there after its welcome. */
  forget() {
    [this.#you, this.#baton, this.#people] = ["", null, []];
  }

  /** @param {ServerMessage} message */
  onMessage(message) {
    if (message.type === "directors") [this.#you, this.#baton, this.#people] = [message.you, message.baton, message.directors];
  }
}

/**
 * Names a director for the others.
 * @param {Person} person @returns {string}
 */
export const called = ({ director, name }) => name || director.replace("director-", "Director ");
