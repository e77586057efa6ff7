// @ts-check
/** The page's SHA-256 is SHA-256. */

import { sha256Hex } from "../../web/sha256.js";
import { equal, test } from "./harness.mjs";

const encode = (/** @type {string} */ text) => new TextEncoder().encode(text);

// The examples of FIPS 180-2, appendix B, and the empty message.
for (const [text, digest] of [
  ["", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"],
  ["abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"],
  ["abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"],
  ["a".repeat(1_000_000), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"],
]) {
  test(`sha256 of ${text.length} characters`, () => equal(sha256Hex(encode(text)), digest));
}

// Lengths around the borders of a block and of its padding; byte i is i modulo 251.
for (const [length, digest] of /** @type {[number, string][]} */ ([
  [1, "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"],
  [55, "463eb28e72f82e0a96c0a4cc53690c571281131f672aa229e0d45ae59b598b59"],
  [56, "da2ae4d6b36748f2a318f23e7ab1dfdf45acdc9d049bd80e59de82a60895f562"],
  [63, "29af2686fd53374a36b0846694cc342177e428d1647515f078784d69cdb9e488"],
  [64, "fdeab9acf3710362bd2658cdc9a29e8f9c757fcf9811603a8c447cd1d9151108"],
  [65, "4bfd2c8b6f1eec7a2afeb48b934ee4b2694182027e6d0fc075074f2fabb31781"],
  [119, "da18797ed7c3a777f0847f429724a2d8cd5138e6ed2895c3fa1a6d39d18f7ec6"],
  [120, "f52b23db1fbb6ded89ef42a23ce0c8922c45f25c50b568a93bf1c075420bbb7c"],
  [1000, "4e4c294b331f7a2099a379bec34b9f9fc03dc46ab465d998f4d683da53487e6d"],
])) {
  test(`sha256 of ${length} bytes`, () => equal(sha256Hex(Uint8Array.from({ length }, (_, i) => i % 251)), digest));
}

test("sha256 of a part of a buffer", () => equal(sha256Hex(encode("xabcx").subarray(1, 4)), sha256Hex(encode("abc"))));
