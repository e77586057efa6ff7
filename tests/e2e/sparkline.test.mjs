// @ts-check
/** A graph goes from the left edge to the right one, with 0 below. */

import { line } from "../../web/sparkline.js";
import { equal, test } from "./harness.mjs";

const FRAME = { width: 60, height: 20 };

test("the newest value is at the right edge, the largest at the upper one", () => {
  equal(line([0, 5, 10], FRAME), "M0 20L30 10L60 0");
});

test("what is small stays low where the upper edge has a value", () => {
  equal(line([5, 5], { ...FRAME, most: 20 }), "M0 15L60 15");
  equal(line([40, 20], { ...FRAME, most: 20 }), "M0 0L60 10");
});

test("of less than two values there is no line, and of nothing but zeros one at the bottom", () => {
  equal([line([], FRAME), line([7], FRAME), line([0, 0], FRAME)], ["", "", "M0 20L60 20"]);
});
