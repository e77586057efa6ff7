// @ts-check
/** A link that lets whoever opens it direct a stream; what it says stands behind the `#`, which no server is told. */

/** @typedef {{ stream: string, control_token: string }} Credentials */

/**
 * @param {string} base the page's own address, with a slash at its end @param {string} stream @param {string} token
 * @returns {string}
 */
export const invitation = (base, stream, token) => `${base}#${new URLSearchParams({ direct: stream, token })}`;

/** @param {string} hash of an address, with its `#` @returns {Credentials | null} what it invites to */
export function invited(hash) {
  const said = new URLSearchParams(hash.slice(1));
  const [stream, token] = [said.get("direct"), said.get("token")];
  return stream && token ? { stream, control_token: token } : null;
}

/** Takes the invitation that the page was opened with, and takes it out of the address, so that no screen shows it. */
export function acceptInvitation() {
  const credentials = invited(location.hash);
  if (!credentials) return false;
  sessionStorage.setItem("vivant.stream", JSON.stringify(credentials));
  history.replaceState(null, "", location.pathname + location.search);
  return true;
}
