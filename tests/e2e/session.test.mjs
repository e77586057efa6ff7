// @ts-check
/** What the person chose reaches the stream, also the next one, and what goes wrong is said where it belongs. */

import { CommandError } from "../../web/command_error.js";
import { Session } from "../../web/session.js";
import { equal, settle, test } from "./harness.mjs";

const CAPABILITIES = {
  model: "pocket",
  sizes: [[832, 480]],
  fps: 16,
  modes: ["i2v", "t2v"],
  policies: ["auto"],
  limits: { prompt_chars: 20, image_bytes: 1_000, image_pixels: 1_000, streams: 2 },
  examples: ["rain"],
};
const IDLE = { state: "idle", mode: "i2v", prompt: "", frame: 0, image: null };
const LIVE = { ...IDLE, state: "live", prompt: "rain" };
const PICTURE = { bytes: new Uint8Array(10), name: "sea.png", mime: "image/png", sha256: "ab", width: 3, height: 2 };

/** A session before a director that keeps what it is told. */
function setUp() {
  const calls = /** @type {any[]} */ ([]);
  const entries = /** @type {any[]} */ ([]);
  const errors = /** @type {Record<string, string>} */ ({});
  const effects = /** @type {any[]} */ ([]);
  const notes = /** @type {string[]} */ ([]);
  const refusals = /** @type {Record<string, CommandError>} */ ({});
  let now = 0;
  /** @type {any} */
  let events;
  const answer = (/** @type {string} */ type, /** @type {any} */ fields) => {
    calls.push([type, fields]);
    return refusals[type] ? Promise.reject(refusals[type]) : Promise.resolve({ type });
  };
  const director = {
    run: async () => {},
    close() {},
    retryNow: () => void calls.push(["retry"]),
    useAccessToken() {},
    controlToken: "secret",
    command: answer,
    upload: (/** @type {any} */ picture, /** @type {any} */ _, /** @type {any} */ entry) => {
      entries.push(entry);
      return answer("upload", picture.name);
    },
    request: (/** @type {string} */ method, /** @type {string} */ path, /** @type {any} */ body) =>
      answer(`${method} ${path}`, body),
  };
  const session = new Session(
    {
      changed() {},
      video() {},
      error: (place, message) => void (errors[place] = message),
      promptNote: (words) => void notes.push(words),
      uploading() {},
      pictureTaken() {},
      tookEffect: (effect) => void effects.push(effect),
    },
    (given) => ((events = given), director),
    () => now,
  );
  return {
    session,
    calls,
    entries,
    errors,
    effects,
    notes,
    refusals,
    say: (/** @type {any} */ message, /** @type {any} */ sent) => events.onMessage(message, sent),
    phase: (/** @type {any} */ phase) => events.onPhase(phase),
    wait: (/** @type {number} */ ms) => void (now += ms),
    async welcome(state = /** @type {any} */ (IDLE), rejoined = false, more = {}, lost = "") {
      events.onPhase({ phase: "open" });
      const capabilities = { ...CAPABILITIES, ...more };
      events.onWelcome({ type: "welcome", stream: "s", capabilities, state }, rejoined, lost);
      await settle();
    },
  };
}

test("a picture and a prompt chosen before there is a connection go up with it", async () => {
  const { session, calls, welcome } = setUp();
  session.pictures.use(/** @type {any} */ (PICTURE));
  await session.prompts.apply("rain");
  equal(calls, []);
  await welcome();
  equal(calls, [["set_prompt", { prompt: "rain" }], ["upload", "sea.png"]]);
});

test("a start sends the prompt in the box first, and only where it is new", async () => {
  const { session, calls, welcome } = setUp();
  await welcome();
  session.pictures.use(/** @type {any} */ (PICTURE));
  await session.start("rain", 7);
  await session.start("rain", 8);
  equal(calls, [
    ["upload", "sea.png"],
    ["set_prompt", { prompt: "rain" }],
    ["start", { seed: 7 }],
    ["start", { seed: 8 }],
  ]);
});

