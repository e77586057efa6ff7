// @ts-check
/** The part of the page that has to do with other programs: a camera that comes in, a place to publish to. */

import { byId, say } from "./dom.js";

/** @typedef {import("./session.js").Session<any>} Session */

const PUBLISH_WORDS = { connecting: "Connecting to", live: "On air at", retrying: "Trying again at" };

export class OnAir {
  #session;
  #camera = byId("camera", HTMLElement);
  #useCamera = byId("use-camera", HTMLButtonElement);
  #form = byId("publish-form", HTMLFormElement);
  #url = byId("publish-url", HTMLInputElement);
  #token = byId("publish-token", HTMLInputElement);
  #button = byId("publish", HTMLButtonElement);

  /** @param {Session} session */
  constructor(session) {
    this.#session = session;
    this.#useCamera.addEventListener("click", () => void session.pictures.useCameraFrame());
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#submit();
    });
  }

  render() {
    const { isOpen, isBusy, stream } = this.#session;
    const { publisher, publish } = stream;
    this.#camera.hidden = !publisher || !isOpen;
    const size = publisher?.width ? ` · ${publisher.width} × ${publisher.height}` : "";
    say("camera-text", publisher?.state === "live" ? `A camera is connected${size}` : "A camera is connecting…");
    this.#useCamera.disabled = publisher?.state !== "live";
    const failure = publish?.state === "retrying" && publish.error ? ` ${publish.error}` : "";
    say("publish-note", publish ? `${PUBLISH_WORDS[publish.state]} ${publish.to}.${failure}` : "");
    say("publish", publish ? "End" : "Publish");
    this.#url.disabled = this.#token.disabled = publish !== undefined;
    this.#button.disabled = !isOpen || isBusy;
  }

  async #submit() {
    if (this.#session.stream.publish) await this.#session.unpublish();
    else await this.#session.publish(this.#url.value.trim(), this.#token.value.trim());
  }
}
