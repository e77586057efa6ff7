// @ts-check
/** Prompts that follow one another, each for its time; the time stands still while the video does. */

/** @typedef {{ id: number, prompt: string, seconds: number }} Queued */
/**
 * @typedef {{
 *   now: () => number,
 *   set: (wake: () => void, ms: number) => any,
 *   clear: (timer: any) => void,
 * }} Clock `now` in milliseconds
 */

/** @type {Clock} */
const REAL_CLOCK = {
  now: () => performance.now(),
  set: (wake, ms) => setTimeout(wake, ms),
  clear: (timer) => clearTimeout(timer),
};

export class PromptQueue {
  #apply;
  #changed;
  #clock;
  /** @type {readonly Queued[]} */
  #items = [];
  /** @type {Queued | null} the one in effect, or the one to begin with */
  #current = null;
  #nextId = 1;
  #isRunning = false;
  #isHeld = false;
  #left = 0;
  #since = 0;
  /** @type {any} */
  #timer;
  /** Whether the first follows the last. */
  loops = false;

  /** @param {(prompt: string) => void} apply @param {() => void} changed @param {Clock} [clock] */
  constructor(apply, changed, clock = REAL_CLOCK) {
    this.#apply = apply;
    this.#changed = changed;
    this.#clock = clock;
  }

  get items() {
    return this.#items;
  }

  get current() {
    return this.#current;
  }

  get isRunning() {
    return this.#isRunning;
  }

  /** Seconds that the prompt in effect has left. */
  get left() {
    const passed = this.#isRunning && !this.#isHeld ? this.#clock.now() - this.#since : 0;
    return Math.max(0, this.#left - passed) / 1_000;
  }

  /** What is worth keeping when the page is left, as text. */
  keep() {
    const items = this.#items.map(({ prompt, seconds }) => ({ prompt, seconds }));
    return JSON.stringify({ items, at: this.#current ? this.#at(this.#current.id) : null, loops: this.loops });
  }

  /** Takes up what was kept; it does not run by itself. @param {string} kept by {@link keep} */
  takeUp(kept) {
    const { items, at, loops } = JSON.parse(kept);
    this.#items = items.map((/** @type {Omit<Queued, "id">} */ item) => ({ ...item, id: this.#nextId++ }));
    this.#current = at === null ? null : this.#items[at];
    this.loops = loops;
  }

  /** @param {string} prompt @param {number} seconds above 0 */
  add(prompt, seconds) {
    this.#items = [...this.#items, { id: this.#nextId++, prompt, seconds }];
    this.#changed();
  }

  /** @param {number} id */
  remove(id) {
    const at = this.#at(id);
    const wasCurrent = this.#items[at] === this.#current;
    this.#items = this.#items.filter((item) => item.id !== id);
    if (wasCurrent && this.#isRunning) this.#show(this.#items[at] ?? (this.loops ? this.#items[0] : undefined));
    else if (wasCurrent) this.#current = null;
    this.#changed();
  }

  /** @param {number} id @param {-1 | 1} by */
  move(id, by) {
    const [from, to] = [this.#at(id), this.#at(id) + by];
    if (to < 0 || to >= this.#items.length) return;
    const items = [...this.#items];
    [items[from], items[to]] = [items[to], items[from]];
    this.#items = items;
    this.#changed();
  }

  /** @param {number} id @param {number} seconds above 0; the one in effect has what remains of that */
  setSeconds(id, seconds) {
    const item = this.#items[this.#at(id)];
    if (item === this.#current && this.#isRunning) {
      this.#left = Math.max(0, this.left * 1_000 + (seconds - item.seconds) * 1_000);
      this.#since = this.#clock.now();
      this.#arm();
    }
    item.seconds = seconds;
    this.#changed();
  }

  /** Begins with the first, or with the one at which it was stopped. */
  run() {
    const first = this.#current ?? this.#items[0];
    if (!first || this.#isRunning) return;
    this.#isRunning = true;
    this.#show(first);
    this.#changed();
  }

  /** Stops; the prompt in effect stays. */
  stop() {
    this.#isRunning = false;
    this.#clock.clear(this.#timer);
    this.#changed();
  }

  /** Goes on to the next one now; after the last it stops, or begins anew where it loops. */
  next() {
    const at = this.#current ? this.#at(this.#current.id) + 1 : 0;
    this.#show(this.#items[at] ?? (this.loops ? this.#items[0] : undefined));
    this.#changed();
  }

  /** Goes to one now, and on from there. @param {number} id */
  jump(id) {
    this.#isRunning = true;
    this.#show(this.#items[this.#at(id)]);
    this.#changed();
  }

  /** Lets the time stand still, or go on. @param {boolean} isHeld */
  hold(isHeld) {
    if (isHeld === this.#isHeld) return;
    this.#left = this.left * 1_000;
    this.#isHeld = isHeld;
    this.#since = this.#clock.now();
    if (this.#isRunning) this.#arm();
  }

  /** @param {number} id */
  #at(id) {
    return this.#items.findIndex((item) => item.id === id);
  }

  /** @param {Queued | undefined} item none: it is at its end */
  #show(item) {
    this.#current = item ?? null;
    if (!item) {
      this.#isRunning = false;
      this.#clock.clear(this.#timer);
      return;
    }
    this.#left = item.seconds * 1_000;
    this.#since = this.#clock.now();
    this.#apply(item.prompt);
    if (this.#isRunning) this.#arm();
  }

  #arm() {
    this.#clock.clear(this.#timer);
    if (!this.#isHeld) this.#timer = this.#clock.set(() => this.next(), this.#left);
  }
}
