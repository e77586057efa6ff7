// @ts-check
/** Pictures to begin with, each with something that happens in it. */

import { make } from "./dom.js";

/** @typedef {{ name: string, file: string, prompt: string }} Sample */

/** @type {Sample[]} who made them stands in samples/CREDITS.md */
export const SAMPLES = [
  { name: "Castle", file: "castle.jpg", prompt: "the clouds drift by and the camera slowly zooms in" },
  { name: "Abbey", file: "abbey.jpg", prompt: "golden light floods the scene, the camera pans right" },
  { name: "Red panda", file: "panda.jpg", prompt: "snow begins to fall and the camera slowly zooms in" },
  { name: "Meadow", file: "meadow.jpg", prompt: "the flowers sway in the wind, the camera pans left" },
];

const url = (/** @type {Sample} */ { file }) => `web/samples/${file}`;

/** Fills a list with the samples. @param {HTMLElement} list @param {(sample: Sample) => void} choose */
export function listSamples(list, choose) {
  for (const sample of SAMPLES) {
    const picture = make("img", { src: url(sample), alt: sample.name, width: 104, height: 60, decoding: "async" });
    const button = make("button", { type: "button", title: sample.name }, picture);
    button.addEventListener("click", () => choose(sample));
    list.append(make("li", {}, button));
  }
}

/** @param {Sample} sample @returns {Promise<File>} @throws {TypeError} where the server can't be reached */
export async function fetchSample(sample) {
  const response = await fetch(url(sample));
  if (!response.ok) throw new TypeError(`The server answered ${response.status}.`);
  return new File([await response.blob()], sample.file, { type: "image/jpeg" });
}
