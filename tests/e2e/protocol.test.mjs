// @ts-check
/** The page says and hears what `tests/vectors/protocol.json` binds both ends to. */

import { dumpCommand, parseCommand, parseServerMessage } from "../../web/protocol.js";
import { equal, readText, test, thrown } from "./harness.mjs";

const vectors = JSON.parse(await readText(new URL("../vectors/protocol.json", import.meta.url)));

for (const { name, text, ok, error, id, field, repeat } of vectors.client) {
  const spread = (/** @type {string} */ pattern) =>
    repeat ? pattern.replaceAll("@", repeat[0].repeat(repeat[1])) : pattern;
  test(`client: ${name}`, async () => {
    if (ok) {
      const wanted = JSON.parse(spread(JSON.stringify(ok)));
      equal(parseCommand(spread(text)), wanted);
      equal(parseCommand(dumpCommand(wanted)), wanted, "read, written and read again");
      return;
    }
    const refusal = await thrown(() => parseCommand(spread(text)));
    equal([refusal.code, refusal.id ?? null], [error, id ?? null]);
    if (field) equal(refusal.message.startsWith(`${field} `), true, `"${refusal.message}" names ${field}:`);
  });
}

for (const { name, message } of vectors.server) {
  test(`server: ${name}`, () => equal(parseServerMessage(JSON.stringify(message)), message));
}

test("what is not a message of the server is refused", async () => {
  equal((await thrown(() => parseServerMessage("{"))).code, "bad_json");
  equal((await thrown(() => parseServerMessage('{"frame":1}'))).code, "bad_message");
});
