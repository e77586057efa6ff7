// @ts-check
/** What is copied from the page names the stream as the server serves it. */

import { shareLines } from "../../web/share.js";
import { equal, test } from "./harness.mjs";

const STREAM = { base: "https://live.example/v/", stream: "s1", token: "secret", size: /** @type {[number, number]} */ ([832, 480]) };

test("every address is below the page's own", () => {
  const lines = shareLines(STREAM).flatMap(({ lines }) => lines);
  const addresses = new Set(lines.flatMap(({ text }) => text.match(/https:\S+/g) ?? []));
  const paths = ["#direct=s1&token=secret", "watch/s1", "whep/s1", "whip/s1", "streams/s1/live.ts"];
  equal([...addresses].sort(), paths.map((path) => `https://live.example/v/${path}`).sort());
});

test("the token stands in two lines, neither of which is shown: as itself, and in an invitation", () => {
  const lines = shareLines(STREAM).flatMap(({ lines }) => lines);
  const telling = lines.filter(({ text }) => text.includes("secret"));
  const link = "https://live.example/v/#direct=s1&token=secret";
  equal(telling.map(({ text, isSecret }) => [text, isSecret]), [[link, true], ["secret", true]]);
});

test("a browser source is told the stream's size", () => {
  const lines = shareLines({ ...STREAM, size: [480, 832] }).flatMap(({ lines }) => lines);
  equal(lines.find(({ name }) => name === "Browser source")?.note, "Width 480, height 832.");
});
