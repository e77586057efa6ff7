// @ts-check
/** A picture as the browser shows it: decoded, and a small copy of it kept for this tab. */

import { PictureError } from "./picture.js";

/** @typedef {import("./picture.js").Picture & { url: string, width: number, height: number }} ShownPicture */

const STILL_WIDTH = 832;
const STILL_KEY = "vivant.still";

/**
 * Lets the browser decode a picture, which also tells its upright size.
 * @param {import("./picture.js").Picture} picture
 * @returns {Promise<ShownPicture>}
 * @throws {PictureError}
 */
export async function decode(picture) {
  const bytes = /** @type {Uint8Array<ArrayBuffer>} */ (picture.bytes);
  const url = URL.createObjectURL(new Blob([bytes], { type: picture.mime }));
  const image = new Image();
  image.src = url;
  try {
    await image.decode();
  } catch (error) {
    if (!(error instanceof DOMException)) throw error;
    URL.revokeObjectURL(url);
    throw new PictureError("image_corrupt", "This picture is damaged: it can't be shown. Save or download it again.");
  }
  return { ...picture, url, width: image.naturalWidth, height: image.naturalHeight };
}

/**
 * Keeps a small copy of the picture for this tab, so that it is on the stage again after a reload.
 * @param {ShownPicture} picture
 */
export async function keepStill({ url, width, height, sha256 }) {
  const image = new Image();
  image.src = url;
  await image.decode();
  const canvas = document.createElement("canvas");
  const scale = Math.min(1, STILL_WIDTH / width);
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  canvas.getContext("2d")?.drawImage(image, 0, 0, canvas.width, canvas.height);
  sessionStorage.setItem(STILL_KEY, JSON.stringify({ sha256, url: canvas.toDataURL("image/jpeg", 0.8) }));
}

/** @param {import("./protocol.js").ImageState | null} image @returns {string} url of the copy kept of it, or "" */
export function keptStill(image) {
  if (!image) return "";
  const kept = JSON.parse(sessionStorage.getItem(STILL_KEY) ?? "null");
  return kept?.sha256 === image.sha256 ? kept.url : "";
}
