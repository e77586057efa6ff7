// @ts-check
/** The page tells truly what the model understood of a prompt. */

import { heardLine } from "../../web/heard.js";
import { equal, test } from "./harness.mjs";

test("says what was understood, and what it can't do", () => {
  const heard = { understood: ["the camera pans left", "rain, strong"], ignored: ["add a dog"] };
  equal(
    heardLine(heard, "pocket"),
    "pocket understood: the camera pans left; rain, strong. It can't do “add a dog”.",
  );
});

test("where all was understood nothing is held against it", () => {
  equal(heardLine({ understood: ["fog"], ignored: [] }, "pocket"), "pocket understood: fog.");
});

test("where nothing was understood it says what happens instead", () => {
  equal(
    heardLine({ understood: [], ignored: ["add a dog", "sing"] }, "pocket"),
    "pocket can't do “add a dog”, “sing”: the camera drifts gently.",
  );
});

test("says nothing of an empty prompt, or for a model that takes all words", () => {
  equal(heardLine({ understood: [], ignored: [] }, "pocket"), "");
  equal(heardLine(undefined, "wan"), "");
});

test("a long part is cut, between characters", () => {
  const line = heardLine({ understood: [], ignored: ["😀".repeat(100)] }, "pocket");
  equal(line, `pocket can't do “${"😀".repeat(59)}…”: the camera drifts gently.`);
});
