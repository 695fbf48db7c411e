// What goes wrong, in one form: a code for programs, a sentence for people.

export class CIMError extends Error {
  /**
   * @param {string} code of docs/http-api.md or docs/protocol.md, or `unreachable`, `ended`, `not-supported`
   * @param {string} message a sentence for people
   * @param {{ status?: number, retryAfter?: number, field?: string }} [more]
   */
  constructor(code, message, more = {}) {
    super(message);
    this.name = 'CIMError';
    this.code = code;
    this.status = more.status ?? 0;
    this.retryAfter = more.retryAfter ?? 0;
    this.field = more.field ?? '';
  }
}

/** The failures of a Send after which the same message is sent again (docs/protocol.md, Sending). */
export const RETRYABLE = new Set(['unavailable', 'timeout', 'rate-limited']);

/** Whether the same call may succeed a little later.
 * @param {unknown} error */
export function passes(error) {
  return error instanceof CIMError && (RETRYABLE.has(error.code) || error.code === 'unreachable' || error.status >= 500);
}

/** Any error as a CIMError.
 * @param {unknown} error
 * @returns {CIMError} */
export function asCIMError(error) {
  if (error instanceof CIMError) return error;
  return new CIMError('unexpected', `unexpected error, please report it: ${error instanceof Error ? error.message : error}`);
}
