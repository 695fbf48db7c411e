// Waits whose upper bound doubles up to a cap, each random between zero and the bound: clients that lost the same server
// come back spread out, and the first of them at once.

export const FIRST = 500;
export const CAP = 10_000;
/** The cap while nothing can be reached: no server feels such attempts, and clients are back soon after the network is. */
export const UNREACHABLE = 3_000;
/** After a session that lasted this long the next loss starts from the shortest wait again. */
export const STEADY = 20_000;

export class Backoff {
  #random;
  #first;
  #cap;
  #bound;

  /**
   * @param {() => number} random from 0 up to 1
   * @param {number} [first] in ms
   * @param {number} [cap]
   */
  constructor(random, first = FIRST, cap = CAP) {
    this.#random = random;
    this.#first = this.#bound = first;
    this.#cap = cap;
  }

  /** Start from the shortest wait again. */
  reset() {
    this.#bound = this.#first;
  }

  /** The next wait, in ms.
   * @param {number} [cap] a lower cap for this wait */
  next(cap = Infinity) {
    const bound = this.#bound;
    this.#bound = Math.min(this.#cap, bound * 2);
    return Math.min(bound, cap) * this.#random();
  }
}
