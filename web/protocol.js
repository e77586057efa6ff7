// @ts-check
/**
 * The messages of the data channel `control`, version 1: a mirror of `stream/protocol.py` and
 * `stream/parsing.py`. Both sides pass `tests/vectors/protocol.json`.
 */

/** @typedef {{ type: string, id: number } & Record<string, unknown>} Command */
/** @typedef {{ type: string, id?: number } & Record<string, any>} ServerMessage a message that this page has not made */
/** @typedef {"idle" | "live" | "paused" | "ended"} State */
/** @typedef {"t2v" | "i2v"} Mode */
/** @typedef {"cut" | "flush" | "blend"} PicturePolicy */
/** @typedef {{ sha256: string, width: number, height: number }} ImageState */
/** @typedef {{ state: "connecting" | "live", width: number | null, height: number | null }} PublisherState */
/** @typedef {{ to: string, state: "connecting" | "live" | "retrying", status: number | null, error: string | null }} PublishState */
/**
 * @typedef {{
 *   state: State, mode: Mode, prompt: string, frame: number, image: ImageState | null,
 *   size?: [number, number], publisher?: PublisherState, publish?: PublishState,
 *   heard?: import("./heard.js").Heard,
 * }} StreamState `size` is in force while it runs, else what the next start will make; the first of `sizes` if left out
 */
/**
 * @typedef {{
 *   prompt_chars: number, image_bytes: number, image_pixels: number, streams: number, recording_s?: number,
 *   bookmarks?: number,
 * }} Limits `recording_s` is 0 where nothing can be recorded, `bookmarks` where none can be made
 */
/**
 * @typedef {{
 *   bookmark: string, name: string, frame: number, thumbnail: string, mode: Mode, prompt: string, seed: number,
 * }} Bookmark
 */
/**
 * @typedef {{
 *   luma: number, contrast: number, saturation: number, sharpness: number,
 *   similarity: number | null, is_reanchoring: boolean,
 * }} Drift how far the video is from what it was when its prompt had settled, each as a share
 */
/**
 * @typedef {{
 *   model: string, sizes: [number, number][], fps: number, modes: Mode[], policies: string[],
 *   picture_policies?: PicturePolicy[],
 *   limits: Limits, examples: string[], scenes?: string[], needs?: string,
 * }} Capabilities
 */

export const PROTOCOL_VERSION = 1;
export const MAX_TEXT_BYTES = 65_536;
export const MAX_PROMPT_CHARS = 2_000;

/** What a peer may not say; `code` is the contract's, `id` the command's where it could be read. */
export class ProtocolError extends Error {
  /** @param {string} code @param {string} message @param {number} [id] */
  constructor(code, message, id) {
    super(message);
    this.code = code;
    this.id = id;
  }
}

/** @typedef {(value: unknown) => string | null} Check what a value should have been, or null where it fits */

/** @type {Check} */
const integer = (value) => (Number.isInteger(value) ? null : "an integer");
/** @type {Check} */
const natural = (value) => (Number.isInteger(value) && Number(value) >= 0 ? null : "an integer of 0 or more");
/** @type {Check} */
const positive = (value) => (Number.isInteger(value) && Number(value) > 0 ? null : "an integer above 0");
/** @type {Check} */
const seed = (value) => (natural(value) === null && Number(value) < 2 ** 63 ? null : "an integer from 0 to 2^63 - 1");
/** @type {Check} */
const number = (value) => (typeof value === "number" && Number.isFinite(value) ? null : "a number");
/** @type {Check} */
const seconds = (value) => (number(value) === null && Number(value) >= 0 ? null : "a number of 0 or more");
/** @type {Check} */
const fade = (value) => (seconds(value) === null && Number(value) <= 10 ? null : "a number from 0 to 10");
/** @type {Check} */
const rate = (value) => (number(value) === null && Number(value) > 0 ? null : "a number above 0");
/** @type {Check} a surrogate without its other half can't be written as UTF-8 */
const string = (value) =>
  typeof value === "string" && !/\p{Surrogate}/u.test(value) ? null : "a string of whole characters";
/** @type {Check} */
const sha256 = (value) =>
  typeof value === "string" && /^[0-9a-f]{64}$/i.test(value) ? null : "64 hexadecimal digits";
/** @type {Check} */
const line = (value) =>
  string(value) === null && /^[^\u0000-\u001f\u007f]{0,40}$/u.test(String(value)) ? null : "a line of at most 40 characters";
/** @param {...string} words @returns {Check} */
const oneOf = (...words) => (value) =>
  typeof value === "string" && words.includes(value) ? null : `one of ${words.join(", ")}`;

/** What a field that is left out means; those that are not here have no value then. */
/** @type {Record<string, Record<string, unknown>>} */
const DEFAULTS = {
  bookmark: { name: "" },
  hello: { name: "" },
  set_prompt: { policy: "auto", over_s: 0.5 },
  upload_image: { policy: "cut", over_s: 0.5 },
  use_frame: { policy: "cut", over_s: 0.5 },
  use_camera_frame: { policy: "cut", over_s: 0.5 },
};

