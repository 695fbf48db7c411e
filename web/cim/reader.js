// What one reader has of all its conversations: a gap rule for each, what to ask for, and what to acknowledge.
//
// As cim/wire/reader.py for clients. Where a conversation begins is told by its head; heads come in lists, page by page.
// What comes of a conversation that has no place yet is kept aside until a list has told its head, or has come to its end
// without it: then nothing of it was new, and it begins where it ended when that was asked shortly before (the baseline).

import { EVERYONE } from './conversations.js';
import { GapRule, UNKNOWN } from './gap.js';
import { compare, following } from './positions.js';

/** A receipt goes out after so many ms or messages. */
export const RECEIPT_MS = 1_000;
export const RECEIPT_MESSAGES = 100;
/** Pages of conversations that are under way at a time. */
export const SYNCS = 8;
/** A page of heads that does not come is asked for again after so many ms. */
export const HEADS_MS = 10_000;
/** A receipt that went up that long ago is in the store, or is known to be lost. */
export const STORED_MS = 6_000;

/** @template Item
 * @typedef {{ conversation: string, start: string, items: Item[] }} Begun a conversation whose beginning is known now */

/** @typedef {{ conversation: string, latest: string, received: string, read: string }} Head */

/** @template Item */
class Place {
  /** @param {() => number} random
   * @param {string | null} held */
  constructor(random, held) {
    /** @type {GapRule<Item>} */
    this.rule = new GapRule(random, held);
    // How far what was handed over is kept; how far that was acknowledged, and when; how many messages came since.
    this.kept = held ?? '';
    this.acknowledged = held ?? '';
    this.acknowledgedAt = -Infinity;
    this.unacknowledged = 0;
  }
}

/** @template Item */
export class Reader {
  #random;
  /** @type {Map<string, Place<Item>>} */
  #places = new Map();
  // Conversations of which something is missing; whose receipts are due, and when; whose beginning is not known.
  /** @type {Set<string>} */
  #due = new Set();
  /** @type {Map<string, number>} */
  #receipts = new Map();
  /** @type {Set<string>} */
  #unknown = new Set();
  /** @type {Map<string, string>} */
  #baseline = new Map();
  // The next page of a list of heads, and when it is to be asked for; the list that nobody asked for is read after it.
  #cursor = '';
  #cursorDue = 0;
  #nextList = '';

  /** @param {() => number} random */
  constructor(random) {
    this.#random = random;
  }

  /** Whether pages of a list of heads are still to come. */
  get listing() {
    return this.#cursor !== '';
  }

  /** The end of what was handed over of a conversation.
   * @param {string} conversation */
  held(conversation) {
    return this.#places.get(conversation)?.rule.held ?? '';
  }

  /** @param {string} conversation */
  knows(conversation) {
    return this.#places.has(conversation);
  }

  /** Take the places that were stored.
   * @param {Map<string, string>} places */
  load(places) {
    for (const [name, held] of places) this.#places.set(name, new Place(this.#random, held));
  }

