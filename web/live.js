// @ts-check
/** The live page: the only module that touches the DOM. */

import { BookmarkRow } from "./bookmarks.js";
import { OnAir } from "./onair.js";
import { IMAGE_LIMITS, PictureError, formatBytes, readPicture } from "./picture.js";
import { codePoints } from "./protocol.js";
import { Session, randomSeed } from "./session.js";
import { FrameRate } from "./stats.js";

/** @typedef {import("./picture.js").Picture & { url: string, width: number, height: number }} ShownPicture */
/** @typedef {import("./session.js").Place} Place */
/** @typedef {import("./protocol.js").Mode} Mode */

const COUNT_FROM = 0.75;
const STILL_WIDTH = 832;
const STILL_KEY = "vivant.still";
const PLAY_ICON = "M7 4.5v15l12-7.5z";
const PAUSE_ICON = "M6 4.5h4v15H6zM14 4.5h4v15h-4z";
const STATE_WORDS = { idle: "Ready", live: "Live", paused: "Paused", ended: "Ended" };
const PHASE_WORDS = { connecting: "Connecting…", loading: "Loading…", waiting: "Reconnecting…", token: "Access token needed" };
/** @type {Record<import("./protocol.js").PicturePolicy, string>} */
const ENTRY_WORDS = { blend: "Cross-fade", flush: "Keep it moving", cut: "Begin anew" };
/** @type {Record<import("./protocol.js").PicturePolicy, string>} */
const DROP_WORDS = { blend: "Drop to cross-fade to this picture", flush: "Drop to swap the picture", cut: "Drop to begin anew from this picture" };
const PRIMARY_WORDS = { idle: "Start", live: "Pause", paused: "Resume", ended: "Start" };
const MODE_REASONS = {
  t2v: "animates pictures; it can't start from text.",
  i2v: "starts from text; it takes no picture.",
};

/**
 * @template {Element} E
 * @param {string} id @param {new () => E} kind @returns {E}
 */
function byId(id, kind) {
  const element = document.getElementById(id);
  if (!(element instanceof kind)) throw new Error(`The page has no ${kind.name} #${id}.`);
  return element;
}

const stage = byId("stage", HTMLElement);
const video = byId("video", HTMLVideoElement);
const still = byId("still", HTMLImageElement);
const choose = byId("choose", HTMLButtonElement);
const file = byId("file", HTMLInputElement);
const promptBox = byId("prompt", HTMLTextAreaElement);
const examples = byId("examples", HTMLUListElement);
const primary = byId("primary", HTMLButtonElement);
const resetButton = byId("reset", HTMLButtonElement);
const stopButton = byId("stop", HTMLButtonElement);
const snapshotButton = byId("snapshot", HTMLButtonElement);
const recordButton = byId("record", HTMLButtonElement);
const seedBox = byId("seed", HTMLInputElement);
const upload = byId("upload", HTMLProgressElement);
const entryPolicy = byId("entry-policy", HTMLSelectElement);
const tokenDialog = byId("token-dialog", HTMLDialogElement);
const tokenBox = byId("token", HTMLInputElement);
const modes = /** @type {NodeListOf<HTMLInputElement>} */ (document.querySelectorAll("input[name=mode]"));
const seesFrames = "requestVideoFrameCallback" in HTMLVideoElement.prototype;

/** Sets a text only where it changes, so that screen readers say it once. */
function say(/** @type {string} */ id, /** @type {string} */ words) {
  const element = byId(id, HTMLElement);
  if (element.textContent !== words) element.textContent = words;
}

function hide(/** @type {string} */ id, /** @type {boolean} */ isHidden) {
  byId(id, HTMLElement).hidden = isHidden;
}

function showError(/** @type {Place} */ place, /** @type {string} */ message) {
  say(`${place}-error`, message);
  hide(`${place}-error`, message === "");
  if (place === "prompt") promptBox.setAttribute("aria-invalid", String(message !== ""));
}

