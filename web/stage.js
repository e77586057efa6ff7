// @ts-check
/** The stage: the picture, then the video that it becomes, and what is done with the video alone. */

import { byId, hide, label, say } from "./dom.js";
import { keptStill } from "./still.js";

/** @typedef {import("./session.js").Session<import("./still.js").ShownPicture>} Session */
/** @typedef {import("./protocol.js").PicturePolicy} PicturePolicy */
/** @typedef {import("./commands.js").Place} Place */

/** @type {Record<PicturePolicy, string>} */
const DROP_WORDS = {
  blend: "Drop to cross-fade to this picture",
  flush: "Drop to swap the picture",
  cut: "Drop to begin anew from this picture",
};

export const seesFrames = "requestVideoFrameCallback" in HTMLVideoElement.prototype;

export class Stage {
  #session;
  #showError;
  #stage = byId("stage", HTMLElement);
  #still = byId("still", HTMLImageElement);
  #record = byId("record", HTMLButtonElement);
  #snapshot = byId("snapshot", HTMLButtonElement);
  #isFramed = false;
  video = byId("video", HTMLVideoElement);

  /** @param {Session} session @param {(place: Place, message: string) => void} showError */
  constructor(session, showError) {
    this.#session = session;
    this.#showError = showError;
    this.#snapshot.addEventListener("click", () => void this.saveSnapshot());
    this.#record.addEventListener("click", () => void session.kept.toggleRecording());
    const fullscreen = byId("fullscreen", HTMLButtonElement);
    fullscreen.hidden = !this.#stage.requestFullscreen;
    fullscreen.addEventListener("click", () => this.toggleFullscreen());
    // A reset may give the video the shape of another picture.
    this.video.addEventListener("resize", () => this.render());
    // What stands below is as wide.
    new ResizeObserver(() => {
      if (!document.fullscreenElement) setRootStyle("--stage-width", `${this.#stage.offsetWidth}px`);
    }).observe(this.#stage);
    for (const id of ["share-snapshot", "share-record"]) {
      const button = byId(id.replace("share-", ""), HTMLButtonElement);
      byId(id, HTMLButtonElement).addEventListener("click", () => button.click());
    }
  }

  /** @param {MediaStream} stream */
  play(stream) {
    this.#isFramed = false;
    this.video.srcObject = stream;
  }

  /** Asked for in a click itself, as a phone that saves power wants it. */
  wake() {
    if (this.video.srcObject && this.video.paused) void this.video.play();
  }

  /** A frame is on the screen. */
  frame() {
    if (this.#isFramed || !this.#session.plays) return;
    this.#isFramed = true;
    this.render();
  }

  toggleFullscreen() {
    void (document.fullscreenElement ? document.exitFullscreen() : this.#stage.requestFullscreen?.());
  }

  /** Saves the frame on air, as the model made it, before any encode. */
  async saveSnapshot() {
    if (this.#snapshot.disabled) return;
    this.#showError("control", "");
    try {
      const response = await fetch(`streams/${this.#session.streamId}/snapshot`, { headers: { Accept: "image/png" } });
      const moment = new Date().toISOString().slice(0, 19).replaceAll(":", "-");
      if (response.ok) download(await response.blob(), `vivant-${moment}.png`);
      else this.#showError("control", (await response.json()).error.message);
    } catch (error) {
      if (!(error instanceof TypeError || error instanceof SyntaxError)) throw error;
      this.#showError("control", "The picture could not be fetched: there is no connection to the server.");
    }
  }

  render() {
    const { isBusy, isOpen, isReady, mode, pictures, plays, stream } = this.#session;
    if (!plays) this.#isFramed = false;
    const url = mode === "t2v" ? "" : (pictures.current?.url ?? keptStill(stream.image));
    if (url && this.#still.src !== url) this.#still.src = url;
    const shows = plays && (this.#isFramed || !seesFrames) ? "video" : url ? "still" : "empty";
    this.#stage.dataset.shows = shows;
    const isSized = shows === "video" && this.video.videoWidth > 0;
    const ratio = isSized ? this.video.videoWidth / this.video.videoHeight : this.#comingRatio();
    setRootStyle("--ratio", String(ratio));
    const isStarting = shows === "still" && (plays || isBusy);
    hide("play", shows !== "still" || !isReady || (plays && !isStarting));
    this.#stage.toggleAttribute("data-starting", isStarting);
    hide("samples", shows !== "empty" || mode === "t2v" || stream.image !== null);
    this.#renderWords(plays && !isOpen ? "Reconnecting…" : stream.state === "paused" ? "Paused" : "");
    this.#renderRecording();
  }

  /** @param {string} veil */
  #renderWords(veil) {
    const { pictures, plays } = this.#session;
    const [title, hint] = this.#emptyWords();
    say("empty-title", title);
    say("empty-hint", hint);
    say("drop-text", plays ? DROP_WORDS[pictures.entry] : "Drop to use this picture");
    say("veil", veil);
    hide("veil", veil === "");
  }

  #emptyWords() {
    const { mode, image } = this.#session.stream;
    if (mode === "t2v") return ["Describe a scene below", "then press Start; no picture is needed"];
    if (image) return ["Your picture is ready", "press Start, or drop another one here"];
    return ["Drop a picture here", "or click to choose one, or paste it"];
  }

  #renderRecording() {
    const { isOpen, kept, plays } = this.#session;
    this.#snapshot.disabled = !isOpen || !plays;
    this.#record.disabled = !isOpen;
    this.#record.hidden = !kept.canRecord;
    this.#record.setAttribute("aria-pressed", String(kept.isRecording));
    label(this.#record, kept.isRecording ? "End the recording" : "Record");
    say("share-record", kept.isRecording ? "End the recording" : "Record");
    hide("share-record", !kept.canRecord);
    byId("share-record", HTMLButtonElement).disabled = this.#record.disabled;
    byId("share-snapshot", HTMLButtonElement).disabled = this.#snapshot.disabled;
  }

  /** The shape of the video that is in force, else of the size nearest to the picture's, as the server will choose it. */
  #comingRatio() {
    const { capabilities, mode, pictures, plays, stream } = this.#session;
    const sizes = capabilities?.sizes ?? [[832, 480]];
    const [width, height] = stream.size ?? sizes[0];
    if (plays) return width / height;
    const shape = (mode === "i2v" && (pictures.current ?? stream.image)) || { width: sizes[0][0], height: sizes[0][1] };
    const distance = (/** @type {number} */ ratio) => Math.abs(Math.log((ratio * shape.height) / shape.width));
    return sizes.map(([width, height]) => width / height).reduce((a, b) => (distance(b) < distance(a) ? b : a));
  }
}

/** By the object model, which a policy that forbids inline styles allows. */
function setRootStyle(/** @type {string} */ name, /** @type {string} */ value) {
  const { style } = document.documentElement;
  if (style.getPropertyValue(name) !== value) style.setProperty(name, value);
}

/** @param {Blob} blob @param {string} name */
function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
