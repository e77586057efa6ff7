// @ts-check
/** Runs the same checks under `node --test` and, where there is no Node, in a browser page. */

const isNode = typeof process !== "undefined" && process.versions?.node !== undefined;
/** @type {{ name: string, check: () => unknown }[]} */
const collected = [];

/** @type {(name: string, check: () => unknown) => void} */
export const test = isNode
  ? (await import("node:test")).test
  : (name, check) => void collected.push({ name, check });

/** In a browser: runs what was collected. @returns {Promise<{ count: number, failures: string[] }>} */
export async function runCollected() {
  const failures = [];
  for (const { name, check } of collected) {
    try {
      await check();
    } catch (error) {
      failures.push(`${name}: ${error instanceof Error ? error.message : error}`);
    }
  }
  return { count: collected.length, failures };
}

/** @param {URL} url @returns {Promise<string>} */
export async function readText(url) {
  if (isNode) return (await import("node:fs/promises")).readFile(url, "utf-8");
  return (await fetch(url)).text();
}

/** @param {unknown} value @returns {unknown} the same with the names of objects in one order */
function sorted(value) {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).sort().map(([name, inner]) => [name, sorted(inner)]));
}

/** @param {unknown} got @param {unknown} wanted @param {string} [what] */
export function equal(got, wanted, what = "") {
  const [left, right] = [got, wanted].map((value) => JSON.stringify(sorted(value)) ?? String(value));
  if (left !== right) throw new Error(`${what} got ${left.slice(0, 300)}, wanted ${right.slice(0, 300)}`);
}

/** @param {() => unknown} action @returns {Promise<any>} what it threw */
export async function thrown(action) {
  try {
    await action();
  } catch (error) {
    return error;
  }
  throw new Error("nothing was thrown");
}

/** Lets everything that waits for promises alone go on. */
export const settle = () => new Promise((resolve) => setTimeout(resolve));
