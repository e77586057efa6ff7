// @ts-check
/**
 * The image rules of the wire contract, as far as a page can check them before it uploads: the bytes
 * decide, not the name. The server checks again, and more.
 */

import { sha256Hex } from "./sha256.js";

/** @typedef {{ image_bytes: number, image_pixels: number }} ImageLimits */
/** @typedef {"image/jpeg" | "image/png" | "image/webp"} ImageMime */
/** @typedef {{ mime: ImageMime, width: number, height: number }} ImageHeader stored size, before EXIF orientation */
/** @typedef {{ bytes: Uint8Array, name: string, mime: ImageMime, sha256: string }} Picture */

/** @type {ImageLimits} */
export const IMAGE_LIMITS = { image_bytes: 10_485_760, image_pixels: 40_000_000 };

/** Why a picture is refused: the contract's code and a sentence for the person. */
export class PictureError extends Error {
  /** @param {"image_too_large" | "image_unsupported" | "image_corrupt"} code @param {string} message */
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

/**
 * Reads and checks a file that a person chose.
 * @param {File} file
 * @param {ImageLimits} [limits]
 * @returns {Promise<Picture>}
 * @throws {PictureError} where the file breaks an image rule
 */
export async function readPicture(file, limits = IMAGE_LIMITS) {
  if (file.size > limits.image_bytes) {
    const message = `This picture has ${formatBytes(file.size)}; the most is ${formatBytes(limits.image_bytes)}.`;
    throw new PictureError("image_too_large", message);
  }
  const bytes = new Uint8Array(await readBytes(file));
  const { mime } = inspectPicture(bytes, limits);
  return { bytes, name: file.name || "Pasted picture", mime, sha256: sha256Hex(bytes) };
}

/** @param {File} file */
async function readBytes(file) {
  try {
    return await file.arrayBuffer();
  } catch (error) {
    // A folder, or a file that was moved or deleted since it was chosen.
    if (!(error instanceof DOMException)) throw error;
    throw new PictureError("image_unsupported", "The browser could not read this file. Is it a folder, or was it moved?");
  }
}

/**
 * What the bytes of a picture say about it.
 * @param {Uint8Array} bytes
 * @param {ImageLimits} [limits]
 * @returns {ImageHeader}
 * @throws {PictureError}
 */
export function inspectPicture(bytes, limits = IMAGE_LIMITS) {
  if (bytes.length === 0) throw new PictureError("image_corrupt", "This file is empty.");
  if (bytes.length > limits.image_bytes) {
    const message = `This picture has ${formatBytes(bytes.length)}; the most is ${formatBytes(limits.image_bytes)}.`;
    throw new PictureError("image_too_large", message);
  }
  const header = readHeader(bytes);
  if (header.width === 0 || header.height === 0) throw corrupt(header.mime);
  if (header.width * header.height > limits.image_pixels) {
    const most = Math.round(limits.image_pixels / 1e6);
    const message = `This picture has ${header.width} × ${header.height} pixels; the most is ${most} megapixels.`;
    throw new PictureError("image_too_large", message);
  }
  return header;
}

/** @param {Uint8Array} bytes @returns {ImageHeader} */
function readHeader(bytes) {
  if (startsWith(bytes, [0xff, 0xd8, 0xff])) return readJpeg(bytes);
  if (startsWith(bytes, [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])) return readPng(bytes);
  if (text(bytes, 0, 4) === "RIFF" && text(bytes, 8, 4) === "WEBP") return readWebp(bytes);
  const kind = otherKind(bytes);
  const what = kind ? `This is ${kind}` : "This file is not a picture that can be used";
  throw new PictureError("image_unsupported", `${what}. Choose a JPG, PNG or WebP picture.`);
}

/** @param {Uint8Array} bytes @returns {ImageHeader} */
function readJpeg(bytes) {
  const mime = "image/jpeg";
  const view = viewOf(bytes);
  let size = null;
  let at = 2;
  while (at + 4 <= bytes.length && bytes[at] === 0xff) {
    const marker = bytes[at + 1];
    if (marker === 0xff) {
      at += 1;
    } else if (marker === 0xda) {
      break;
    } else {
      // SOF0 to SOF15 hold the size; C4, C8 and CC in their midst are other segments (ITU-T T.81, table B.1).
      const isFrame = marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
      if (isFrame && at + 9 <= bytes.length) size = { height: view.getUint16(at + 5), width: view.getUint16(at + 7) };
      at += 2 + view.getUint16(at + 2);
    }
  }
  if (!size || !hasEndOfImage(bytes, at)) throw corrupt(mime);
  return { mime, ...size };
}

/** @param {Uint8Array} bytes @param {number} from where the scan begins */
function hasEndOfImage(bytes, from) {
  for (let at = bytes.length - 2; at >= from; at -= 1) {
    if (bytes[at] === 0xff && bytes[at + 1] === 0xd9) return true;
  }
  return false;
}

/** @param {Uint8Array} bytes @returns {ImageHeader} */
function readPng(bytes) {
  const mime = "image/png";
  const view = viewOf(bytes);
  if (bytes.length < 33 || text(bytes, 12, 4) !== "IHDR") throw corrupt(mime);
  let at = 8;
  while (at + 12 <= bytes.length) {
    if (text(bytes, at + 4, 4) === "IEND") return { mime, width: view.getUint32(16), height: view.getUint32(20) };
    at += 12 + view.getUint32(at);
  }
  throw corrupt(mime);
}

/** @param {Uint8Array} bytes @returns {ImageHeader} */
function readWebp(bytes) {
  const mime = "image/webp";
  const view = viewOf(bytes);
  if (bytes.length < 30 || view.getUint32(4, true) + 8 > bytes.length) throw corrupt(mime);
  switch (text(bytes, 12, 4)) {
    case "VP8X":
      return { mime, width: 1 + uint24(bytes, 24), height: 1 + uint24(bytes, 27) };
    case "VP8L": {
      const packed = view.getUint32(21, true);
      return { mime, width: 1 + (packed & 0x3fff), height: 1 + ((packed >>> 14) & 0x3fff) };
    }
    case "VP8 ":
      return { mime, width: view.getUint16(26, true) & 0x3fff, height: view.getUint16(28, true) & 0x3fff };
    default:
      throw corrupt(mime);
  }
}

/** @param {Uint8Array} bytes @returns {string | null} what a file is that is not accepted */
function otherKind(bytes) {
  if (text(bytes, 0, 3) === "GIF") return "a GIF";
  if (text(bytes, 0, 2) === "BM") return "a BMP picture";
  if (text(bytes, 0, 4) === "%PDF") return "a PDF";
  if (text(bytes, 0, 4) === "8BPS") return "a Photoshop file";
  if (["II*\0", "MM\0*"].includes(text(bytes, 0, 4))) return "a TIFF or raw camera picture";
  if (text(bytes, 4, 4) === "ftyp") {
    const brand = text(bytes, 8, 4);
    if (brand.startsWith("avi")) return "an AVIF picture";
    return ["heic", "heix", "heif", "mif1", "msf1", "hevc"].includes(brand) ? "a HEIC picture" : "a video";
  }
  const start = text(bytes, 0, 256).trimStart().toLowerCase();
  if (start.startsWith("<svg") || (start.startsWith("<?xml") && start.includes("<svg"))) return "an SVG drawing";
  const isText = bytes.subarray(0, 512).every((byte) => byte >= 0x20 || (byte >= 0x09 && byte <= 0x0d));
  return isText ? "a text file" : null;
}

/** @param {ImageMime} mime */
function corrupt(mime) {
  const kind = { "image/jpeg": "JPG", "image/png": "PNG", "image/webp": "WebP" }[mime];
  return new PictureError("image_corrupt", `This ${kind} is damaged or incomplete. Save or download it again.`);
}

/** @param {Uint8Array} bytes @param {number[]} magic */
const startsWith = (bytes, magic) => magic.every((byte, i) => bytes[i] === byte);

/** @param {Uint8Array} bytes @param {number} at @param {number} length */
const text = (bytes, at, length) => String.fromCharCode(...bytes.subarray(at, at + length));

/** @param {Uint8Array} bytes @param {number} at */
const uint24 = (bytes, at) => bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16);

/** @param {Uint8Array} bytes */
const viewOf = (bytes) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/**
 * A size as a person reads it.
 * @param {number} bytes
 * @returns {string} such as "840 KB" or "2.4 MB"
 */
export function formatBytes(bytes) {
  if (bytes < 1024) return `${bytes} bytes`;
  if (bytes < 1024 * 1024) return `${Math.round(bytes / 1024)} KB`;
  const megabytes = bytes / (1024 * 1024);
  return `${Number.isInteger(megabytes) ? megabytes : megabytes.toFixed(1)} MB`;
}
