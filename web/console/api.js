/** Calls of the console's own listener. The cookie goes along by itself; scripts never see it, nor the key. */

/** A call that was refused, or could not be made (status 0). */
export class Refused extends Error {
  /**
   * @param {number} status
   * @param {string} code of the problem
   * @param {string} detail
   * @param {number} retryAfter seconds
   */
  constructor(status, code, detail, retryAfter) {
    super(detail);
    this.status = status;
    this.code = code;
    this.retryAfter = retryAfter;
  }
}

/** Called when the session has ended. @type {() => void} */
let ended = () => {};

/** @param {() => void} run */
export function whenEnded(run) {
  ended = run;
}

const SESSION = '/v1/console/session';

/**
 * @typedef {{ name: string, scopes: string[], reads_messages: boolean, expires_in: number }} Session
 */

/**
 * Exchange a key for a cookie.
 * @param {string} key
 * @returns {Promise<Session>}
 */
export const logIn = (key) => request('POST', SESSION, { key });

/** Whose session this is, if there is one. @returns {Promise<Session | null>} */
export const session = async () => (await request('GET', SESSION)).session;

/** @returns {Promise<void>} */
export const logOut = () => request('DELETE', SESSION);

/**
 * Make a call; when the session has ended, the page is told, too.
 * @param {string} method
 * @param {string} path
 * @param {unknown} [body]
 * @returns {Promise<any>}
 */
export async function call(method, path, body) {
  try {
    return await request(method, path, body);
  } catch (error) {
    if (error instanceof Refused && error.status === 401) ended();
    throw error;
  }
}

/**
 * A path with a query; values that are empty are left out.
 * @param {string} path
 * @param {Record<string, string | number>} query
 */
export function withQuery(path, query) {
  const given = Object.entries(query).filter(([, value]) => value !== '');
  return given.length ? `${path}?${new URLSearchParams(given.map(([name, value]) => [name, String(value)]))}` : path;
}

/**
 * @param {string} method
 * @param {string} path
 * @param {unknown} [body]
 * @returns {Promise<any>}
 */
async function request(method, path, body) {
  /** @type {Response} */
  let answer;
  try {
    answer = await fetch(path, {
      method,
      headers: body === undefined ? {} : { 'Content-Type': 'application/json' },
      body: body === undefined ? undefined : JSON.stringify(body),
      cache: 'no-store',
      signal: AbortSignal.timeout(30_000),
    });
  } catch {
    throw new Refused(0, 'offline', '', 0);
  }
  const said = answer.status === 204 ? undefined : await answer.json().catch(() => ({}));
  if (answer.ok) return said;
  const retryAfter = Number(answer.headers.get('Retry-After')) || 0;
  throw new Refused(answer.status, said?.code ?? 'unknown', said?.detail ?? `HTTP ${answer.status}`, retryAfter);
}
