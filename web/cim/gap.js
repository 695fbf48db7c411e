// The gap rule: how a reader of a conversation gets every message once and in order, whatever pushes are lost.
//
// This is cim/wire/gap.py, which explains it; tests/vectors/gap.json holds both to the same. It knows no clock, no
// connection and no storage: whoever uses it passes what arrives and the time, hands over what the methods return, in
// that order, and sends the Sync that `syncDue` asks for.

import { compare, later } from './positions.js';

/** The end of a prefix whose beginning is not known yet: before all positions, even the empty one. */
export const UNKNOWN = null;

/** How long to wait for a missing message to arrive by itself, a quarter more or less, in ms. */
export const PATIENCE = 200;
/** After how long an unanswered Sync is sent again. */
export const TIMEOUT = 10_000;
/** How many messages one conversation keeps aside. */
export const CAPACITY = 128;

/** @param {string | null} one
 * @param {string | null} other */
const order = (one, other) => (one === null ? (other === null ? 0 : -1) : other === null ? 1 : compare(one, other));

/** @template Item */
export class GapRule {
  /** @type {Map<string, { previous: string, item: Item }>} */
  #aside = new Map();
  // The Sync under way: the position it asks after, and the last position known to exist then.
  /** @type {string | null | undefined} */
  #asked = undefined;
  #mark = '';
  // Why to sync: the last position known to exist, and whether a page said that there is more.
  #latest = '';
  #more = false;
  // The first position that was forgotten since the last Synced.
  /** @type {string | undefined} */
  #forgot = undefined;
  #random;
  #capacity;

  /**
   * @param {() => number} random
   * @param {string | null} held the end of the prefix at the start; UNKNOWN if `begin` will set it
   * @param {number} [capacity]
   */
  constructor(random, held = '', capacity = CAPACITY) {
    this.#random = random;
    this.#capacity = capacity;
    /** The end of the prefix, which may be acknowledged once the returned items were kept. */
    this.held = held;
    /** When `syncDue` will ask for a Sync; null while nothing is missing.
     * @type {number | null} */
    this.due = null;
  }

  /** Whether a Sync is under way. */
  get asking() {
    return this.#asked !== undefined;
  }

