/** Who is called how: names that came with messages, and those that have to be asked for. */

import { shownName } from '../shared/visible.js';

/** @typedef {import('../cim/types.js').Client} Client */

/** The most names that are remembered. */
const MOST = 5000;

export class Names {
  /** @type {Map<number, string>} */
  #known = new Map();
  /** @type {Set<number>} */
  #asked = new Set();
  #client;
  #heard;

  /**
   * @param {Pick<Client, 'user'>} client
   * @param {() => void} heard called when a name that was asked for is known
   */
  constructor(client, heard) {
    this.#client = client;
    this.#heard = heard;
  }

  /**
   * @param {number} id
   * @param {string} name as the server has it
   */
  learn(id, name) {
    if (!id || !name || this.#known.get(id) === name) return;
    if (this.#known.size >= MOST) this.#known.delete(this.#known.keys().next().value ?? 0);
    this.#known.set(id, name);
  }

  /**
   * The name as it is shown; the number until it is known.
   * @param {number} id
   * @returns {string}
   */
  of(id) {
    const name = this.#known.get(id);
    if (name !== undefined) return shownName(name);
    this.#ask(id);
    return String(id);
  }

  /** @param {number} id */
  async #ask(id) {
    if (this.#asked.has(id) || this.#asked.size >= MOST) return;
    this.#asked.add(id);
    try {
      const user = await this.#client.user(id);
      this.learn(user.id, user.name);
      this.#heard();
    } catch {
      // The number stays: the account is gone, or there is no connection. It is asked for again in the next visit.
    }
  }
}