class LivePage {
  /** @type {Session<ShownPicture>} */
  #session = new Session({
    changed: () => this.#render(),
    video: (stream) => this.#play(stream),
    error: showError,
    promptNote: (words) => say("prompt-note", words),
    uploading: (share) => ((upload.hidden = share === null), (upload.value = share ?? 0)),
    pictureTaken: keepStill,
  });
  #onAir = new OnAir(this.#session);
  #bookmarks = new BookmarkRow(this.#session);
  #rate = new FrameRate();
  #choices = 0;
  #isFramed = false;
  #knownPrompt = "";

  run() {
    this.#listenToDock();
    this.#listenToStage();
    this.#listenToWindow();
    if (seesFrames) video.requestVideoFrameCallback((...frame) => this.#onFrame(...frame));
    setInterval(() => this.#renderFigures(), 1_000);
    void this.#loadCapabilities();
    void this.#session.connect();
  }

  #listenToDock() {
    promptBox.addEventListener("input", () => this.#render());
    promptBox.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      void this.#enterPrompt();
    });
    byId("composer", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#enterPrompt();
    });
    primary.addEventListener("click", () => void this.#pressPrimary());
    stopButton.addEventListener("click", () => void this.#session.control("stop"));
    resetButton.addEventListener("click", () => {
      if (this.#checkSeed()) void this.#session.control("reset", this.#seedField());
    });
    seedBox.addEventListener("input", () => this.#checkSeed());
    for (const radio of modes) {
      radio.addEventListener("change", () => {
        // What was missing in one mode need not be in the other.
        showError("picture", "");
        void this.#session.setMode(/** @type {Mode} */ (radio.value));
      });
    }
    tokenDialog.addEventListener("cancel", (event) => event.preventDefault());
    byId("token-form", HTMLFormElement).addEventListener("submit", () => {
      this.#session.useAccessToken(tokenBox.value.trim());
      say("token-error", "This token was refused. Check it and try again.");
      tokenBox.value = "";
    });
  }

  #listenToStage() {
    choose.addEventListener("click", () => file.click());
    byId("replace", HTMLButtonElement).addEventListener("click", () => file.click());
    byId("use-frame", HTMLButtonElement).addEventListener("click", () => void this.#session.useFrame());
    entryPolicy.addEventListener("change", () => {
      this.#session.chooseEntry(/** @type {import("./protocol.js").PicturePolicy} */ (entryPolicy.value));
    });
    file.addEventListener("change", () => {
      if (file.files?.[0]) void this.#choosePicture(file.files[0]);
      file.value = "";
    });
    snapshotButton.addEventListener("click", () => void this.#saveSnapshot());
    recordButton.addEventListener("click", () => void this.#session.toggleRecording());
    const fullscreen = byId("fullscreen", HTMLButtonElement);
    fullscreen.hidden = !stage.requestFullscreen;
    fullscreen.addEventListener("click", () => {
      void (document.fullscreenElement ? document.exitFullscreen() : stage.requestFullscreen());
    });
  }

  #listenToWindow() {
    const { classList } = document.documentElement;
    addEventListener("dragover", (event) => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      classList.add("dragging");
    });
    addEventListener("dragleave", (event) => event.relatedTarget === null && classList.remove("dragging"));
    addEventListener("drop", (event) => {
      classList.remove("dragging");
      const dropped = event.dataTransfer?.files[0];
      if (!dropped && event.target === promptBox) return;
      event.preventDefault();
      if (dropped) void this.#choosePicture(dropped);
      else showError("picture", "That is not a picture file. Save the picture first, then drop it here.");
    });
    addEventListener("paste", (event) => {
      const pasted = event.clipboardData?.files[0];
      if (!pasted) return;
      event.preventDefault();
      void this.#choosePicture(pasted);
    });
    addEventListener("online", () => this.#session.hurry());
    document.addEventListener("visibilitychange", () => document.hidden || this.#session.hurry());
    addEventListener("pagehide", () => this.#session.leave());
    addEventListener("pageshow", (event) => event.persisted && void this.#session.connect());
  }

  async #loadCapabilities() {
    try {
      const response = await fetch("capabilities");
      if (response.ok) this.#session.useCapabilities(await response.json());
    } catch (error) {
      // The connection fails for the same reason and says so; its welcome brings the capabilities too.
      if (!(error instanceof TypeError)) throw error;
    }
  }

  async #pressPrimary() {
    const { state } = this.#session.stream;
    if (state === "live") await this.#session.control("pause");
    else if (state === "paused") await this.#session.control("resume");
    else await this.#start();
  }

  async #enterPrompt() {
    if (this.#session.plays) await this.#session.applyPrompt(promptBox.value.trim());
    else await this.#start();
  }

  async #start() {
    if (!this.#session.isReady) {
      showError("picture", "Choose a picture first: drop it on the stage, or click there.");
      choose.focus();
    } else if (this.#checkSeed()) {
      const { seed } = this.#seedField() ?? { seed: randomSeed() };
      seedBox.placeholder = String(seed);
      // Asked for in the click itself, as a phone that saves power wants it.
      if (video.srcObject && video.paused) void video.play();
      await this.#session.start(promptBox.value.trim(), seed);
    }
  }

  /** @param {File} chosen */
  async #choosePicture(chosen) {
    const choice = ++this.#choices;
    showError("picture", "");
    try {
      const picture = await readPicture(chosen, this.#session.capabilities?.limits ?? IMAGE_LIMITS);
      const shown = await decode(picture);
      if (choice === this.#choices) this.#session.usePicture(shown);
    } catch (error) {
      if (!(error instanceof PictureError)) throw error;
      if (choice === this.#choices) showError("picture", `${chosen.name}: ${error.message}`);
    }
  }

  /** Saves the frame on air, as the model made it, before any encode. */
  async #saveSnapshot() {
    showError("control", "");
    try {
      const response = await fetch(`streams/${this.#session.streamId}/snapshot`, { headers: { Accept: "image/png" } });
      const moment = new Date().toISOString().slice(0, 19).replaceAll(":", "-");
      if (response.ok) download(await response.blob(), `vivant-${moment}.png`);
      else showError("control", (await response.json()).error.message);
    } catch (error) {
      if (!(error instanceof TypeError || error instanceof SyntaxError)) throw error;
      showError("control", "The picture could not be fetched: there is no connection to the server.");
    }
  }

  /** @returns {boolean} whether the seed field holds a seed or nothing */
  #checkSeed() {
    const isGood = /^\d*$/.test(seedBox.value.trim());
    seedBox.setAttribute("aria-invalid", String(!isGood));
    showError("control", isGood ? "" : "A seed is a whole number, such as 42. Leave it empty for a random one.");
    if (!isGood) seedBox.focus();
    return isGood;
  }

  #seedField() {
    const digits = seedBox.value.trim();
    return digits === "" ? undefined : { seed: Number(digits) };
  }

  /** @param {MediaStream} stream */
  #play(stream) {
    this.#isFramed = false;
    this.#rate.clear();
    video.srcObject = stream;
  }

  /** @param {DOMHighResTimeStamp} now @param {VideoFrameCallbackMetadata} frame */
  #onFrame(now, frame) {
    video.requestVideoFrameCallback((...next) => this.#onFrame(...next));
    this.#rate.frame(now, frame.presentedFrames);
    if (frame.rtpTimestamp !== undefined) this.#session.frameShown(frame.rtpTimestamp, frame.presentationTime);
    if (!this.#isFramed && this.#session.plays) {
      this.#isFramed = true;
      this.#render();
    }
  }

  #render() {
    const { isOpen, isBusy, isReady, mode, phase, plays } = this.#session;
    const { state } = this.#session.stream;
    const isStarting = isOpen && isBusy && !plays;
    if (!plays) this.#isFramed = false;
    say("state-text", isStarting ? "Starting…" : phase === "open" ? STATE_WORDS[state] : PHASE_WORDS[phase]);
    byId("state", HTMLElement).dataset.state = isStarting ? "starting" : isOpen ? state : phase;
    say("status-note", this.#session.loading);
    say("primary-text", isStarting ? "Starting…" : PRIMARY_WORDS[state]);
    byId("primary-icon", SVGPathElement).setAttribute("d", state === "live" ? PAUSE_ICON : PLAY_ICON);
    primary.disabled = !isOpen || isBusy || state === "ended";
    primary.dataset.ready = plays || isReady ? "yes" : "no";
    stopButton.disabled = resetButton.disabled = !isOpen || !plays || isBusy;
    for (const radio of modes) radio.checked = radio.value === mode;
    if (phase === "token" && !tokenDialog.open) this.#askToken();
    this.#renderRecording();
    this.#renderCapabilities();
    this.#renderPrompt();
    this.#renderStage();
    this.#renderPicture();
    this.#renderFigures();
    this.#onAir.render();
    this.#bookmarks.render();
  }

  #askToken() {
    hide("token-error", byId("token-error", HTMLElement).textContent === "");
    tokenDialog.showModal();
  }

  #renderRecording() {
    const { canRecord, isOpen, isRecording, recorded } = this.#session;
    snapshotButton.disabled = recordButton.disabled = !isOpen;
    recordButton.hidden = !canRecord;
    recordButton.setAttribute("aria-pressed", String(isRecording));
    recordButton.title = isRecording ? "End the recording" : "Record";
    recordButton.setAttribute("aria-label", recordButton.title);
    hide("recorded", recorded === null);
    if (recorded === null) return;
    byId("recorded-link", HTMLAnchorElement).href = recorded.url;
    const reason = recorded.reason ? ` ${recorded.reason}` : "";
    say("recorded-facts", `${recorded.seconds.toFixed(1)} s, ${formatBytes(recorded.bytes)}.${reason}`);
  }

  #renderCapabilities() {
    const { capabilities } = this.#session;
    if (!capabilities) return;
    for (const radio of modes) radio.disabled = !capabilities.modes.includes(/** @type {Mode} */ (radio.value));
    const missing = [...modes].find((radio) => radio.disabled)?.value;
    say("model", capabilities.model);
    if (capabilities.needs) byId("model", HTMLElement).title = capabilities.needs;
    say("mode-reason", missing ? MODE_REASONS[/** @type {Mode} */ (missing)] : "");
    say("empty-rules", `JPG, PNG or WebP, up to ${formatBytes(capabilities.limits.image_bytes)}`);
    const shown = Array.from(examples.children, (item) => item.textContent);
    if (shown.join("\n") === capabilities.examples.join("\n")) return;
    examples.replaceChildren(...capabilities.examples.map((text) => this.#chip(text)));
  }

  /** @param {string} text */
  #chip(text) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = text;
    button.addEventListener("click", () => {
      promptBox.value = text;
      if (this.#session.plays) void this.#session.applyPrompt(text);
      this.#render();
    });
    const item = document.createElement("li");
    item.append(button);
    return item;
  }

  #renderPrompt() {
    const { plays, prompt, promptChars } = this.#session;
    // The stream's prompt comes into the box when it changes elsewhere, unless something else is typed there.
    if (prompt !== this.#knownPrompt && promptBox.value.trim() === this.#knownPrompt) promptBox.value = prompt;
    this.#knownPrompt = prompt;
    const text = promptBox.value.trim();
    const length = codePoints(text);
    const isTyped = text !== prompt;
    hide("apply", !plays || !isTyped);
    if (isTyped) say("prompt-note", length > COUNT_FROM * promptChars ? `${length} of ${promptChars} characters` : "");
    for (const chip of examples.querySelectorAll("button")) {
      chip.setAttribute("aria-pressed", String(chip.textContent === text));
    }
  }

  #renderStage() {
    const { isOpen, mode, plays, picture, stream } = this.#session;
    const url = mode === "t2v" ? "" : (picture?.url ?? keptStill(stream.image));
    if (url && still.src !== url) still.src = url;
    const shows = plays && (this.#isFramed || !seesFrames) ? "video" : url ? "still" : "empty";
    stage.dataset.shows = shows;
    const isSized = shows === "video" && video.videoWidth > 0;
    const ratio = isSized ? video.videoWidth / video.videoHeight : this.#nearestRatio();
    stage.style.setProperty("--ratio", String(ratio));
    const [title, hint] = this.#emptyWords();
    say("empty-title", title);
    say("empty-hint", hint);
    const veil = plays && !isOpen ? "Reconnecting…" : stream.state === "paused" ? "Paused" : "";
    say("veil", veil);
    hide("veil", veil === "");
  }

  #emptyWords() {
    const { mode, image } = this.#session.stream;
    if (mode === "t2v") return ["Describe a scene below", "then press Start; no picture is needed"];
    if (image) return ["Your picture is ready", "press Start, or drop another one here"];
    return ["Drop a picture here", "or click to choose one, or paste it"];
  }

  /** The shape of the stream's size that is nearest to the picture's, as the server will choose it. */
  #nearestRatio() {
    const sizes = this.#session.capabilities?.sizes ?? [[832, 480]];
    const shape = this.#session.picture ?? this.#session.stream.image ?? { width: sizes[0][0], height: sizes[0][1] };
    const distance = (/** @type {number} */ ratio) => Math.abs(Math.log((ratio * shape.height) / shape.width));
    return sizes.map(([width, height]) => width / height).reduce((a, b) => (distance(b) < distance(a) ? b : a));
  }

  #renderPicture() {
    const { entries, entry, isOpen, picture, plays, stream } = this.#session;
    say("drop-text", plays ? DROP_WORDS[entry] : "Drop to use this picture");
    const shown = picture ?? stream.image;
    hide("picture", shown === null);
    hide("use-frame", !plays || !isOpen);
    hide("entry", !plays || !isOpen || entries.length < 2);
    if (entryPolicy.options.length !== entries.length) {
      entryPolicy.replaceChildren(...entries.map((policy) => new Option(ENTRY_WORDS[policy], policy)));
    }
    entryPolicy.value = entry;
    if (!shown) return;
    const thumbnail = byId("thumbnail", HTMLImageElement);
    const url = picture?.url ?? keptStill(stream.image);
    thumbnail.hidden = !url;
    if (url && thumbnail.src !== url) thumbnail.src = url;
    say("picture-name", picture?.name ?? "Picture in use");
    const size = picture ? `${formatBytes(picture.bytes.length)} · ` : "";
    say("picture-facts", `${size}${shown.width} × ${shown.height}`);
  }

  #renderFigures() {
    const { isOpen, latencies, latency, plays, stats } = this.#session;
    hide("figures", !plays || !isOpen);
    const rate = (/** @type {number | undefined} */ fps) => (fps === undefined ? "–" : `${fps.toFixed(1)} fps`);
    say("generated", rate(stats?.fps_generated));
    say("received", seesFrames ? rate(this.#rate.fps(performance.now())) : "–");
    const seconds = (/** @type {number} */ ms) => (ms / 1_000).toFixed(2);
    say("latency", latency === null ? "–" : `${seconds(latency)} s`);
    hide("latencies", latencies === null);
    if (latencies) say("percentiles", `${seconds(latencies.p50)} / ${seconds(latencies.p95)} s`);
    say("quality", this.#session.quality);
  }
}

/**
 * Lets the browser decode a picture, which also tells its upright size.
 * @param {import("./picture.js").Picture} picture
 * @returns {Promise<ShownPicture>}
 * @throws {PictureError}
 */
async function decode(picture) {
  const bytes = /** @type {Uint8Array<ArrayBuffer>} */ (picture.bytes);
  const url = URL.createObjectURL(new Blob([bytes], { type: picture.mime }));
  const image = new Image();
  image.src = url;
  try {
    await image.decode();
  } catch (error) {
    if (!(error instanceof DOMException)) throw error;
    URL.revokeObjectURL(url);
    throw new PictureError("image_corrupt", "This picture is damaged: it can't be shown. Save or download it again.");
  }
  return { ...picture, url, width: image.naturalWidth, height: image.naturalHeight };
}

/** @param {Blob} blob @param {string} name */
function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/**
 * Keeps a small copy of the picture for this tab, so that it is on the stage again after a reload.
 * @param {ShownPicture} picture
 */
async function keepStill({ url, width, height, sha256 }) {
  const image = new Image();
  image.src = url;
  await image.decode();
  const canvas = document.createElement("canvas");
  const scale = Math.min(1, STILL_WIDTH / width);
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  canvas.getContext("2d")?.drawImage(image, 0, 0, canvas.width, canvas.height);
  sessionStorage.setItem(STILL_KEY, JSON.stringify({ sha256, url: canvas.toDataURL("image/jpeg", 0.8) }));
}

/** @param {import("./protocol.js").ImageState | null} image @returns {string} url of the copy kept of it, or "" */
function keptStill(image) {
  if (!image) return "";
  const kept = JSON.parse(sessionStorage.getItem(STILL_KEY) ?? "null");
  return kept?.sha256 === image.sha256 ? kept.url : "";
}

new LivePage().run();
