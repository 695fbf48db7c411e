// The loop that keeps a client online: connect, and again whenever the session ends, until it is left or ended for good.

import { Backoff, STEADY, UNREACHABLE } from './backoff.js';
import { asCIMError } from './errors.js';

/** @typedef {import('./types.js').State} State */
/** @typedef {{ code: string, message: string, retryAfter: number }} Reason retryAfter in ms */

export class Reconnection {
  #ports;
  #connect;
  #changed;
  #backoff;
  /** Takes back the next attempt. @type {() => void} */
  #stop = () => {};
  // Which attempt is the present one: what comes of earlier ones is too late.
  #attempt = 0;
  #steadyFrom = Infinity;
  #offlineSince = 0;

  /**
   * @param {import('./ports.js').Ports} ports
   * @param {() => Promise<void>} connect logs in and connects; `welcomed` or `lost` follows
   * @param {(state: State) => void} changed
   */
  constructor(ports, connect, changed) {
    this.#ports = ports;
    this.#connect = connect;
    this.#changed = changed;
    this.#backoff = new Backoff(ports.random);
    /** @type {State} */
    this.state = { name: 'idle', since: ports.now() };
  }

  /** Connect now, if it is not connected nor about to be. */
  start() {
    if (this.state.name === 'idle' || this.state.name === 'waiting') this.#try();
  }

  /** Somebody logged in anew: what ended goes on. */
  again() {
    if (this.state.name === 'ended') this.#try();
  }

  /** The server has accepted the login. */
  welcomed() {
    this.#steadyFrom = this.#ports.now() + STEADY;
    this.#become({ name: 'online', since: this.#ports.now() });
  }

  /** The session ended or could not be made: try again later.
   * @param {Reason} reason */
  lost({ code, message, retryAfter }) {
    if (this.state.name === 'idle' || this.state.name === 'ended') return;
    const now = this.#ports.now();
    if (now >= this.#steadyFrom) this.#backoff.reset();
    this.#steadyFrom = Infinity;
    const wait = retryAfter + this.#backoff.next(code === 'unreachable' ? UNREACHABLE : Infinity);
    this.#stop();
    this.#stop = this.#ports.later(wait, () => this.#try());
    // Since when: an attempt in between does not make it shorter.
    const since = this.state.name === 'online' ? now : this.#offlineSince;
    this.#become({ name: 'waiting', since, retryAt: now + wait, code, reason: message });
  }

  /** It is over until `again`: no further attempt is made.
   * @param {string} code
   * @param {string} reason */
  end(code, reason) {
    this.#halt();
    this.#become({ name: 'ended', since: this.#ports.now(), code, reason });
  }

  /** Make no further attempt. Nobody is told: another tab may go on. */
  leave() {
    this.#halt();
    this.state = { name: 'idle', since: this.#ports.now() };
  }

  #halt() {
    this.#stop();
    this.#attempt += 1;
  }

  #try() {
    this.#stop();
    const attempt = (this.#attempt += 1);
    const now = this.#ports.now();
    if (this.state.name === 'idle' || this.state.name === 'ended') this.#offlineSince = now;
    const { name, code, reason } = this.state;
    const why = name === 'waiting' ? { code, reason } : {};
    this.#become({ name: 'connecting', since: this.#offlineSince, ...why });
    this.#connect().catch((error) => {
      if (attempt !== this.#attempt) return;
      const { code: why, message, retryAfter } = asCIMError(error);
      if (why === 'unauthorized' || why === 'suspended') this.end(why, message);
      else this.lost({ code: why, message, retryAfter: retryAfter * 1000 });
    });
  }

  /** @param {State} state */
  #become(state) {
    if (this.state.name === 'online' || state.name === 'online') this.#offlineSince = this.#ports.now();
    this.state = state;
    this.#changed(state);
  }
}
