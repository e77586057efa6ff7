// @ts-check
/**
 * Why a WebRTC connection does not come about, in words for whoever runs the server.
 *
 * Written for browsers of 2022 too, as whep.js is.
 */

const UNREACHABLE = 701;
const NOTHING_HEARD = new Set([0, UNREACHABLE]);
const REFUSED = new Set([401, 403, 437, 441]);
const NAMED_ADDRESSES = 3;
const ADVICE =
  "On the server: open its UDP ports (server.udp_ports), behind NAT set server.public_ip, or name a TURN server " +
  "(server.ice_servers); python -m stream.doctor tells what is missing.";

/** Notes what becomes of one connection's candidates, from before it gathers. */
export class Diagnosis {
  #pc;
  /** @type {Map<string, { code: number, text: string }>} the last error of each STUN and TURN server */
  #errors = new Map();
  /** @type {Set<string>} kinds of candidates found: host, srflx, relay */
  #found = new Set();

  /** @param {RTCPeerConnection} pc */
  constructor(pc) {
    this.#pc = pc;
    pc.addEventListener("icecandidateerror", (event) => {
      const { url, errorCode: code, errorText: text } = /** @type {RTCPeerConnectionIceErrorEvent} */ (event);
      const before = this.#errors.get(url)?.code;
      // A refusal says more than silence, which each of the browser's addresses meets by itself.
      if (before === undefined || NOTHING_HEARD.has(before)) this.#errors.set(url, { code, text: text ?? "" });
    });
    pc.addEventListener("icecandidate", ({ candidate }) => candidate?.type && this.#found.add(candidate.type));
  }

  /** @returns {string} the cause, as far as it can be told from here, and what to do */
  explain() {
    const { iceConnectionState } = this.#pc;
    if (["connected", "completed"].includes(iceConnectionState)) {
      return (
        "Packets reach the server, but the connection could not be encrypted (DTLS failed). " +
        "Something between changes packets, or holds back large ones: another network or a VPN switched off may help."
      );
    }
    const addresses = this.#remoteAddresses();
    if (addresses.length === 0) return `The server offers no address for video. ${ADVICE}`;
    const named = addresses.slice(0, NAMED_ADDRESSES).join(", ");
    const isRefused = [...this.#errors.values()].some(({ code }) => REFUSED.has(code)) && !this.#found.has("relay");
    return [
      `No video connection: no UDP packet came back from ${named}.`,
      ...this.#serverFailures(),
      // A refusal says itself what to set.
      ...(isRefused ? [] : [ADVICE]),
    ].join(" ");
  }

  /** @returns {string[]} a sentence for each STUN or TURN server that did not help */
  #serverFailures() {
    const sentences = [];
    for (const [url, { code, text }] of this.#errors) {
      const kind = url.startsWith("turn") ? "TURN" : "STUN";
      if (this.#found.has(kind === "TURN" ? "relay" : "srflx")) continue;
      const told = [code, text.replace(/\.$/, "")].filter(Boolean).join(" ");
      if (REFUSED.has(code)) {
        sentences.push(
          `The TURN server ${url} refused the credentials (${told}): check server.turn_secret and both clocks.`,
        );
      } else if (NOTHING_HEARD.has(code)) {
        sentences.push(`The ${kind} server ${url} could not be reached.`);
      } else {
        sentences.push(`The ${kind} server ${url} gave no address (${told}).`);
      }
    }
    return sentences;
  }

  /** @returns {string[]} as `address:port`, those that others can reach first */
  #remoteAddresses() {
    const sdp = this.#pc.remoteDescription?.sdp ?? "";
    const candidates = [...sdp.matchAll(/^a=candidate:\S+ 1 udp \d+ (\S+) (\d+) typ (\S+)/gim)];
    const places = candidates.map(([, address, port]) => (address.includes(":") ? `[${address}]` : address) + `:${port}`);
    return [...new Set(places)].filter((place) => !place.startsWith("127."));
  }
}

/**
 * Waits until a connection knows its own candidates, or long enough: a server that is not there must not hold it up.
 * @param {RTCPeerConnection} pc after `setLocalDescription` @param {number} patience in milliseconds
 * @returns {Promise<void>}
 */
export function gathered(pc, patience) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, patience);
    const look = () => {
      if (pc.iceGatheringState !== "complete") return;
      clearTimeout(timer);
      resolve();
    };
    pc.addEventListener("icegatheringstatechange", look);
    look();
  });
}