  /** A conversation is not the user's any more.
   * @param {string} conversation */
  drop(conversation) {
    for (const table of [this.#places, this.#due, this.#receipts, this.#unknown, this.#baseline]) table.delete(conversation);
  }

  /** A session has begun, and these heads came with it.
   * @param {Head[]} heads
   * @param {string} more
   * @param {Map<string, string>} baseline where conversations ended shortly before
   * @param {number} now
   * @returns {Begun<Item>[]} */
  begin(heads, more, baseline, now) {
    this.#baseline = new Map(baseline);
    const everyone = this.#places.get(EVERYONE);
    if (everyone) {
      // It has no head: whether anything was said is found out by asking.
      everyone.rule.news(following(everyone.rule.held ?? ''), now);
      this.#look(EVERYONE, everyone);
    }
    return this.listed(heads, more, now);
  }

  /** The session is over, and nothing that was asked for will come.
   * @param {number} now */
  ended(now) {
    this.#cursor = this.#nextList = '';
    for (const [name, place] of this.#places) {
      place.rule.failed(now, 0);
      // What was acknowledged last may be lost.
      if (place.acknowledgedAt >= now - STORED_MS) this.#receipts.set(name, now);
      this.#look(name, place);
    }
  }

  /** Take a message that came, live or in a page, or one's own that was accepted; return what to hand over.
   * @param {string} conversation
   * @param {string} position
   * @param {string} previous
   * @param {Item} item
   * @param {number} now
   * @returns {Item[]} */
  pushed(conversation, position, previous, item, now) {
    const place = this.#places.get(conversation) ?? this.#meet(conversation, previous);
    const items = place.rule.pushed(position, previous, item, now);
    place.unacknowledged += items.length;
    this.#look(conversation, place);
    return items;
  }

  /** Take the end of a page; return what to hand over.
   * @param {string} conversation
   * @param {string} after
   * @param {string} upto
   * @param {boolean} more
   * @param {boolean} reset
   * @param {number} now
   * @returns {Item[]} */
  synced(conversation, after, upto, more, reset, now) {
    const place = this.#places.get(conversation);
    if (!place) return [];
    const items = place.rule.synced(after, upto, more, reset, now);
    place.unacknowledged += items.length;
    this.#look(conversation, place);
    return items;
  }

  /** A page did not come: of a conversation, or of heads when none is named.
   * @param {string} conversation
   * @param {number} now
   * @param {number} delay ms after which it may be asked for again; Infinity when it will never be given */
  failed(conversation, now, delay) {
    const place = this.#places.get(conversation);
    if (place) {
      if (delay === Infinity) place.rule.giveUp();
      else place.rule.failed(now, delay);
      this.#look(conversation, place);
    } else if (conversation === '' && this.#cursor) {
      this.#cursorDue = now + (delay === Infinity ? HEADS_MS : delay);
    }
  }

  /** Take a page of the list that was asked for.
   * @param {Head[]} heads
   * @param {string} more the cursor of the next page, or ''
   * @param {number} now
   * @returns {Begun<Item>[]} */
  listed(heads, more, now) {
    const begun = this.news(heads, now);
    this.#cursor = more;
    this.#cursorDue = now;
    if (!more) {
      begun.push(...this.#endOfList(now));
      [this.#cursor, this.#nextList] = [this.#nextList, ''];
    }
    return begun;
  }

  /** Take the first page of a list that nobody asked for.
   * @param {Head[]} heads
   * @param {string} more
   * @param {number} now
   * @returns {Begun<Item>[]} */
  unasked(heads, more, now) {
    const begun = this.news(heads, now);
    if (this.listing) this.#nextList = more || this.#nextList;
    else if (more) [this.#cursor, this.#cursorDue] = [more, now];
    return begun;
  }

  /** Take heads; return the conversations whose beginning is known by them.
   * @param {Head[]} heads
   * @param {number} now
   * @returns {Begun<Item>[]} */
  news(heads, now) {
    /** @type {Begun<Item>[]} */
    const begun = [];
    for (const head of heads) {
      const name = head.conversation;
      let place = this.#places.get(name);
      if (!place || this.#unknown.has(name)) {
        // Before it begins, so that what is missing is asked for at once.
        place?.rule.news(head.latest, now);
        place = this.#begin(name, head.received || head.read, begun, now);
        place.acknowledged = head.received;
      } else if (
        compare(head.received, head.latest) < 0 &&
        compare(head.latest, place.kept) <= 0 &&
        now >= place.acknowledgedAt + STORED_MS
      ) {
        // The receipt was lost, or the store has gone back.
        if (!this.#receipts.has(name)) this.#receipts.set(name, now);
      }
      place.rule.news(head.latest, now);
      this.#look(name, place);
    }
    return begun;
  }

  /** The pages to ask for now: `after` without a conversation is of heads.
   * @param {number} now
   * @returns {{ conversation?: string, after: string }[]} */
  requests(now) {
    const asked = [];
    if (this.#cursor && this.#cursorDue <= now) {
      this.#cursorDue = now + HEADS_MS;
      asked.push({ after: this.#cursor });
    }
    let underWay = this.#underWay();
    for (const [name, rule] of this.#missing()) {
      if (!rule.asking && underWay >= SYNCS) continue;
      const isNew = !rule.asking;
      const after = rule.syncDue(now);
      if (after !== null) {
        if (isNew) underWay += 1;
        asked.push({ conversation: name, after });
      }
    }
    return asked;
  }

  /** When `requests` or `receipts` will have something; Infinity for not before something comes.
   * @returns {number} */
  get due() {
    let due = this.#cursor ? this.#cursorDue : Infinity;
    for (const at of this.#receipts.values()) due = Math.min(due, at);
    const full = this.#underWay() >= SYNCS;
    for (const [, rule] of this.#missing()) {
      if (rule.due !== null && (rule.asking || !full)) due = Math.min(due, rule.due);
    }
    return due;
  }

  /** What was handed over is kept up to a position: it may be acknowledged.
   * @param {string} conversation
   * @param {string} position
   * @param {number} now */
  kept(conversation, position, now) {
    const place = this.#places.get(conversation);
    if (!place || conversation === EVERYONE) return;
    place.kept = position;
    if (compare(place.kept, place.acknowledged) > 0) {
      if (place.unacknowledged >= RECEIPT_MESSAGES) this.#receipts.set(conversation, now);
      else if (!this.#receipts.has(conversation)) {
        this.#receipts.set(conversation, Math.max(now, place.acknowledgedAt + RECEIPT_MS));
      }
    }
  }

  /** The receipts to send now.
   * @param {number} now Infinity for all
   * @returns {{ conversation: string, position: string }[]} */
  receipts(now) {
    const receipts = [];
    for (const [conversation, at] of [...this.#receipts]) {
      if (at > now) continue;
      this.#receipts.delete(conversation);
      const place = this.#places.get(conversation);
      if (!place || !place.kept) continue;
      place.acknowledged = place.kept;
      place.acknowledgedAt = now;
      place.unacknowledged = 0;
      receipts.push({ conversation, position: place.kept });
    }
    return receipts;
  }

  /** @param {string} conversation
   * @param {string} previous */
  #meet(conversation, previous) {
    /** @type {string | null} */
    let start = UNKNOWN;
    if (conversation === EVERYONE) start = previous;
    else if (!this.listing) start = this.#baseline.get(conversation) ?? '';
    /** @type {Place<Item>} */
    const place = new Place(this.#random, start);
    this.#places.set(conversation, place);
    if (start === UNKNOWN) this.#unknown.add(conversation);
    return place;
  }

  /** Note where a conversation begins, with a new place if it has none.
   * @param {string} conversation
   * @param {string} start
   * @param {Begun<Item>[]} begun
   * @param {number} now */
  #begin(conversation, start, begun, now) {
    let place = this.#places.get(conversation);
    /** @type {Item[]} */
    let items = [];
    if (place) {
      this.#unknown.delete(conversation);
      items = place.rule.begin(start, now);
      place.kept = place.acknowledged = start;
      place.unacknowledged = items.length;
      this.#look(conversation, place);
    } else {
      place = new Place(this.#random, start);
      this.#places.set(conversation, place);
    }
    begun.push({ conversation, start, items });
    return place;
  }

  /** All heads of a list came: see to what is in none of them.
   * @param {number} now
   * @returns {Begun<Item>[]} */
  #endOfList(now) {
    /** @type {Begun<Item>[]} */
    const begun = [];
    const baseline = this.#baseline;
    this.#baseline = new Map();
    for (const name of [...this.#unknown]) {
      // Before it begins, so that what is missing is asked for at once.
      const rule = this.#places.get(name)?.rule;
      rule?.news(rule.end, now);
      this.#begin(name, baseline.get(name) ?? '', begun, now);
    }
    for (const [name, end] of baseline) {
      if (!this.#places.has(name)) this.#begin(name, end, begun, now);
    }
    return begun;
  }

  #underWay() {
    let count = 0;
    for (const [, rule] of this.#missing()) count += rule.asking ? 1 : 0;
    return count;
  }

  /** @returns {[string, GapRule<Item>][]} */
  #missing() {
    /** @type {[string, GapRule<Item>][]} */
    const missing = [];
    for (const name of this.#due) {
      const place = this.#places.get(name);
      if (place) missing.push([name, place.rule]);
    }
    return missing;
  }

  /** @param {string} name
   * @param {Place<Item>} place */
  #look(name, place) {
    if (place.rule.due === null || this.#unknown.has(name)) this.#due.delete(name);
    else this.#due.add(name);
  }
}
