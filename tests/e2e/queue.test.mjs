// @ts-check
/** Queued prompts follow one another in their time, which stands still while the video does. */

import { PromptQueue } from "../../web/queue.js";
import { equal, test } from "./harness.mjs";

/** A queue of prompts of 5, 3 and 2 seconds under a clock that is turned by hand. */
function setUp(prompts = ["rain", "snow", "fog"]) {
  const applied = /** @type {string[]} */ ([]);
  let now = 1_000;
  /** @type {{ at: number, wake: () => void } | null} */
  let timer = null;
  const clock = {
    now: () => now,
    set: (/** @type {() => void} */ wake, /** @type {number} */ ms) => (timer = { at: now + ms, wake }),
    clear: () => void (timer = null),
  };
  const queue = new PromptQueue((prompt) => void applied.push(prompt), () => {}, clock);
  for (const [at, prompt] of prompts.entries()) queue.add(prompt, [5, 3, 2][at]);
  return {
    queue,
    applied,
    ids: queue.items.map(({ id }) => id),
    pass(/** @type {number} */ seconds) {
      const end = now + seconds * 1_000;
      while (timer && timer.at <= end) {
        const { at, wake } = timer;
        [now, timer] = [at, null];
        wake();
      }
      now = end;
    },
  };
}

test("each prompt is applied when the one before has had its time, and the last one stays", () => {
  const { queue, applied, pass } = setUp();
  equal(applied, []);
  queue.run();
  pass(4.9);
  equal([applied, queue.left.toFixed(1)], [["rain"], "0.1"]);
  pass(0.2);
  equal(applied, ["rain", "snow"]);
  pass(5);
  equal([applied, queue.isRunning, queue.current], [["rain", "snow", "fog"], false, null]);
});

test("a queue that loops begins again", () => {
  const { queue, applied, pass } = setUp(["rain", "snow"]);
  queue.loops = true;
  queue.run();
  pass(8.5);
  equal([applied, queue.isRunning], [["rain", "snow", "rain"], true]);
});

test("the time of a prompt stands still while it is held", () => {
  const { queue, applied, pass } = setUp();
  queue.run();
  pass(2);
  queue.hold(true);
  pass(60);
  equal([applied, queue.left], [["rain"], 3]);
  queue.hold(false);
  pass(2.9);
  equal(applied, ["rain"]);
  pass(0.2);
  equal(applied, ["rain", "snow"]);
});

test("next leaves out the rest of a prompt, and a jump goes anywhere and on from there", () => {
  const { queue, applied, pass, ids } = setUp();
  queue.run();
  pass(1);
  queue.next();
  pass(2.9);
  equal(applied, ["rain", "snow"]);
  queue.jump(ids[0]);
  pass(5.1);
  equal(applied, ["rain", "snow", "rain", "snow"]);
});

test("next without a run shows one prompt and starts no clock", () => {
  const { queue, applied, pass } = setUp();
  queue.next();
  pass(60);
  equal([applied, queue.isRunning, queue.current?.prompt], [["rain"], false, "rain"]);
  queue.next();
  equal(applied, ["rain", "snow"]);
});

test("stopped, it goes on with the prompt at which it was", () => {
  const { queue, applied, pass } = setUp();
  queue.run();
  pass(5.5);
  queue.stop();
  pass(60);
  queue.run();
  equal(applied, ["rain", "snow", "snow"]);
});

test("taken out while it is in effect, a prompt gives way to the next; before, it never comes", () => {
  const { queue, applied, pass, ids } = setUp();
  queue.run();
  queue.remove(ids[1]);
  queue.remove(ids[0]);
  equal(applied, ["rain", "fog"]);
  pass(2.1);
  equal(queue.isRunning, false);
  queue.remove(ids[2]);
  queue.run();
  equal([applied, queue.isRunning], [["rain", "fog"], false]);
});

test("a prompt that is moved comes at its new place", () => {
  const { queue, applied, pass, ids } = setUp();
  queue.move(ids[2], -1);
  queue.move(ids[0], -1);
  queue.run();
  pass(5.1);
  equal(applied, ["rain", "fog"]);
});

test("a changed time counts for the prompt in effect too", () => {
  const { queue, applied, pass, ids } = setUp();
  queue.run();
  pass(2);
  queue.setSeconds(ids[0], 3);
  equal(queue.left, 1);
  pass(1.1);
  equal(applied, ["rain", "snow"]);
  queue.setSeconds(ids[1], 0.05);
  pass(0);
  equal(applied, ["rain", "snow", "fog"]);
});

test("a queue that was kept is the same again, stands still, and goes on where it was", () => {
  const { queue, pass } = setUp();
  queue.loops = true;
  queue.run();
  pass(6);
  const again = setUp([]);
  again.queue.takeUp(queue.keep());
  equal(again.queue.items.map(({ prompt, seconds }) => [prompt, seconds]), [["rain", 5], ["snow", 3], ["fog", 2]]);
  equal([again.queue.isRunning, again.queue.loops, again.queue.current?.prompt], [false, true, "snow"]);
  again.queue.run();
  again.pass(3.5);
  equal(again.applied, ["snow", "fog"]);
  again.queue.add("sun", 1);
  equal(new Set(again.queue.items.map(({ id }) => id)).size, 4);
});
