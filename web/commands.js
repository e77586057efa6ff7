// @ts-check
/** Commands to the stream; what goes wrong with one is shown at its place on the page. */

import { CommandError } from "./command_error.js";
import { ProtocolError } from "./protocol.js";

/** @typedef {import("./protocol.js").ServerMessage} ServerMessage */
/** @typedef {Pick<import("./peer.js").Director, "run" | "close" | "command" | "upload" | "request" | "retryNow" | "useAccessToken" | "controlToken" | "name">} AnyDirector */
/** @typedef {"picture" | "prompt" | "control" | "publish" | "status"} Place where an error belongs */

const IMAGE_CODES = ["no_image", "image_too_large", "image_unsupported", "image_corrupt", "image_hash_mismatch"];
const STATUS_CODES = ["at_capacity", "disconnected", "rate_limited", "internal"];

export class Commands {
  #director;
  #show;
  #isOpen;

  /**
   * @param {AnyDirector} director
   * @param {(place: Place, message: string) => void} show an empty message takes an error away
   * @param {() => boolean} isOpen whether there is a connection
   */
  constructor(director, show, isOpen) {
    this.#director = director;
    this.#show = show;
    this.#isOpen = isOpen;
  }

  get isOpen() {
    return this.#isOpen();
  }

  /**
   * Sends a command.
   * @param {Place} place @param {string} type @param {Record<string, unknown>} [fields]
   * @returns {Promise<ServerMessage | null>} its first reply, null where it was not taken
   */
  async send(place, type, fields) {
    this.#show(place, "");
    try {
      const reply = await this.#director.command(type, fields);
      if (this.isOpen) this.#show("status", "");
      return reply;
    } catch (error) {
      this.#report(place, error);
      return null;
    }
  }

  /**
   * Sends a command that nobody waits for, and whose refusal is nobody's matter.
   * @param {string} type @param {Record<string, unknown>} fields
   */
  async hint(type, fields) {
    try {
      await this.#director.command(type, fields);
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
    }
  }

  /**
   * Uploads a picture.
   * @param {import("./picture.js").Picture} picture
   * @param {(sent: number) => void} onProgress
   * @param {Record<string, unknown>} entry how it comes into a video that runs
   * @returns {Promise<"taken" | "refused" | "disconnected">}
   */
  async upload(picture, onProgress, entry) {
    try {
      await this.#director.upload(picture, onProgress, entry);
      return "taken";
    } catch (error) {
      return this.#report("picture", error) === "disconnected" ? "disconnected" : "refused";
    }
  }

  /**
   * Asks for something of the stream over HTTP.
   * @param {Place} place @param {string} method @param {string} path @param {object} [body]
   */
  async request(place, method, path, body) {
    this.#show(place, "");
    try {
      await this.#director.request(method, path, body);
    } catch (error) {
      this.#report(place, error);
    }
  }

  /** @param {Place} place @param {unknown} error @returns {string} its code */
  #report(place, error) {
    if (!(error instanceof CommandError || error instanceof ProtocolError)) throw error;
    // Without a connection the status line says already, and better, what is wrong.
    if (error.code === "disconnected" && !this.isOpen) return error.code;
    const isAboutServer = STATUS_CODES.includes(error.code);
    this.#show(isAboutServer ? "status" : IMAGE_CODES.includes(error.code) ? "picture" : place, error.message);
    return error.code;
  }
}
