// @ts-check
/** A picture goes up in messages of the right size, and never fills the browser's buffer. */

import { MAX_BUFFERED_BYTES, MESSAGE_BYTES, sendBytes } from "../../web/upload.js";
import { equal, settle, test, thrown } from "./harness.mjs";

/** A channel whose network takes bytes only when told. */
class FakeChannel extends EventTarget {
  readyState = /** @type {RTCDataChannelState} */ ("open");
  bufferedAmount = 0;
  bufferedAmountLowThreshold = 0;
  /** @type {Uint8Array[]} */
  sent = [];
  most = 0;

  send(/** @type {any} */ message) {
    this.sent.push(message);
    this.bufferedAmount += message.length;
    this.most = Math.max(this.most, this.bufferedAmount);
  }

  drain(/** @type {number} */ bytes) {
    const before = this.bufferedAmount;
    this.bufferedAmount = Math.max(0, before - bytes);
    const isLow = before > this.bufferedAmountLowThreshold && this.bufferedAmount <= this.bufferedAmountLowThreshold;
    if (isLow) this.dispatchEvent(new Event("bufferedamountlow"));
  }
}

const never = new AbortController().signal;

test("all bytes come in order, in messages of 1 to 65,536 bytes, with little buffered", async () => {
  const channel = new FakeChannel();
  const bytes = Uint8Array.from({ length: 700_001 }, (_, i) => i % 251);
  /** @type {number[]} */
  const progress = [];
  const sending = sendBytes(channel, bytes, { signal: never, onProgress: (sent) => progress.push(sent) });
  await settle();
  equal(channel.sent.length, MAX_BUFFERED_BYTES / MESSAGE_BYTES, "before the network takes any:");
  while (channel.bufferedAmount > 0) {
    channel.drain(70_000);
    await settle();
  }
  await sending;
  const joined = new Uint8Array(await new Blob(/** @type {any} */ (channel.sent)).arrayBuffer());
  equal([joined.length, joined.every((byte, i) => byte === i % 251)], [bytes.length, true]);
  equal(channel.sent.every(({ length }) => length >= 1 && length <= MESSAGE_BYTES), true);
  equal(channel.most <= MAX_BUFFERED_BYTES, true, `${channel.most} bytes buffered:`);
  equal(progress.toSorted((a, b) => a - b).join() === progress.join(), true, "progress only grows:");
});

test("an upload ends with the connection", async () => {
  const channel = new FakeChannel();
  const sending = sendBytes(channel, new Uint8Array(1_000_000), { signal: never });
  channel.dispatchEvent(new Event("close"));
  equal((await thrown(() => sending)).name, "NetworkError");
});

test("an upload that was stopped before it began sends nothing", async () => {
  const channel = new FakeChannel();
  const stopped = AbortSignal.abort();
  equal((await thrown(() => sendBytes(channel, new Uint8Array(10), { signal: stopped }))).name, "AbortError");
  equal(channel.sent, []);
});

test("an upload that is told to stop sends nothing more", async () => {
  const channel = new FakeChannel();
  const stop = new AbortController();
  const sending = sendBytes(channel, new Uint8Array(1_000_000), { signal: stop.signal });
  stop.abort();
  equal((await thrown(() => sending)).name, "AbortError");
  channel.drain(1_000_000);
  await settle();
  equal(channel.sent.length, MAX_BUFFERED_BYTES / MESSAGE_BYTES);
});
