// @ts-check
/** The timeline has each prompt once from when it took effect, and the same one after a reload. */

import { Timeline, inOrder, timeOf } from "../../web/timeline.js";
import { equal, test } from "./harness.mjs";

class FakeStorage extends Map {
  getItem(/** @type {string} */ key) {
    return this.get(key) ?? null;
  }
  setItem(/** @type {string} */ key, /** @type {string} */ value) {
    this.set(key, value);
  }
}

/** @param {Timeline} timeline @param {...string} prompts each 16 frames and a second after the one before */
function add(timeline, ...prompts) {
  for (const [at, prompt] of prompts.entries()) {
    const moment = timeline.add({ prompt, frame: 16 * at }, 1_000 * at);
    if (moment) timeline.picture(moment, `data:${prompt}`);
  }
}
const words = (/** @type {Timeline} */ { moments }) => moments.map(({ prompt }) => prompt);

test("a prompt in effect is not added again, and none adds nothing", () => {
  const timeline = new Timeline(new FakeStorage());
  add(timeline, "rain", "rain", "", "snow", "rain");
  equal(words(timeline), ["rain", "snow", "rain"]);
});

test("it is there again for its stream, with its pictures, and not for another", () => {
  const storage = new FakeStorage();
  const timeline = new Timeline(storage);
  timeline.turnTo("a");
  add(timeline, "rain", "snow");
  const again = new Timeline(storage);
  again.turnTo("a");
  equal(again.moments, timeline.moments);
  equal(again.moments[1], { prompt: "snow", frame: 16, at: 1_000, thumbnail: "data:snow" });
  again.turnTo("b");
  equal(again.moments, []);
});

test("it keeps the newest forty", () => {
  const timeline = new Timeline(new FakeStorage());
  add(timeline, ...Array.from({ length: 50 }, (_, i) => `prompt ${i}`));
  equal([timeline.moments.length, words(timeline).at(0), words(timeline).at(-1)], [40, "prompt 10", "prompt 49"]);
});

test("bookmarks stand between the prompts by their frames", () => {
  const timeline = new Timeline(new FakeStorage());
  add(timeline, "rain", "snow");
  const bookmark = /** @type {any} */ ({ bookmark: "b", frame: 7 });
  equal(inOrder(timeline.moments, [bookmark]).map(({ frame }) => frame), [0, 7, 16]);
});

test("times are minutes and seconds", () => {
  equal([0, 999, 65_000, 3_599_999, -5].map(timeOf), ["0:00", "0:00", "1:05", "59:59", "0:00"]);
});
