// @ts-check
/** Who directs together is told as the server tells it, and an invitation brings its reader to the stream. */

import { Crew, called } from "../../web/crew.js";
import { invitation, invited } from "../../web/invitation.js";
import { equal, test } from "./harness.mjs";

const ANN = { director: "director-1", name: "Ann" };
const NOBODY = { director: "director-2", name: "" };

/** A crew in which the page is the second, before commands that are kept. */
function setUp(isOpen = true) {
  const sent = /** @type {any[]} */ ([]);
  const commands = { isOpen, send: async (/** @type {any[]} */ ...given) => void sent.push(given.slice(1)) };
  const director = { name: "" };
  const crew = new Crew(/** @type {any} */ (commands), /** @type {any} */ (director));
  const tell = (/** @type {string | null} */ baton) =>
    crew.onMessage({ type: "directors", you: "director-2", directors: [ANN, NOBODY], baton });
  return { crew, director, sent, tell };
}

test("the others are all but oneself", () => {
  const { crew, tell } = setUp();
  equal(crew.others, []);
  tell(null);
  equal(crew.others, [ANN]);
});

for (const [baton, holder, isYours] of /** @type {const} */ ([
  [null, null, false],
  ["director-1", ANN, false],
  ["director-2", null, true],
])) {
  test(`with the baton at ${baton} it is told who directs alone`, () => {
    const { crew, tell } = setUp();
    tell(baton);
    equal([crew.holder, crew.isYours], [holder, isYours]);
  });
}

test("without a connection nobody is known to be there", () => {
  const { crew, tell } = setUp();
  tell("director-1");
  crew.forget();
  equal([crew.others, crew.holder, crew.isYours], [[], null, false]);
});

test("a name is said at once, and with the next greeting", async () => {
  const { crew, director, sent } = setUp();
  await crew.rename("Bo");
  equal(director.name, "Bo");
  equal(sent, [["hello", { protocol: 1, name: "Bo" }]]);
});

test("without a connection a name waits for the next greeting", async () => {
  const { crew, director, sent } = setUp(false);
  await crew.rename("Bo");
  equal([director.name, sent], ["Bo", []]);
});

test("the baton is handed on, given up and taken by its commands", async () => {
  const { crew, sent } = setUp();
  await crew.handOver(ANN);
  await crew.release();
  await crew.takeOver();
  equal(sent, [["hand_over", { to: "director-1" }], ["hand_over"], ["take_over"]]);
});

test("who said no name is called by its number", () => equal([ANN, NOBODY].map(called), ["Ann", "Director 2"]));

test("an invitation is read as it was made, whatever stands in it", () => {
  const made = invitation("https://live.example/v/", "s 1", "a+b/c=&d#e");
  equal(invited(new URL(made).hash), { stream: "s 1", control_token: "a+b/c=&d#e" });
  equal(new URL(made).search, "");
});

for (const hash of ["", "#", "#direct=s1", "#token=secret", "#elsewhere"]) {
  test(`"${hash}" invites to nothing`, () => equal(invited(hash), null));
}