test("a stream that is still there is left as it is", async () => {
  const { session, calls, welcome, phase } = setUp();
  await welcome();
  session.pictures.use(/** @type {any} */ (PICTURE));
  await session.start("rain", 7);
  calls.length = 0;
  phase({ phase: "waiting", reason: "gone", retryAt: 1 });
  await welcome({ ...LIVE, prompt: "snow" }, true);
  equal([calls, session.prompts.text, session.stream.state], [[], "snow", "live"]);
});

test("a stream that can't go on is told of, after the new one was brought to where it was", async () => {
  const { calls, errors, session, welcome } = setUp();
  session.pictures.use(/** @type {any} */ (PICTURE));
  await session.prompts.apply("rain");
  await welcome(undefined, false, {}, "There is another model.");
  equal(calls.length, 2);
  equal(errors.status, "There is another model.");
});

test("what is being written is read beforehand, once, while the video plays", async () => {
  const { calls, session, welcome, say } = setUp();
  await welcome();
  await session.prompts.consider("rain");
  equal(calls, []);
  say({ ...LIVE, type: "state", prompt: "fog" });
  for (const text of ["rain", "rain", "", "x".repeat(3_000)]) await session.prompts.consider(text);
  equal(calls, [["prepare", { prompt: "rain" }]]);
});

test("a prompt given while there was no connection is sent when the stream is back", async () => {
  const { session, calls, welcome, phase } = setUp();
  await welcome();
  phase({ phase: "waiting", reason: "gone", retryAt: 1 });
  await session.prompts.apply("fog");
  await welcome(LIVE, true);
  equal(calls, [["set_prompt", { prompt: "fog" }]]);
});

test("a new stream gets mode, prompt and picture again, and plays on if it had played a while", async () => {
  for (const [played, restarts] of /** @type {[number, boolean][]} */ ([[60_000, true], [500, false]])) {
    const { session, calls, welcome, phase, say, wait } = setUp();
    await welcome();
    session.pictures.use(/** @type {any} */ (PICTURE));
    await session.start("rain", 7);
    await session.setMode("t2v");
    say({ ...LIVE, type: "state", mode: "t2v" });
    wait(played);
    calls.length = 0;
    phase({ phase: "waiting", reason: "gone", retryAt: 1 });
    await welcome(IDLE, false);
    await settle();
    const wanted = ["set_mode", "set_prompt", ...(restarts ? ["start"] : []), "upload"];
    equal(calls.map(([type]) => type).sort(), wanted, `after ${played} ms:`);
  }
});

test("a refused picture leaves the one before it, and the reason stands at the picture", async () => {
  const { session, errors, refusals, welcome } = setUp();
  await welcome();
  session.pictures.use(/** @type {any} */ (PICTURE));
  await settle();
  refusals.upload = new CommandError("image_corrupt", "It is damaged.");
  session.pictures.use(/** @type {any} */ ({ ...PICTURE, name: "bad.png" }));
  await settle();
  equal([session.pictures.current?.name, errors.picture], ["sea.png", "It is damaged."]);
});

test("a picture that the connection lost is sent again with the next", async () => {
  const { session, calls, refusals, welcome, phase } = setUp();
  await welcome();
  refusals.upload = new CommandError("disconnected", "lost");
  session.pictures.use(/** @type {any} */ (PICTURE));
  await settle();
  phase({ phase: "waiting", reason: "gone", retryAt: 1 });
  delete refusals.upload;
  await welcome(IDLE, true);
  equal(calls, [["upload", "sea.png"], ["upload", "sea.png"]]);
});

test("of pictures chosen quickly only the last one waits its turn", async () => {
  const { session, calls, welcome } = setUp();
  await welcome();
  for (const name of ["a", "b", "c"]) session.pictures.use(/** @type {any} */ ({ ...PICTURE, name }));
  await settle();
  equal(calls, [["upload", "c"]]);
});