  /** The last position known to exist. */
  get end() {
    return later(later(this.held ?? '', this.#latest), this.#lastAside());
  }

  /** Set where the prefix begins; return the items to hand over of those that arrived before.
   * @param {string} held
   * @param {number} now
   * @returns {Item[]} */
  begin(held, now) {
    this.held = held;
    this.due = null;
    this.#forgot = undefined;
    /** @type {Item[]} */
    const taken = [];
    this.#drain(taken);
    this.#settle(now);
    return taken;
  }

  /** Take a message, live, from a page, or one's own accepted one; return what to hand over.
   * @param {string} position
   * @param {string} previous
   * @param {Item} item
   * @param {number} now
   * @returns {Item[]} */
  pushed(position, previous, item, now) {
    if (order(position, this.held) <= 0) return [];
    if (order(previous, this.held) <= 0) {
      this.held = position;
      const taken = [item];
      if (this.#aside.size || this.due !== null) {
        this.#drain(taken);
        this.#settle(now);
      }
      return taken;
    }
    this.#keep(position, previous, item);
    this.#settle(now);
    return [];
  }

  /** Note that the conversation extends at least to `latest`.
   * @param {string} latest
   * @param {number} now */
  news(latest, now) {
    if (order(latest, this.held) > 0) {
      this.#latest = later(this.#latest, latest);
      this.#settle(now);
    }
  }

  /** Take the end of a page; return what to hand over.
   * @param {string} after
   * @param {string} upto
   * @param {boolean} more
   * @param {boolean} reset
   * @param {number} now
   * @returns {Item[]} */
  synced(after, upto, more, reset, now) {
    const answered = this.#asked !== undefined && order(after, this.#asked) === 0;
    const began = this.held;
    const cut = this.#forgot !== undefined && compare(this.#forgot, upto) <= 0;
    /** @type {Item[]} */
    const taken = [];
    if (order(after, began) <= 0) {
      this.#take(upto, taken);
      if (!cut && order(upto, this.held) > 0) this.held = upto;
      if (reset && compare(upto, after) < 0 && order(after, began) === 0) this.held = upto;
    }
    this.#forgot = undefined;
    if (answered) {
      this.#asked = undefined;
      this.due = null;
      this.#more = more || cut;
      if (!this.#more) this.#forgetMissing();
      // The Sync brought nothing: another answer like it must not make the reader ask in a loop.
      else if (order(this.held, after) <= 0) this.due = now + this.#wait();
    }
    this.#drain(taken);
    this.#settle(now);
    return taken;
  }

  /** The position to ask after if a Sync is due, which then is under way; otherwise null.
   * @param {number} now
   * @returns {string | null} */
  syncDue(now) {
    if (this.due === null || now < this.due) return null;
    this.#asked = this.held;
    this.#mark = later(this.#lastAside(), this.#latest);
    this.due = now + TIMEOUT;
    return this.held ?? '';
  }

  /** Note that the Sync or the connection failed: ask again after `delay` ms at the earliest.
   * @param {number} now
   * @param {number} delay */
  failed(now, delay) {
    if (this.#asked !== undefined) {
      this.#asked = undefined;
      this.#more = true;
      this.due = now + delay;
    }
  }

  /** Forget what is missing until something new arrives: this reader will not be given it. */
  giveUp() {
    this.#asked = this.#forgot = undefined;
    this.due = null;
    this.#aside.clear();
    this.#more = false;
    this.#latest = '';
  }

  #wait() {
    return PATIENCE * (0.75 + this.#random() / 2);
  }

  #lastAside() {
    let last = '';
    for (const position of this.#aside.keys()) last = later(last, position);
    return last;
  }

  #sorted() {
    return [...this.#aside.keys()].sort(compare);
  }

  /** @param {string} position
   * @param {string} previous
   * @param {Item} item */
  #keep(position, previous, item) {
    // The later form wins, such as a page's form of a message that was recalled since.
    this.#aside.set(position, { previous, item });
    if (this.#aside.size > this.#capacity) {
      const last = this.#lastAside();
      this.#aside.delete(last);
      this.#latest = later(this.#latest, last);
      if (this.#forgot === undefined || compare(last, this.#forgot) < 0) this.#forgot = last;
    }
  }

  /** Hand over what is kept aside up to `upto`, as far as nothing before it was forgotten.
   * @param {string} upto
   * @param {Item[]} taken */
  #take(upto, taken) {
    for (const position of this.#sorted()) {
      if (compare(position, upto) > 0 || (this.#forgot !== undefined && compare(position, this.#forgot) > 0)) break;
      this.#hand(position, taken);
    }
  }

  /** Hand over what is kept aside and follows the prefix.
   * @param {Item[]} taken */
  #drain(taken) {
    for (const position of this.#sorted()) {
      const kept = this.#aside.get(position);
      if (kept && order(position, this.held) > 0 && order(kept.previous, this.held) > 0) break;
      this.#hand(position, taken);
    }
  }

  /** @param {string} position
   * @param {Item[]} taken */
  #hand(position, taken) {
    const kept = this.#aside.get(position);
    this.#aside.delete(position);
    if (kept && order(position, this.held) > 0) {
      this.held = position;
      taken.push(kept.item);
    }
  }

  /** Forget what was announced before the Sync but does not exist. */
  #forgetMissing() {
    if (compare(this.#latest, this.#mark) <= 0) this.#latest = '';
    for (const position of [...this.#aside.keys()]) {
      if (compare(position, this.#mark) <= 0) this.#aside.delete(position);
    }
  }

  /** Decide when the next Sync is due.
   * @param {number} now */
  #settle(now) {
    if (this.asking) return;
    if (this.#more || order(this.#latest, this.held) > 0) this.due ??= now;
    else if (!this.#aside.size) this.due = null;
    else this.due ??= now + this.#wait();
  }
}
