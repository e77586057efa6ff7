// @ts-check
/** The page says why the video is not at its best. */

import { whyQuality } from "../../web/quality.js";
import { equal, readText, test } from "./harness.mjs";

/** @type {{ server: { message: { type: string, quality_why?: string } }[] }} */
const vectors = JSON.parse(await readText(new URL("../vectors/protocol.json", import.meta.url)));
const reasons = vectors.server.flatMap(({ message }) => message.quality_why ?? []);

test("each reason that a server gives has a sentence of its own", () => {
  const said = new Set(reasons.map((why) => whyQuality(why)));
  equal([reasons.length > 4, said.size, said.has("")], [true, new Set(reasons).size, false]);
});

test("at its best, and of a reason that the page does not know, it says nothing", () => {
  equal([whyQuality(), whyQuality("moon"), whyQuality("toString")], ["", "", ""]);
});
