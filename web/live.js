// @ts-check
/** The live page: puts its parts together. */

import { Composer } from "./composer.js";
import { Controls } from "./controls.js";
import { CrewView } from "./crew_view.js";
import { byId, hide, say } from "./dom.js";
import { Figures } from "./figures.js";
import { acceptInvitation } from "./invitation.js";
import { OnAir } from "./onair.js";
import { Panel } from "./panel.js";
import { IMAGE_LIMITS, PictureError, readPicture } from "./picture.js";
import { PicturesPanel } from "./pictures_panel.js";
import { QueueView } from "./queue_view.js";
import { fetchSample, listSamples } from "./samples.js";
import { Session, randomSeed } from "./session.js";
import { SharePanel } from "./share_panel.js";
import { Shortcuts } from "./shortcuts.js";
import { Stage, seesFrames } from "./stage.js";
import { decode, keepStill } from "./still.js";
import { ThemeSwitch } from "./theme_switch.js";
import { TimelineView } from "./timeline_view.js";

/** @typedef {import("./still.js").ShownPicture} ShownPicture */
/** @typedef {import("./commands.js").Place} Place */
/** @typedef {import("./samples.js").Sample} Sample */

/** Said for who says nothing: something moves with every picture. */
const FIRST_PROMPT = "the camera slowly zooms in";

