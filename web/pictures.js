// @ts-check
/** The picture that the person chose: it goes up to the stream, also to the next one, and comes into a running video. */

/** @typedef {import("./protocol.js").PicturePolicy} PicturePolicy */
/** @typedef {import("./protocol.js").Capabilities} Capabilities */
/** @typedef {import("./commands.js").Commands} Commands */
/** @typedef {import("./picture.js").Picture & { width: number, height: number }} UprightPicture */
/**
 * @typedef {{
 *   changed: () => void,
 *   uploading: (share: number | null) => void,
 *   pictureTaken: (picture: any) => void,
 * }} PictureView
 */

/** @type {PicturePolicy[]} softest first */
const ENTRIES = ["blend", "flush", "cut"];
const BLEND_S = 1;

/** @template {UprightPicture} P */
export class Pictures {
  #commands;
  #view;
  #plays;
  /** @type {PicturePolicy[]} */
  #known = ["cut"];
  /** @type {PicturePolicy | null} how the person wants another picture to come in */
  #chosenEntry = null;
  /** @type {P | null} what the person chose last */
  #current = null;
  /** @type {P | null} what the server took last */
  #accepted = null;
  /** @type {Promise<void>} uploads, one after the other */
  #uploads = Promise.resolve();

  /** @param {Commands} commands @param {PictureView} view @param {() => boolean} plays whether the stream does */
  constructor(commands, view, plays) {
    this.#commands = commands;
    this.#view = view;
    this.#plays = plays;
  }

  get current() {
    return this.#current;
  }

  /** The ways of another picture into the running video, softest first. */
  get entries() {
    return ENTRIES.filter((policy) => this.#known.includes(policy));
  }

  /** How another picture comes in: as chosen, else the softest way that the model has. */
  get entry() {
    return this.#chosenEntry && this.entries.includes(this.#chosenEntry) ? this.#chosenEntry : this.entries[0];
  }

  /** Done when no picture is on its way up. */
  get uploads() {
    return this.#uploads;
  }

  /** @param {Capabilities} capabilities */
  useCapabilities({ picture_policies: policies }) {
    this.#known = policies ?? ["cut"];
  }

  /** @param {PicturePolicy} policy */
  chooseEntry(policy) {
    this.#chosenEntry = policy;
    this.#view.changed();
  }

  /**
   * Makes a picture the stream's, now or as soon as there is a connection.
   * @param {P} picture
   */
  use(picture) {
    this.#current = picture;
    this.#uploads = this.#uploadAfter(this.#uploads, picture);
    this.#view.changed();
  }

  /** Makes the newest frame of who publishes into the stream its picture. */
  async useCameraFrame() {
    await this.#useFrame("use_camera_frame", this.#entryFields());
  }

  /** Makes the frame on the screen the stream's picture. */
  async useFrame() {
    // Camera and light are in it already: with the motion kept they would be seen twice.
    await this.#useFrame("use_frame", {});
  }

  /** Brings the picture to a stream that welcomed this page. @param {boolean} rejoined */
  onWelcome(rejoined) {
    if (!rejoined) this.#accepted = null;
    if (this.#current && this.#current !== this.#accepted) this.use(this.#current);
  }

  /** The stream went back to another picture; this page's own stays only where it is that one. @param {string} [sha256] */
  onRewind(sha256) {
    if (this.#current?.sha256 !== sha256) this.#current = this.#accepted = null;
  }

  /** @param {"use_frame" | "use_camera_frame"} type @param {Record<string, unknown>} fields */
  async #useFrame(type, fields) {
    const before = this.#current;
    // Answered only when it is on the screen, which before a start is not soon; what state tells of it is shown.
    this.#current = null;
    this.#view.changed();
    if (await this.#commands.send("picture", type, fields)) return;
    this.#current ??= before;
    this.#view.changed();
  }

  /** @param {Promise<void>} previous @param {P} picture */
  async #uploadAfter(previous, picture) {
    await previous;
    if (picture !== this.#current || !this.#commands.isOpen) return;
    this.#view.uploading(0);
    const progress = (/** @type {number} */ sent) => this.#view.uploading(sent / picture.bytes.length);
    const outcome = await this.#commands.upload(picture, progress, this.#entryFields());
    if (outcome === "taken") {
      this.#accepted = picture;
      this.#view.pictureTaken(picture);
    } else if (outcome === "refused" && picture === this.#current) {
      // The server keeps the picture that it had, so the page shows that one again.
      this.#current = this.#accepted;
    }
    this.#view.uploading(null);
    this.#view.changed();
  }

  /** What tells the server how a picture comes into the video; nothing where it begins with it. */
  #entryFields() {
    return this.#plays() && this.entry !== "cut" ? { policy: this.entry, over_s: BLEND_S } : {};
  }
}
