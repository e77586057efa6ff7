// @ts-check
/** What every part of the page that draws needs. */

/**
 * @template {Element} E
 * @param {string} id @param {new () => E} kind @returns {E}
 */
export function byId(id, kind) {
  const element = document.getElementById(id);
  if (!(element instanceof kind)) throw new Error(`The page has no ${kind.name} #${id}.`);
  return element;
}

/** Sets a text only where it changes, so that screen readers say it once. */
export function say(/** @type {string} */ id, /** @type {string} */ words) {
  const element = byId(id, HTMLElement);
  if (element.textContent !== words) element.textContent = words;
}

export function hide(/** @type {string} */ id, /** @type {boolean} */ isHidden) {
  byId(id, Element).toggleAttribute("hidden", isHidden);
}

/** Gives a control one name, for the eye, the pointer and the ear. */
export function label(/** @type {HTMLElement} */ element, /** @type {string} */ words) {
  if (element.title === words) return;
  element.title = words;
  element.setAttribute("aria-label", words);
}

/**
 * Makes an element.
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag @param {Partial<HTMLElementTagNameMap[T]>} [properties] @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/**
 * Makes a button with an icon.
 * @param {string} words its name @param {string} path of a 24 × 24 drawing @param {() => void} press
 */
export function iconButton(words, path, press) {
  const button = make("button", { type: "button", className: "icon small" });
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const drawing = document.createElementNS("http://www.w3.org/2000/svg", "path");
  drawing.setAttribute("d", path);
  svg.append(drawing);
  button.append(svg);
  label(button, words);
  button.addEventListener("click", press);
  return button;
}

/** Draws an image, or nothing where there is none. */
export function show(/** @type {HTMLImageElement} */ image, /** @type {string} */ url) {
  image.hidden = url === "";
  if (url && image.src !== url) image.src = url;
}