test("each refusal is shown where it belongs", async () => {
  for (const [command, code, place] of [
    ["start", "no_image", "picture"],
    ["start", "at_capacity", "status"],
    ["start", "wrong_state", "control"],
    ["set_prompt", "not_supported", "prompt"],
  ]) {
    const { session, errors, refusals, welcome } = setUp();
    await welcome({ ...IDLE, mode: "t2v" });
    refusals[command] = new CommandError(code, "Because.");
    await session.start("rain", 1);
    equal(errors[place], "Because.", `${code} of ${command}:`);
  }
});

test("a recording is begun and ended by one button, and what became of it is kept", async () => {
  const { session, calls, say, welcome, phase } = setUp();
  await welcome();
  await session.kept.toggleRecording();
  say({ type: "recording", id: 1, url: "/recordings/a.mp4" });
  equal([session.kept.isRecording, session.kept.recorded], [true, null]);
  await session.kept.toggleRecording();
  say({ type: "recorded", id: 2, url: "/recordings/a.mp4", bytes: 9, seconds: 1.5 });
  equal([session.kept.isRecording, session.kept.recorded?.url], [false, "/recordings/a.mp4"]);
  equal(calls.map(([type]) => type), ["record_start", "record_stop"]);
  say({ type: "recording", url: "/recordings/b.mp4" });
  equal([session.kept.isRecording, session.kept.recorded], [true, null]);
  phase({ phase: "waiting", reason: "gone", retryAt: 1 });
  equal(session.kept.isRecording, false);
  say({ type: "recorded", url: "/recordings/b.mp4", bytes: 0, seconds: 0 });
  equal(session.kept.recorded, null);
});

test("bookmarks are those of the welcome and what is told since, the newest", async () => {
  const { session, calls, say, welcome } = setUp();
  const told = (/** @type {string} */ bookmark) => ({ bookmark, name: "", frame: 1, thumbnail: "", mode: "i2v", prompt: "", seed: 1 });
  equal([session.kept.canBookmark, session.kept.bookmarks], [false, []]);
  await welcome();
  session.useCapabilities(/** @type {any} */ ({ ...CAPABILITIES, limits: { ...CAPABILITIES.limits, bookmarks: 2 } }));
  for (const id of ["a", "b", "c"]) say({ type: "bookmarked", ...told(id) });
  equal([session.kept.canBookmark, session.kept.bookmarks.map(({ bookmark }) => bookmark)], [true, ["b", "c"]]);
  await session.kept.bookmark();
  say({ ...IDLE, type: "state", prompt: "as it was" });
  await session.rewind("c");
  equal(session.prompts.text, "as it was");
  await session.kept.fork("b");
  equal(calls.slice(-3), [["bookmark", null], ["rewind", { bookmark: "c" }], ["fork", { bookmark: "b" }]]);
});

test("a server that keeps no recordings is not asked for one", async () => {
  const { session } = setUp();
  equal(session.kept.canRecord, false);
  session.useCapabilities(/** @type {any} */ ({ ...CAPABILITIES, limits: { ...CAPABILITIES.limits, recording_s: 60 } }));
  equal([session.kept.canRecord, session.streamId], [true, ""]);
});

test("the mode that was chosen stands while it is on its way, and falls back when it is refused", async () => {
  const { session, refusals, say, welcome } = setUp();
  await welcome();
  const sent = session.setMode("t2v");
  say({ ...IDLE, type: "state" });
  equal([session.mode, session.isReady], ["t2v", true]);
  await sent;
  say({ ...IDLE, type: "state", mode: "t2v" });
  say({ ...IDLE, type: "state", mode: "i2v" });
  equal(session.mode, "i2v");
  refusals.set_mode = new CommandError("not_supported", "No.");
  await session.setMode("t2v");
  equal(session.mode, "i2v");
});

