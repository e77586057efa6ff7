// @ts-check
/** The page's own figures are right. */

import { CommandLatency, DriftHistory, FrameRate, rtpDistance } from "../../web/stats.js";
import { equal, test } from "./harness.mjs";

test("RTP timestamps are compared across their wrap", () => {
  equal([rtpDistance(5, 2 ** 32 - 5), rtpDistance(2 ** 32 - 5, 5), rtpDistance(7, 7)], [10, -10, 0]);
});

test("frames at an even rate give that rate", () => {
  const rate = new FrameRate();
  for (let i = 0; i <= 80; i += 1) rate.frame(i * 62.5, i);
  equal(rate.fps(80 * 62.5 + 30).toFixed(2), "16.00");
});

test("frames that nobody called back for count too", () => {
  const rate = new FrameRate();
  for (let i = 0; i <= 40; i += 1) rate.frame(i * 125, 2 * i);
  equal(rate.fps(40 * 125).toFixed(2), "16.00");
});

test("the rate falls when the video stands still, to nothing", () => {
  const rate = new FrameRate();
  for (let i = 0; i <= 32; i += 1) rate.frame(i * 62.5, i);
  equal(rate.fps(3_000) < 16, true);
  equal(rate.fps(5_000), 0);
});

test("a new video that counts from nothing begins a new rate", () => {
  const rate = new FrameRate();
  for (let i = 0; i <= 32; i += 1) rate.frame(i * 62.5, 1_000 + i);
  for (let i = 0; i <= 8; i += 1) rate.frame(2_100 + i * 100, i);
  equal(rate.fps(2_900).toFixed(2), "10.00");
});

test("a command is on the screen with the frame that its reply names, not with an earlier one", () => {
  const latency = new CommandLatency();
  latency.frame(1_000, 110);
  equal(latency.applied(100, 3_000, 150), false);
  equal(latency.frame(2_000, 160), false);
  equal([latency.frame(3_000, 480), latency.last], [true, 380]);
  latency.frame(4_000, 540);
  equal(latency.last, 380);
});

test("a reply that comes after its frame counts from when that was shown", () => {
  const latency = new CommandLatency();
  for (let i = 0; i < 10; i += 1) latency.frame(2 ** 32 - 9_000 + i * 3_000, 100 + i * 10);
  equal([latency.applied(95, (2 ** 32 - 9_000 + 4 * 3_000) % 2 ** 32, 300), latency.last], [true, 45]);
});

test("a frame that was shown before the command was sent is not its picture", () => {
  const latency = new CommandLatency();
  latency.frame(9_000, 50);
  equal(latency.applied(100, 3_000, 150), false);
});

test("percentiles are of the last 32 commands, and of three at least", () => {
  const latency = new CommandLatency();
  latency.applied(0, undefined, 9_000);
  latency.applied(0, undefined, 9_000);
  equal(latency.percentiles, null);
  for (let i = 32; i >= 1; i -= 1) latency.applied(0, undefined, i * 10);
  equal(latency.percentiles, { p50: 160, p95: 310 });
  equal([latency.last, latency.history.length, latency.history[0]], [10, 32, 320]);
});

test("without a timestamp the reply itself counts", () => {
  const latency = new CommandLatency();
  equal([latency.applied(100, undefined, 350), latency.last], [true, 250]);
});

test("frames of a lost connection are forgotten", () => {
  const latency = new CommandLatency();
  latency.applied(100, 3_000, 150);
  latency.clear();
  equal([latency.frame(3_000, 200), latency.last], [false, null]);
  latency.clear();
  equal(latency.applied(150, 3_000, 300), false);
});

test("a drift is remembered by its largest share, of either sign, from when one is told", () => {
  const still = { luma: 0, contrast: 0, saturation: 0, sharpness: 0, similarity: 0.99, is_reanchoring: false };
  const drift = new DriftHistory();
  drift.take(undefined);
  equal([drift.history, drift.last], [[], null]);
  drift.take({ ...still, contrast: 0.1 });
  drift.take({ ...still, contrast: 0.2, saturation: -0.3 });
  equal([drift.history, drift.last?.saturation], [[0.1, 0.3], -0.3]);
  for (let i = 0; i < 200; i += 1) drift.take({ ...still, luma: i });
  equal([drift.history.length, drift.history.at(-1)], [120, 199]);
  drift.take();
  equal([drift.history, drift.last], [[], null]);
});
