// @ts-check
/** What the model understood of the prompt on air, as a line to read. */

/** @typedef {{ understood: string[], ignored: string[] }} Heard */

/**
 * @param {Heard | undefined} heard what `state` tells, undefined for a model that takes all words as they come
 * @param {string} model its name
 * @returns {string} empty where there is nothing to tell
 */
export function heardLine(heard, model) {
  if (!heard) return "";
  const { understood, ignored } = heard;
  const lost = ignored.map((part) => `“${shortened(part)}”`).join(", ");
  if (understood.length === 0) return lost && `${model} can't do ${lost}: the camera drifts gently.`;
  return `${model} understood: ${understood.join("; ")}.${lost && ` It can't do ${lost}.`}`;
}

const MOST_CHARACTERS = 60;

/** @param {string} text */
function shortened(text) {
  const characters = [...text];
  return characters.length > MOST_CHARACTERS ? `${characters.slice(0, MOST_CHARACTERS - 1).join("")}…` : text;
}
