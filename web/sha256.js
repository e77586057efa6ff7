// @ts-check
/**
 * SHA-256 (FIPS 180-4), because `crypto.subtle` is missing on pages that plain http serves to a LAN.
 */

const BLOCK_BYTES = 64;

/** The first 32 bits of the fractional part of a number, as FIPS 180-4 takes its constants. */
const fraction = (/** @type {number} */ value) => ((value - Math.floor(value)) * 2 ** 32) | 0;

/** @param {number} count @returns {number[]} the first primes */
function firstPrimes(count) {
  /** @type {number[]} */
  const primes = [];
  for (let n = 2; primes.length < count; n += 1) {
    if (primes.every((prime) => n % prime !== 0)) primes.push(n);
  }
  return primes;
}

const PRIMES = firstPrimes(64);
const ROUND_CONSTANTS = Int32Array.from(PRIMES, (prime) => fraction(Math.cbrt(prime)));
const INITIAL_STATE = Int32Array.from(PRIMES.slice(0, 8), (prime) => fraction(Math.sqrt(prime)));

/**
 * The SHA-256 of some bytes.
 * @param {Uint8Array} bytes
 * @returns {string} 64 lower-case hexadecimal digits
 */
export function sha256Hex(bytes) {
  const state = INITIAL_STATE.slice();
  const schedule = new Int32Array(64);
  const whole = bytes.length - (bytes.length % BLOCK_BYTES);
  const input = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let offset = 0; offset < whole; offset += BLOCK_BYTES) compress(state, schedule, input, offset);
  const tail = paddedTail(bytes.subarray(whole), bytes.length);
  for (let offset = 0; offset < tail.byteLength; offset += BLOCK_BYTES) compress(state, schedule, tail, offset);
  return Array.from(state, (word) => (word >>> 0).toString(16).padStart(8, "0")).join("");
}

/**
 * The last bytes of a message with the padding of FIPS 180-4, section 5.1.1.
 * @param {Uint8Array} rest fewer than 64 bytes
 * @param {number} length of the whole message in bytes
 */
function paddedTail(rest, length) {
  const padded = new Uint8Array(rest.length + 9 > BLOCK_BYTES ? 2 * BLOCK_BYTES : BLOCK_BYTES);
  padded.set(rest);
  padded[rest.length] = 0x80;
  const view = new DataView(padded.buffer);
  view.setUint32(padded.length - 8, Math.floor(length / 2 ** 29));
  view.setUint32(padded.length - 4, (length << 3) >>> 0);
  return view;
}

/**
 * One block into the state (FIPS 180-4, section 6.2.2).
 * @param {Int32Array} state @param {Int32Array} w @param {DataView} input @param {number} offset
 */
function compress(state, w, input, offset) {
  for (let i = 0; i < 16; i += 1) w[i] = input.getInt32(offset + 4 * i);
  for (let i = 16; i < 64; i += 1) {
    const x = w[i - 15];
    const y = w[i - 2];
    const sigma0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
    const sigma1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
    w[i] = (w[i - 16] + sigma0 + w[i - 7] + sigma1) | 0;
  }
  let [a, b, c, d, e, f, g, h] = state;
  for (let i = 0; i < 64; i += 1) {
    const sum1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
    const t1 = (h + sum1 + ((e & f) ^ (~e & g)) + ROUND_CONSTANTS[i] + w[i]) | 0;
    const sum0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
    const t2 = (sum0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    h = g;
    g = f;
    f = e;
    e = (d + t1) | 0;
    d = c;
    c = b;
    b = a;
    a = (t1 + t2) | 0;
  }
  state[0] += a;
  state[1] += b;
  state[2] += c;
  state[3] += d;
  state[4] += e;
  state[5] += f;
  state[6] += g;
  state[7] += h;
}
