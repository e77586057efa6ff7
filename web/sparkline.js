// @ts-check
/** Small graphs of a figure over time. */

const NAMESPACE = "http://www.w3.org/2000/svg";

/**
 * The line through some values, the newest at the right edge.
 * @param {readonly number[]} values @param {{ width: number, height: number, most?: number }} frame `most`: the value
 *   at the upper edge, at least; 0 is the lower one
 * @returns {string} an SVG path, "" for less than two values
 */
export function line(values, { width, height, most = 0 }) {
  if (values.length < 2) return "";
  const top = Math.max(most, ...values) || 1;
  const step = width / (values.length - 1);
  const points = values.map((value, i) => `${round(i * step)} ${round(height - (height * Math.max(0, value)) / top)}`);
  return `M${points.join("L")}`;
}

const round = (/** @type {number} */ value) => Math.round(value * 10) / 10;

/**
 * Draws a graph into an SVG element; nothing where there are less than two values.
 * @param {SVGSVGElement} svg @param {readonly number[]} values
 * @param {{ width: number, height: number, most?: number }} frame
 */
export function draw(svg, values, frame) {
  const path = line(values, frame);
  svg.toggleAttribute("hidden", path === "");
  if (svg.dataset.path === path) return;
  svg.dataset.path = path;
  svg.setAttribute("viewBox", `-1 -2 ${frame.width + 4} ${frame.height + 4}`);
  svg.replaceChildren();
  if (path && svg.classList.contains("graph")) svg.append(shape("area", `${path}V${frame.height}H0z`));
  if (path) svg.append(shape("line", path));
}

/** @param {string} name @param {string} path */
function shape(name, path) {
  const element = document.createElementNS(NAMESPACE, "path");
  element.setAttribute("class", name);
  element.setAttribute("d", path);
  return element;
}
