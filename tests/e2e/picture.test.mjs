// @ts-check
/** The page tells a good picture from a bad one by its bytes, and says why. */

import { PictureError, formatBytes, inspectPicture, readPicture } from "../../web/picture.js";
import { equal, test, thrown } from "./harness.mjs";

const bytesOf = (/** @type {string} */ base64) => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
const latin = (/** @type {string} */ text) => Uint8Array.from(text, (c) => c.charCodeAt(0));

const TABLE = `//////////${"/".repeat(70)}`;
/** @type {Record<string, [string, Uint8Array]>} pictures of 3 x 2 pixels */
const PICTURES = {
  "a baseline JPEG": [
    "image/jpeg",
    bytesOf(
      `/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAP${TABLE}//////2wBDAf${TABLE}//////wAARCAACAAMDASIAAhEBAxEB/8QAFQABAQAAAAAAAAAAAA` +
        "AAAAAAAAH/xAAUEAEAAAAAAAAAAAAAAAAAAAAA/8QAFQEBAQAAAAAAAAAAAAAAAAAAAQL/xAAUEQEAAAAAAAAAAAAAAAAAAAAA/9oADAMBAA" +
        "IRAxEAPwCABb//2Q==",
    ),
  ],
  "a PNG": [
    "image/png",
    bytesOf(
      "iVBORw0KGgoAAAANSUhEUgAAAAMAAAACCAIAAAASFvFNAAAAFUlEQVR4nGM8ocHFwMDAwMDAxAADABKOAP5i5kriAAAAAElFTkSuQmCC",
    ),
  ],
  "a lossy WebP": [
    "image/webp",
    bytesOf("UklGRjAAAABXRUJQVlA4ICQAAABwAQCdASoDAAIADMDOJaACdAFAAAD+15W9y0UivF3YjjJIAAA="),
  ],
  "a lossless WebP": ["image/webp", bytesOf("UklGRh4AAABXRUJQVlA4TBEAAAAvAkAAAAdQlCJXof+BiOh/AAA=")],
  "a WebP with transparency": [
    "image/webp",
    bytesOf(
      "UklGRlIAAABXRUJQVlA4WAoAAAAQAAAAAgAAAQAAQUxQSAcAAAAAgICAgICAAFZQOCAkAAAAcAEAnQEqAwACAAzAziWgAnQBQAAA/teVvctF" +
        "Irxd2I4ySAAA",
    ),
  ],
};

for (const [name, [mime, bytes]] of Object.entries(PICTURES)) {
  test(`${name} is taken`, () => equal(inspectPicture(bytes), { mime, width: 3, height: 2 }));
  test(`${name} in the middle of a buffer is taken`, () => {
    const larger = new Uint8Array(bytes.length + 20);
    larger.set(bytes, 7);
    equal(inspectPicture(larger.subarray(7, 7 + bytes.length)), { mime, width: 3, height: 2 });
  });
  test(`${name} whose end is missing is corrupt`, async () => {
    for (const length of [bytes.length - 3, Math.floor(bytes.length / 2), 20]) {
      equal((await thrown(() => inspectPicture(bytes.subarray(0, length)))).code, "image_corrupt", `${length} bytes:`);
    }
  });
}

for (const [what, bytes] of /** @type {[string, Uint8Array][]} */ ([
  ["a text file", latin("just some notes\r\n")],
  ["a GIF", latin("GIF89a\x03\x00\x02\x00")],
  ["a HEIC picture", latin("\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1")],
  ["an AVIF picture", latin("\x00\x00\x00\x18ftypavif\x00\x00\x00\x00mif1")],
  ["a video", latin("\x00\x00\x00\x18ftypisom\x00\x00\x00\x00mp42")],
  ["an SVG drawing", latin('<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>')],
  ["a PDF", latin("%PDF-1.7\n")],
  ["not a picture that can be used", latin("\x7fELF\x02\x01\x01\x00")],
])) {
  test(`${what} is not supported, and the reason says what it is`, async () => {
    const refusal = await thrown(() => inspectPicture(bytes));
    equal([refusal.code, refusal.message.includes(`is ${what}`)], ["image_unsupported", true], refusal.message);
  });
}

test("an empty file is corrupt", async () => equal((await thrown(() => inspectPicture(latin("")))).code, "image_corrupt"));

test("too many bytes are refused, one more than the most too", async () => {
  const limits = { image_bytes: PICTURES["a PNG"][1].length - 1, image_pixels: 1_000 };
  equal((await thrown(() => inspectPicture(PICTURES["a PNG"][1], limits))).code, "image_too_large");
});

test("too many pixels are refused by the header alone", async () => {
  const bomb = PICTURES["a PNG"][1].slice();
  new DataView(bomb.buffer).setUint32(16, 40_000);
  new DataView(bomb.buffer).setUint32(20, 1_001);
  equal((await thrown(() => inspectPicture(bomb))).code, "image_too_large");
});

test("a file becomes a picture with its hash, whatever its name and type say", async () => {
  const [mime, bytes] = PICTURES["a lossy WebP"];
  const picture = await readPicture(/** @type {any} */ (new File([/** @type {any} */ (bytes)], "sea.png", { type: "image/png" })));
  equal([picture.name, picture.mime, picture.bytes.length], ["sea.png", mime, bytes.length]);
  equal(/^[0-9a-f]{64}$/.test(picture.sha256), true);
});

test("a file too large is refused before it is read", async () => {
  const file = { size: 10_485_761, name: "big.png", arrayBuffer: () => Promise.reject(new Error("it was read")) };
  const refusal = await thrown(() => readPicture(/** @type {any} */ (file)));
  equal([refusal instanceof PictureError, refusal.code], [true, "image_too_large"]);
});

test("sizes read well", () => {
  equal([10, 2_048, 1_500_000, 10_485_760].map(formatBytes), ["10 bytes", "2 KB", "1.4 MB", "10 MB"]);
});