test("a prompt too long is refused here, counted in code points, and nothing is started", async () => {
  const { session, calls, errors, welcome } = setUp();
  await welcome({ ...IDLE, mode: "t2v" });
  await session.start("\u{1F600}".repeat(21), 1);
  equal([calls, errors.prompt.includes("20")], [[], true]);
  await session.start("\u{1F600}".repeat(20), 1);
  equal(calls.map(([type]) => type), ["set_prompt", "start"]);
});

test("what was said before the start counts from the start", async () => {
  const { session, notes, say, wait, welcome } = setUp();
  await welcome({ ...IDLE, mode: "t2v" });
  wait(60_000);
  await session.start("rain", 1);
  wait(400);
  say({ type: "prompt_applied", id: 1, frame: 0, rtp_timestamp: 9_000 }, { type: "set_prompt", fields: { prompt: "rain" }, sentAt: 0 });
  session.frameShown(9_000, 60_450);
  equal([session.latency.last, notes.at(-1)], [450, ""]);
});

test("a live prompt says when it is on the screen", async () => {
  const { session, notes, say, welcome } = setUp();
  await welcome(LIVE);
  await session.prompts.apply("snow");
  say({ type: "prompt_applied", id: 1, frame: 9, rtp_timestamp: 9_000 }, { type: "set_prompt", fields: { prompt: "snow" }, sentAt: 100 });
  equal(notes.at(-1), "On its way…");
  session.frameShown(9_000, 480);
  equal(notes.at(-1), "On screen after 0.38 s.");
});

test("the quality is the server's word, or told by the rate it sends", async () => {
  const { session, say, welcome } = setUp();
  await welcome(LIVE);
  const told = [{ fps_sent: 16 }, { fps_sent: 12 }, { fps_sent: 12, quality: "two steps" }].map((stats) => {
    say({ type: "stats", ...stats });
    return session.quality;
  });
  equal(told, ["full", "reduced", "two steps"]);
});

test("a server that is not ready says where its start is, and that is no error", async () => {
  const { session, errors, phase, welcome } = setUp();
  phase({ phase: "waiting", reason: "gone", retryAt: 1 });
  phase({ phase: "loading", reason: "the model is loading: warming up" });
  equal([session.phase, session.loading, session.isOpen, errors.status], ["loading", "the model is loading: warming up", false, ""]);
  await welcome();
  equal([session.phase, session.loading], ["open", ""]);
});

test("an error that no command asked for stands at the status", async () => {
  const { errors, say, welcome } = setUp();
  await welcome();
  say({ type: "error", code: "internal", message: "It broke.", retryable: true });
  equal(errors.status, "It broke.");
});

test("a camera's frame takes the place of the picture, unless it is refused", async () => {
  const { session, calls, errors, refusals, welcome } = setUp();
  await welcome();
  session.pictures.use(/** @type {any} */ (PICTURE));
  await settle();
  refusals.use_camera_frame = new CommandError("wrong_state", "Nobody publishes.");
  await session.pictures.useCameraFrame();
  equal([session.pictures.current?.name, errors.picture], ["sea.png", "Nobody publishes."]);
  delete refusals.use_camera_frame;
  await session.pictures.useCameraFrame();
  equal([session.pictures.current, errors.picture], [null, ""]);
  equal(calls.at(-1)[0], "use_camera_frame");
});

test("the stream is published with its token, and what is refused is said there", async () => {
  const { session, calls, errors, refusals, welcome } = setUp();
  await welcome();
  await session.publish("https://live.example/whip", "secret");
  await session.publish("rtmp://live.example/app/key", "");
  equal(calls, [
    ["POST publish", { url: "https://live.example/whip", token: "secret" }],
    ["POST publish", { url: "rtmp://live.example/app/key" }],
  ]);
  refusals["DELETE publish"] = new CommandError("wrong_state", "It is not being published.");
  await session.unpublish();
  equal([errors.publish, session.isBusy], ["It is not being published.", false]);
});

