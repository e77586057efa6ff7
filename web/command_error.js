// @ts-check
/** What keeps a command from being done, on the channel or over HTTP. */

/** A refusal by the server, on the channel or by HTTP, or what kept a command from it. */
export class CommandError extends Error {
  /**
   * @param {string} code of the contract, or `disconnected`
   * @param {string} message
   * @param {{ status?: number, retryAfter?: number, ahead?: number }} [extra] `retryAfter` in seconds
   */
  constructor(code, message, extra = {}) {
    super(message);
    this.code = code;
    this.status = extra.status;
    this.retryAfter = extra.retryAfter;
    this.ahead = extra.ahead;
  }
}

export const disconnected = () => new CommandError("disconnected", "There is no connection to the server.");

/** @param {Response} response @returns {Promise<CommandError>} */
export async function refusal(response) {
  const { status } = response;
  const retryAfter = Number(response.headers.get("Retry-After")) || undefined;
  const isJson = response.headers.get("Content-Type")?.startsWith("application/json");
  const { error = {} } = isJson ? await response.json() : {};
  const message = error.message ?? `The server answered ${status}.`;
  return new CommandError(error.code ?? "disconnected", message, { status, retryAfter, ahead: error.ahead });
}