class LivePage {
  /** @type {Session<ShownPicture>} */
  #session = new Session({
    changed: () => this.#render(),
    video: (stream) => (this.#figures.clear(), this.#stage.play(stream)),
    error: (place, message) => this.#showError(place, message),
    promptNote: (words) => say("prompt-note", words),
    uploading: (share) => {
      hide("upload", share === null);
      byId("upload", HTMLProgressElement).value = share ?? 0;
    },
    pictureTaken: keepStill,
    tookEffect: (effect) => this.#timeline.tookEffect(effect),
  });
  #showError = (/** @type {Place} */ place, /** @type {string} */ message) => {
    say(`${place}-error`, message);
    hide(`${place}-error`, message === "");
    if (place === "picture") this.#pictures.showError(message);
    if (place === "prompt") this.#composer.mark(message !== "");
  };
  #use = (/** @type {string} */ prompt) => {
    this.#composer.text = prompt;
    if (this.#session.plays) void this.#session.prompts.apply(prompt);
    else if (this.#session.isReady) void this.#start();
  };
  #stage = new Stage(this.#session, this.#showError);
  #controls = new Controls(this.#session, this.#showError, () => void this.#start());
  #composer = new Composer(this.#session, {
    enter: () => void this.#enter(),
    enqueue: () => this.#enqueue(),
    example: this.#use,
  });
  #figures = new Figures(this.#session, seesFrames);
  #timeline = new TimelineView(this.#session, this.#stage.video, this.#use);
  #panel = new Panel();
  #pictures = new PicturesPanel(this.#session, () => this.#choose(true), (sample) => void this.#stageSample(sample));
  // The box follows by itself, unless something else is being written there.
  #queue = new QueueView(this.#session, (prompt) => void this.#session.prompts.apply(prompt), async (prompt) => {
    this.#composer.text = prompt;
    await this.#start();
  });
  #parts = [this.#stage, this.#controls, this.#composer, this.#figures, this.#timeline, this.#pictures, this.#queue];
  #outside = [new SharePanel(this.#session), new CrewView(this.#session), new OnAir(this.#session)];
  #choices = 0;
  #isForNext = false;
  #startsWhenOpen = false;

  run() {
    const theme = new ThemeSwitch();
    new Shortcuts([
      { key: " ", name: "Space", words: "Start, pause, resume", press: () => void this.#controls.toggle(() => void this.#start()) },
      { key: "/", words: "Write a prompt", press: () => this.#composer.focus() },
      { key: "n", words: "Next prompt of the queue", press: () => this.#queue.next() },
      { key: "b", words: "Bookmark this moment", press: () => byId("bookmark", HTMLButtonElement).click() },
      { key: "s", words: "Save this picture", press: () => void this.#stage.saveSnapshot() },
      { key: "r", words: "Record, end the recording", press: () => byId("record", HTMLButtonElement).click() },
      { key: "f", words: "Full screen", press: () => this.#stage.toggleFullscreen() },
      { key: "p", words: "Pictures", press: () => this.#panel.toggle("pictures") },
      { key: "q", words: "Queue", press: () => this.#panel.toggle("queue") },
      { key: "o", words: "Share with others", press: () => this.#panel.toggle("share") },
      { key: "t", words: "Colours: system, light, dark", press: () => theme.turn() },
    ]);
    this.#listenToPictures();
    this.#listenToWindow();
    this.#listenToToken();
    if (seesFrames) this.#stage.video.requestVideoFrameCallback((...frame) => this.#onFrame(...frame));
    void this.#loadCapabilities();
    void this.#session.connect();
  }

  #listenToPictures() {
    const file = byId("file", HTMLInputElement);
    listSamples(byId("sample-list", HTMLElement), (sample) => void this.#trySample(sample));
    byId("choose", HTMLButtonElement).addEventListener("click", () => this.#choose(false));
    byId("replace", HTMLButtonElement).addEventListener("click", () => {
      if (this.#session.plays) this.#panel.open("pictures");
      else this.#choose(false);
    });
    file.addEventListener("change", () => {
      if (file.files?.[0]) void this.#take(file.files[0], this.#isForNext);
      file.value = "";
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
      if (!dropped && event.target === byId("prompt", HTMLElement)) return;
      event.preventDefault();
      const isForNext = event.target instanceof Element && event.target.closest("#pictures-panel") !== null;
      if (dropped) void this.#take(dropped, isForNext);
      else this.#showError("picture", "That is not a picture file. Save the picture first, then drop it here.");
    });
    addEventListener("paste", (event) => {
      const pasted = event.clipboardData?.files[0];
      if (!pasted) return;
      event.preventDefault();
      void this.#take(pasted, this.#session.plays && this.#panel.shows("pictures"));
    });
    // Put into the address of a page that is open already.
    addEventListener("hashchange", () => acceptInvitation() && location.reload());
    addEventListener("online", () => this.#session.hurry());
    document.addEventListener("visibilitychange", () => document.hidden || this.#session.hurry());
    addEventListener("pagehide", () => this.#session.leave());
    addEventListener("pageshow", (event) => event.persisted && void this.#session.connect());
  }

  #listenToToken() {
    const token = byId("token", HTMLInputElement);
    byId("token-dialog", HTMLDialogElement).addEventListener("cancel", (event) => event.preventDefault());
    byId("token-form", HTMLFormElement).addEventListener("submit", () => {
      this.#session.useAccessToken(token.value.trim());
      say("token-error", "This token was refused. Check it and try again.");
      token.value = "";
    });
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

  /** Lets the person choose a file. @param {boolean} isForNext whether it is to wait beside the picture in use */
  #choose(isForNext) {
    this.#isForNext = isForNext;
    byId("file", HTMLInputElement).click();
  }

  async #enter() {
    if (this.#session.plays) await this.#session.prompts.apply(this.#composer.text);
    else await this.#start();
  }

  #enqueue() {
    if (this.#composer.text === "") return;
    this.#queue.add(this.#composer.text);
    this.#composer.text = this.#session.prompts.text;
    say("prompt-note", "Added to the queue.");
  }

  async #start() {
    if (!this.#session.isReady) {
      this.#showError("picture", "Choose a picture first: drop it on the stage, or click there.");
      byId("choose", HTMLButtonElement).focus();
    } else if (this.#controls.checkSeed()) {
      const { examples, mode } = this.#session;
      if (this.#composer.text === "") this.#composer.text = (mode === "t2v" && examples[0]) || FIRST_PROMPT;
      this.#stage.wake();
      await this.#session.start(this.#composer.text, this.#controls.seed(randomSeed()));
    }
  }

  /** Starts from a sample, as soon as there is a connection. @param {Sample} sample */
  async #trySample(sample) {
    if (!(await this.#take(await this.#fetch(sample), false))) return;
    this.#composer.text = sample.prompt;
    this.#startsWhenOpen = !this.#session.isOpen;
    if (this.#session.isOpen) await this.#start();
  }

  /** @param {Sample} sample */
  async #stageSample(sample) {
    await this.#take(await this.#fetch(sample), true);
  }

  /** @param {Sample} sample @returns {Promise<File | null>} */
  async #fetch(sample) {
    try {
      return await fetchSample(sample);
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
      this.#showError("picture", "The sample could not be fetched: there is no connection to the server.");
      return null;
    }
  }

  /**
   * Takes a picture, or lets it wait beside the one in use.
   * @param {File | null} chosen @param {boolean} isForNext
   * @returns {Promise<boolean>} whether it was good, and no other was chosen meanwhile
   */
  async #take(chosen, isForNext) {
    if (!chosen) return false;
    const choice = ++this.#choices;
    this.#startsWhenOpen = false;
    this.#showError("picture", "");
    try {
      const picture = await readPicture(chosen, this.#session.capabilities?.limits ?? IMAGE_LIMITS);
      const shown = await decode(picture);
      if (choice !== this.#choices) return false;
      if (isForNext) this.#pictures.stage(shown);
      else this.#session.pictures.use(shown);
      return true;
    } catch (error) {
      if (!(error instanceof PictureError)) throw error;
      if (choice === this.#choices) this.#showError("picture", `${chosen.name}: ${error.message}`);
      return false;
    }
  }

  /** @param {DOMHighResTimeStamp} now @param {VideoFrameCallbackMetadata} frame */
  #onFrame(now, frame) {
    this.#stage.video.requestVideoFrameCallback((...next) => this.#onFrame(...next));
    this.#figures.frame(now, frame);
    if (frame.rtpTimestamp !== undefined) this.#session.frameShown(frame.rtpTimestamp, frame.presentationTime);
    this.#timeline.frame(frame.rtpTimestamp);
    this.#stage.frame();
  }

  #render() {
    const { isOpen, phase, plays } = this.#session;
    for (const part of [...this.#parts, ...this.#outside]) part.render();
    if (phase === "token" && !byId("token-dialog", HTMLDialogElement).open) this.#askToken();
    if (isOpen && this.#startsWhenOpen) {
      this.#startsWhenOpen = false;
      if (!plays) void this.#start();
    }
  }

  #askToken() {
    hide("token-error", byId("token-error", HTMLElement).textContent === "");
    byId("token-dialog", HTMLDialogElement).showModal();
  }
}

// Before there is a session, which looks for the stream that it is to join.
acceptInvitation();
new LivePage().run();
