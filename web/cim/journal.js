// What came waits here until it is stored, and is told of then.

/** @typedef {import('./history.js').Piece & { held?: boolean, reset?: boolean,
 *   told?: import('./types.js').Outgoing[] }} Piece `held`: the gap rule's prefix ends there; `reset`: something before is
 *   lost; `told`: what to tell of once it is stored */

/** How many pieces are stored at a time: few, so that telling of them takes a moment only. */
const BATCH = 50;

export class Journal {
  #history;
  #talks;
  #stored;
  #failed;
  /** @type {Piece[]} */
  #queue = [];
  #storing = false;

  /**
   * @param {import('./history.js').History} history
   * @param {import('./talks.js').Talks} talks
   * @param {(pieces: Piece[], fresh: import('./types.js').Message[], changed: import('./types.js').Message[],
   *   talks: string[]) => void} stored called with what was stored: messages that came, those of before that are different
   *   now, and the conversations whose talks are
   * @param {(error: unknown) => void} failed nothing more is stored
   */
  constructor(history, talks, stored, failed) {
    this.#history = history;
    this.#talks = talks;
    this.#stored = stored;
    this.#failed = failed;
  }

  /** How many pieces wait. */
  get backlog() {
    return this.#queue.length;
  }

  /** @param {Piece} piece */
  keep(piece) {
    this.#queue.push(piece);
    if (!this.#storing) void this.#store();
  }

  async #store() {
    this.#storing = true;
    try {
      while (this.#queue.length) {
        const pieces = this.#queue.splice(0, BATCH);
        /** @type {import('./talks.js').Listed[]} */
        let talks = [];
        const { fresh, changed } = await this.#history.add(pieces, (...stored) => (talks = this.#talks.stored(...stored)));
        this.#stored(pieces, fresh, changed, talks.map(({ conversation }) => conversation));
      }
    } catch (error) {
      this.#failed(error);
    }
    this.#storing = false;
  }
}
