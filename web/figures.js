// @ts-check
/** The figures in the top line, with their graphs, and all of them on request. */

import { byId, hide, say } from "./dom.js";
import { whyQuality } from "./quality.js";
import { draw } from "./sparkline.js";
import { FrameRate } from "./stats.js";

const SPARK = { width: 56, height: 16 };
const GRAPH = { width: 240, height: 56 };
// Where their line would reach the upper edge: a latency in ms, a drift as a share. What is small looks small.
const MOST = { latency: 500, drift: 0.2 };
const seconds = (/** @type {number} */ ms) => (ms / 1_000).toFixed(2);
/** @param {number} share @returns {string} such as "+12 %" */
const percent = (share) => {
  const whole = Math.round(Math.abs(100 * share));
  return `${whole === 0 ? "" : share > 0 ? "+" : "−"}${whole} %`;
};
const rate = (/** @type {number | undefined} */ fps) => (fps === undefined ? "–" : `${fps.toFixed(1)} fps`);

export class Figures {
  #session;
  #rate = new FrameRate();
  #seesFrames;

  /** @param {import("./session.js").Session<any>} session @param {boolean} seesFrames whether {@link frame} is called */
  constructor(session, seesFrames) {
    this.#session = session;
    this.#seesFrames = seesFrames;
    setInterval(() => this.render(), 1_000);
  }

  /** @param {DOMHighResTimeStamp} now @param {VideoFrameCallbackMetadata} frame */
  frame(now, frame) {
    this.#rate.frame(now, frame.presentedFrames);
  }

  /** Another video begins. */
  clear() {
    this.#rate.clear();
  }

  render() {
    const { drift, isOpen, latency, plays } = this.#session;
    const isOff = !plays || !isOpen;
    hide("figures", isOff);
    hide("more-figures", isOff);
    if (isOff) byId("all-figures", HTMLElement).hidePopover?.();
    say("received", this.#seesFrames ? rate(this.#rate.fps(performance.now())) : "–");
    say("latency", latency.last === null ? "–" : `${seconds(latency.last)} s`);
    draw(byId("latency-line", SVGSVGElement), latency.history, SPARK);
    draw(byId("latency-graph", SVGSVGElement), latency.history, { ...GRAPH, most: MOST.latency });
    this.#renderDrift(drift);
    this.#renderAll();
  }

  /** @param {import("./stats.js").DriftHistory} drift */
  #renderDrift({ history, last }) {
    hide("drift-figure", last === null);
    hide("drift-part", last === null);
    draw(byId("drift-line", SVGSVGElement), history, { ...SPARK, most: MOST.drift });
    draw(byId("drift-graph", SVGSVGElement), history, { ...GRAPH, most: MOST.drift });
    if (last === null) return;
    say("drift", `${Math.round(100 * (history.at(-1) ?? 0))} %`);
    const { luma, contrast, saturation, sharpness } = last;
    for (const [name, share] of Object.entries({ luma, contrast, saturation, sharpness })) say(name, percent(share));
    hide("similarity-row", last.similarity === null);
    say("similarity", String(last.similarity ?? "–"));
    hide("reanchoring", !last.is_reanchoring);
    byId("drift-figure", HTMLElement).classList.toggle("held", last.is_reanchoring);
  }

  #renderAll() {
    const { latency, quality, stats } = this.#session;
    const { percentiles } = latency;
    hide("latencies", percentiles === null);
    if (percentiles) say("percentiles", `${seconds(percentiles.p50)} / ${seconds(percentiles.p95)} s`);
    say("generated", rate(stats?.fps_generated));
    say("quality", quality);
    const why = whyQuality(stats?.quality_why);
    hide("quality-why", why === "");
    say("quality-why", why);
    say("bitrate", stats?.bitrate_kbps === undefined ? "–" : `${Math.round(stats.bitrate_kbps)} kbit/s`);
    say("buffered", stats?.buffered_ms === undefined ? "–" : `${seconds(stats.buffered_ms)} s`);
    say("viewers", String(stats?.viewers ?? "–"));
  }
}
