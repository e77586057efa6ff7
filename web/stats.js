// @ts-check
/**
 * What the page measures for itself: the rate of the frames it is shown, and how long a command takes
 * to reach the screen. Times are milliseconds of `performance.now()`.
 */

const RTP_WRAP = 2 ** 32;

/**
 * How far one RTP timestamp is ahead of another, across the wrap at 2^32 (RFC 3550, section 5.1).
 * @param {number} later @param {number} earlier
 * @returns {number} ticks, negative where `later` is the earlier one
 */
export function rtpDistance(later, earlier) {
  const distance = (((later - earlier) % RTP_WRAP) + RTP_WRAP) % RTP_WRAP;
  return distance >= RTP_WRAP / 2 ? distance - RTP_WRAP : distance;
}

/** Frames per second over the last two seconds; it falls to zero when the video stands still. */
export class FrameRate {
  static #WINDOW_MS = 2000;
  /** @type {{ at: number, presented: number }[]} */
  #shown = [];

  /**
   * Counts a frame.
   * @param {number} at when it was shown
   * @param {number} presented how many the video has shown so far, so that frames nobody called back for count too
   */
  frame(at, presented) {
    const last = this.#shown.at(-1);
    if (last && presented < last.presented) this.clear();
    this.#shown.push({ at, presented });
    while (this.#shown[0].at < at - FrameRate.#WINDOW_MS) this.#shown.shift();
  }

  /** @param {number} now @returns {number} */
  fps(now) {
    const recent = this.#shown.filter(({ at }) => at >= now - FrameRate.#WINDOW_MS);
    if (recent.length < 2) return 0;
    const [first, last] = [recent[0], recent[recent.length - 1]];
    const quiet = now - last.at;
    const interval = (last.at - first.at) / (last.presented - first.presented || 1);
    // A gap of up to two frames is the normal wait for the next one, more is a standstill that counts.
    const span = quiet > 2 * interval ? now - first.at : last.at - first.at;
    return span > 0 ? (1000 * (last.presented - first.presented)) / span : 0;
  }

  clear() {
    this.#shown = [];
  }
}

/**
 * The time from a command to the picture it made: its reply names a frame by RTP timestamp, and the
 * video tells when that frame was shown. Either may come first.
 */
export class CommandLatency {
  static #REMEMBERED = 128;
  static #COMMANDS = 32;
  /** @type {{ rtp: number, at: number }[]} */
  #frames = [];
  /** @type {{ sentAt: number, rtp: number } | null} */
  #awaited = null;
  /** @type {number[]} */
  #seen = [];

  /** @returns {number | null} milliseconds from the last command to its picture, null before the first */
  get last() {
    return this.#seen.at(-1) ?? null;
  }

  /**
   * The median and the 95th percentile over the last commands.
   * @returns {{ p50: number, p95: number } | null} null while there are fewer than three, which say nothing of them
   */
  get percentiles() {
    const sorted = this.#seen.toSorted((a, b) => a - b);
    if (sorted.length < 3) return null;
    const at = (/** @type {number} */ share) => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)];
    return { p50: at(0.5), p95: at(0.95) };
  }

  /** @returns {readonly number[]} milliseconds of the last commands, the oldest first */
  get history() {
    return this.#seen;
  }

  /** @param {number} milliseconds */
  #see(milliseconds) {
    this.#seen = [...this.#seen, milliseconds].slice(-CommandLatency.#COMMANDS);
  }

  /**
   * Notes that a command's first frame was sent.
   * @param {number} sentAt when the command was sent
   * @param {number | undefined} rtp RTP timestamp of the first frame made under it
   * @param {number} now
   * @param {boolean} [seesFrames] whether {@link frame} is called with RTP timestamps in this browser
   * @returns {boolean} whether the picture was seen, so that {@link last} is new
   */
  applied(sentAt, rtp, now, seesFrames = true) {
    if (rtp === undefined || !seesFrames) {
      this.#see(now - sentAt);
      return true;
    }
    const shown = this.#frames.find((frame) => frame.at >= sentAt && rtpDistance(frame.rtp, rtp) >= 0);
    if (shown) this.#see(shown.at - sentAt);
    this.#awaited = shown ? null : { sentAt, rtp };
    return shown !== undefined;
  }

  /**
   * Notes that a frame is on the screen.
   * @param {number} rtp its RTP timestamp @param {number} at when it was shown
   * @returns {boolean} whether a command waited for it, so that {@link last} is new
   */
  frame(rtp, at) {
    this.#frames.push({ rtp, at });
    if (this.#frames.length > CommandLatency.#REMEMBERED) this.#frames.shift();
    if (!this.#awaited || rtpDistance(rtp, this.#awaited.rtp) < 0) return false;
    this.#see(at - this.#awaited.sentAt);
    this.#awaited = null;
    return true;
  }

  /** Forgets the frames of a connection that is gone: RTP timestamps begin anew with the next. */
  clear() {
    this.#frames = [];
    this.#awaited = null;
  }
}

/** How far the video has gone, of each `stats` that tells it; of a server that does not, nothing. */
export class DriftHistory {
  static #REMEMBERED = 120;
  /** @type {number[]} */
  #seen = [];
  /** @type {import("./protocol.js").Drift | null} */
  #last = null;

  /** @returns {readonly number[]} the largest share of each, the oldest first */
  get history() {
    return this.#seen;
  }

  /** The one told last; null where none is told, as while a prompt settles. */
  get last() {
    return this.#last;
  }

  /** @param {import("./protocol.js").Drift | null} [drift] what a `stats` has of it; without one it begins anew */
  take(drift = null) {
    this.#last = drift;
    if (drift === null) {
      this.#seen = [];
      return;
    }
    const { luma, contrast, saturation, sharpness } = drift;
    const largest = Math.max(...[luma, contrast, saturation, sharpness].map(Math.abs));
    this.#seen = [...this.#seen, largest].slice(-DriftHistory.#REMEMBERED);
  }
}