/** How a picture comes into a video that runs. */
const ENTRY = { "policy?": oneOf("cut", "flush", "blend"), "over_s?": fade };

/** @type {Record<string, Record<string, Check>>} fields by command; a name that ends in `?` may be left out */
const COMMANDS = {
  hello: { protocol: integer, "name?": line },
  set_mode: { mode: oneOf("t2v", "i2v") },
  set_prompt: {
    prompt: string,
    "policy?": oneOf("blend", "recache", "flush", "cut", "auto"),
    "over_s?": seconds,
  },
  prepare: { prompt: string },
  upload_image: { size: natural, mime: string, sha256, "name?": string, ...ENTRY },
  use_frame: ENTRY,
  start: { "seed?": seed },
  pause: {},
  resume: {},
  stop: {},
  reset: { "seed?": seed },
  configure: { "fps?": rate, "bitrate_kbps?": positive, "latency?": oneOf("low", "smooth") },
  record_start: {},
  record_stop: {},
  use_camera_frame: ENTRY,
  bookmark: { "name?": string },
  rewind: { bookmark: string },
  fork: { "bookmark?": string },
  hand_over: { "to?": string },
  take_over: {},
  ping: { t: number },
};

/** @param {string} text @returns {number} its length in Unicode code points, as the contract counts prompts */
export const codePoints = (text) => Array.from(text).length;

/**
 * Reads a command and checks it, as the server does.
 * @param {string} text
 * @param {{ prompt_chars: number }} [limits]
 * @returns {Command} its known fields, with the defaults of those left out
 * @throws {ProtocolError}
 */
export function parseCommand(text, limits = { prompt_chars: MAX_PROMPT_CHARS }) {
  const isTooLong = new TextEncoder().encode(text).length > MAX_TEXT_BYTES;
  const tooLong = (/** @type {number | undefined} */ id) =>
    new ProtocolError("too_long", `A message may have ${MAX_TEXT_BYTES} bytes of text.`, id);
  const message = parseObject(text, isTooLong ? tooLong : undefined);
  const id = /** @type {number} */ (Number.isInteger(message.id) ? message.id : undefined);
  if (isTooLong) throw tooLong(id);
  const { type } = message;
  if (typeof type !== "string") throw new ProtocolError("bad_message", "type must be a string.", id);
  if (!Object.hasOwn(COMMANDS, type)) throw new ProtocolError("unknown_type", `There is no ${type.slice(0, 40)}.`, id);
  const command = { type, ...DEFAULTS[type], ...checkedFields(COMMANDS[type], message, id), id };
  if (type === "hello" && message.protocol !== PROTOCOL_VERSION) {
    throw new ProtocolError("unsupported_protocol", `This page speaks protocol ${PROTOCOL_VERSION} only.`, id);
  }
  if ((type === "set_prompt" || type === "prepare") && codePoints(String(message.prompt)) > limits.prompt_chars) {
    throw new ProtocolError("too_long", `prompt may have ${limits.prompt_chars} characters.`, id);
  }
  return command;
}

/** @param {Record<string, Check>} fields @param {Record<string, unknown>} message @param {number} id */
function checkedFields(fields, message, id) {
  /** @type {Record<string, unknown>} */
  const values = {};
  for (const [field, check] of Object.entries({ id: integer, ...fields })) {
    const name = field.replace("?", "");
    const isGiven = Object.hasOwn(message, name);
    if (!isGiven && name !== field) continue;
    const wanted = isGiven ? check(message[name]) : "given";
    if (wanted !== null) throw new ProtocolError("bad_message", `${name} must be ${wanted}.`, id);
    values[name] = message[name];
  }
  return values;
}

/**
 * Makes a command's text, refusing here what the server would refuse.
 * @param {Command} command
 * @param {{ prompt_chars: number }} [limits]
 * @returns {string}
 * @throws {ProtocolError}
 */
export function dumpCommand(command, limits) {
  const text = JSON.stringify(command);
  parseCommand(text, limits);
  return text;
}

/**
 * Reads what the server sent; unknown types are the caller's to ignore.
 * @param {string} text
 * @returns {ServerMessage}
 * @throws {ProtocolError}
 */
export function parseServerMessage(text) {
  const message = parseObject(text);
  if (typeof message.type !== "string") throw new ProtocolError("bad_message", "type must be a string.");
  return /** @type {ServerMessage} */ (message);
}

/**
 * @param {string} text
 * @param {(id: undefined) => ProtocolError} [unreadable] what to throw for text that is not JSON
 * @returns {Record<string, unknown>}
 */
function parseObject(text, unreadable = () => new ProtocolError("bad_json", "A message must be JSON.")) {
  let value;
  try {
    value = JSON.parse(text);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw unreadable(undefined);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new ProtocolError("bad_message", "A message must be a JSON object.");
  }
  return value;
}
