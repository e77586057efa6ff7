// @ts-check
/** A picture's bytes onto a data channel, no faster than the network takes them. */

export const MESSAGE_BYTES = 65_536;
/** Above this much waiting in the browser the sender pauses; below half of it the sender goes on. */
export const MAX_BUFFERED_BYTES = 262_144;

/** @typedef {Pick<RTCDataChannel, "readyState" | "bufferedAmount" | "bufferedAmountLowThreshold" | "send"> & EventTarget} ByteChannel */

/**
 * Sends bytes as binary messages, in order.
 * @param {ByteChannel} channel
 * @param {Uint8Array} bytes
 * @param {{ signal: AbortSignal, onProgress?: (sent: number) => void }} options `onProgress` is told the bytes
 *   that have left the browser's buffer
 * @throws {DOMException} `AbortError` when the signal stops it, `NetworkError` when the channel closes
 */
export async function sendBytes(channel, bytes, { signal, onProgress }) {
  signal.throwIfAborted();
  channel.bufferedAmountLowThreshold = MAX_BUFFERED_BYTES / 2;
  for (let offset = 0; offset < bytes.length; offset += MESSAGE_BYTES) {
    const message = bytes.slice(offset, offset + MESSAGE_BYTES);
    if (channel.bufferedAmount + message.length > MAX_BUFFERED_BYTES) await drained(channel, signal);
    if (channel.readyState !== "open") throw closedError();
    channel.send(message);
    onProgress?.(Math.max(0, offset + message.length - channel.bufferedAmount));
  }
}

/**
 * Waits until little is buffered.
 * @param {ByteChannel} channel @param {AbortSignal} signal
 * @returns {Promise<void>}
 */
function drained(channel, signal) {
  return new Promise((resolve, reject) => {
    const done = new AbortController();
    /** @param {EventTarget} target @param {string} type @param {() => void} settle */
    const once = (target, type, settle) =>
      target.addEventListener(type, () => (done.abort(), settle()), { signal: done.signal });
    once(channel, "bufferedamountlow", resolve);
    once(channel, "close", () => reject(closedError()));
    once(signal, "abort", () => reject(signal.reason));
  });
}

const closedError = () => new DOMException("The connection was lost during the upload.", "NetworkError");
