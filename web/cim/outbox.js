// Messages that are not accepted yet: in order, and sent again until they are accepted or refused.
//
// As cim/client/outbox.py; tests/vectors/outbox.json holds both to the same. The messages to one conversation form a
// lane. The number under way is bounded per lane and in all, below the number at which the server stops reading. When one
// fails for the moment, the server fails all behind it in its lane (docs/protocol.md, Sending): the lane waits until none
// is under way and the server's delay is over, and goes on from the first. When the connection ends, the fate of all that
// is unanswered is unknown, and it goes again in the next session. The client id makes repetitions the same message.
//
// It knows no connection and no clock: `ready` returns what to write now, `due` when to come back.

import { Backoff } from './backoff.js';
import { RETRYABLE } from './errors.js';

/** The most unanswered messages of one lane, and of all; servers stop reading at 64. */
export const LANE_WINDOW = 16;
export const WINDOW = 48;
/** After so many ms without an answer to a message the connection is useless. */
export const ANSWER_MS = 25_000;
const FIRST_WAIT = 250;
const LAST_WAIT = 10_000;

/** @template Item
 * @typedef {{ id: string, item: Item, written: number | null }} Waiting when it was written to the present connection */

/** @template Item */
class Lane {
  /** @param {() => number} random */
  constructor(random) {
    this.backoff = new Backoff(random, FIRST_WAIT, LAST_WAIT);
    /** @type {Map<string, Waiting<Item>>} */
    this.pending = new Map();
    this.underWay = 0;
    /** After a failure nothing is written before this time; 0 for no failure. */
    this.blocked = 0;
  }
}

/** @template Item */
export class Outbox {
  #random;
  /** @type {Map<string, Lane<Item>>} */
  #lanes = new Map();
  /** @type {Map<string, string>} */
  #laneOf = new Map();
  #underWay = 0;

  /** @param {() => number} random */
  constructor(random) {
    this.#random = random;
  }

  get size() {
    return this.#laneOf.size;
  }

  /** @param {string} id
   * @returns {Item | undefined} */
  get(id) {
    return this.#find(id)?.pending.get(id)?.item;
  }

  /** Add a message behind the others of its lane; one that is there already stays as it is.
   * @param {string} lane
   * @param {string} id
   * @param {Item} item */
  add(lane, id, item) {
    if (this.#laneOf.has(id)) return;
    this.#laneOf.set(id, lane);
    let there = this.#lanes.get(lane);
    if (!there) this.#lanes.set(lane, (there = new Lane(this.#random)));
    there.pending.set(id, { id, item, written: null });
  }

  /** What is to be written now, in order; it is under way from then on.
   * @param {number} now
   * @returns {Item[]} */
  ready(now) {
    const ready = [];
    for (const lane of this.#lanes.values()) {
      if (lane.blocked) {
        // What is under way behind the failed one fails, too; then all go again from the first on.
        if (lane.underWay || now < lane.blocked) continue;
        lane.blocked = 0;
      }
      if (lane.underWay >= lane.pending.size) continue;
      for (const waiting of lane.pending.values()) {
        if (lane.underWay >= LANE_WINDOW || this.#underWay >= WINDOW) break;
        if (waiting.written !== null) continue;
        waiting.written = now;
        lane.underWay += 1;
        this.#underWay += 1;
        ready.push(waiting.item);
      }
    }
    return ready;
  }

  /** When `ready` has more although nothing came: the end of a wait after a failure. Infinity for never. */
  get due() {
    let due = Infinity;
    for (const lane of this.#lanes.values()) {
      if (lane.blocked && !lane.underWay) due = Math.min(due, lane.blocked);
    }
    return due;
  }

  /** Remove a message that was accepted or refused; return it, or undefined if it is not there.
   * @param {string} id
   * @returns {Item | undefined} */
  take(id) {
    const lane = this.#find(id);
    const waiting = lane?.pending.get(id);
    if (!lane || !waiting) return undefined;
    this.#notUnderWay(lane, waiting);
    lane.pending.delete(id);
    lane.backoff.reset();
    const name = this.#laneOf.get(id);
    this.#laneOf.delete(id);
    if (!lane.pending.size && name !== undefined) this.#lanes.delete(name);
    return waiting.item;
  }

  /** A Send failed: whether that is for the moment; otherwise `take` it.
   * @param {string} id
   * @param {string} code of the Failure
   * @param {number} retryAfter in ms
   * @param {number} now
   * @returns {boolean} */
  failed(id, code, retryAfter, now) {
    if (!RETRYABLE.has(code)) return false;
    const lane = this.#find(id);
    const waiting = lane?.pending.get(id);
    if (lane && waiting && waiting.written !== null) {
      this.#notUnderWay(lane, waiting);
      if (!lane.blocked) lane.blocked = now + retryAfter + lane.backoff.next();
    }
    return true;
  }

  /** The session has ended: everything unanswered must be written again. */
  ended() {
    this.#underWay = 0;
    for (const lane of this.#lanes.values()) {
      lane.underWay = lane.blocked = 0;
      for (const waiting of lane.pending.values()) waiting.written = null;
    }
  }

  /** Whether a message has been unanswered for so long that the connection is useless.
   * @param {number} now */
  stuck(now) {
    for (const lane of this.#lanes.values()) {
      for (const waiting of lane.pending.values()) {
        if (waiting.written !== null && waiting.written <= now - ANSWER_MS) return true;
      }
    }
    return false;
  }

  /** All messages, in the order of their lanes.
   * @returns {Item[]} */
  all() {
    return [...this.#lanes.values()].flatMap((lane) => [...lane.pending.values()].map((waiting) => waiting.item));
  }

  /** @param {string} id */
  #find(id) {
    const name = this.#laneOf.get(id);
    return name === undefined ? undefined : this.#lanes.get(name);
  }

  /** @param {Lane<Item>} lane
   * @param {Waiting<Item>} waiting */
  #notUnderWay(lane, waiting) {
    if (waiting.written === null) return;
    waiting.written = null;
    lane.underWay -= 1;
    this.#underWay -= 1;
  }
}