test("a picture comes into a running video by the softest way there is, or as the person chose", async () => {
  const { session, calls, entries, welcome } = setUp();
  await welcome(LIVE, false, { picture_policies: ["cut", "flush", "blend"] });
  equal([session.pictures.entries, session.pictures.entry], [["blend", "flush", "cut"], "blend"]);
  session.pictures.use(/** @type {any} */ (PICTURE));
  await settle();
  session.pictures.chooseEntry("flush");
  await session.pictures.useCameraFrame();
  equal(calls.at(-1), ["use_camera_frame", { policy: "flush", over_s: 1 }]);
  await session.pictures.useFrame();
  equal(calls.at(-1), ["use_frame", {}]);
  session.pictures.chooseEntry("cut");
  session.pictures.use(/** @type {any} */ ({ ...PICTURE }));
  await settle();
  equal(entries, [{ policy: "blend", over_s: 1 }, {}]);
});

test("where a model can only cut, and before a start, a picture goes up without a way in", async () => {
  for (const [state, more] of /** @type {any[]} */ ([[LIVE, {}], [IDLE, { picture_policies: ["cut", "blend"] }]])) {
    const { session, entries, welcome } = setUp();
    await welcome(state, false, more);
    session.pictures.chooseEntry("flush");
    session.pictures.use(/** @type {any} */ (PICTURE));
    await settle();
    equal(entries, [{}]);
  }
});

test("a prompt goes by the policy that was chosen, a blend with its seconds, as long as the server has it", async () => {
  const { session, calls, welcome } = setUp();
  await welcome(LIVE, false, { policies: ["auto", "blend"] });
  equal([session.prompts.policies, session.prompts.policy], [["auto", "blend"], "auto"]);
  await session.prompts.apply("snow");
  session.prompts.choosePolicy("blend");
  await session.prompts.apply("rain");
  session.prompts.blendS = 4;
  await session.prompts.apply("fog");
  await welcome({ ...LIVE, prompt: "fog" }, true, { policies: ["auto"] });
  await session.prompts.apply("sun");
  equal(calls.slice(-4), [
    ["set_prompt", { prompt: "snow" }],
    ["set_prompt", { prompt: "rain", policy: "blend", over_s: 2 }],
    ["set_prompt", { prompt: "fog", policy: "blend", over_s: 4 }],
    ["set_prompt", { prompt: "sun" }],
  ]);
});

test("a prompt that took effect is told with its first frame, whoever gave it", async () => {
  const { session, effects, say, welcome } = setUp();
  await welcome({ ...IDLE, mode: "t2v", prompt: "rain" });
  say({ type: "started", id: 1, frame: 0, rtp_timestamp: 5 }, { type: "start", fields: {}, sentAt: 0 });
  say({ ...LIVE, type: "state", frame: 0 });
  await session.prompts.apply("snow");
  say({ ...LIVE, type: "state", prompt: "snow", frame: 20 });
  say({ type: "prompt_applied", id: 2, frame: 24, rtp_timestamp: 9 }, { type: "set_prompt", fields: { prompt: "snow" }, sentAt: 0 });
  say({ ...LIVE, type: "state", prompt: "fog", frame: 40 });
  say({ ...LIVE, type: "state", state: "paused", prompt: "fog", frame: 44 });
  equal(effects, [
    { prompt: "rain", frame: 0, rtp: 5 },
    { prompt: "snow", frame: 24, rtp: 9 },
    { prompt: "fog", frame: 40 },
  ]);
});

test("a drift that stats tell is that of the stream's prompt, and of no other stream's", async () => {
  const { session, say, welcome } = setUp();
  const drift = { luma: 0, contrast: 0.25, saturation: 0, sharpness: 0, similarity: null, is_reanchoring: false };
  await welcome(LIVE);
  say({ type: "stats", fps_sent: 16 });
  equal(session.drift.last, null);
  say({ type: "stats", fps_sent: 16, drift });
  await welcome(LIVE, true);
  equal([session.drift.last, session.drift.history], [drift, [0.25]]);
  await welcome(LIVE, false);
  equal(session.drift.last, null);
});
