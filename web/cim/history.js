// What is stored of a user: messages as they stand, which stretches of which conversations are complete, what became of
// messages, and what waits to be sent.
//
// Edits, recalls and reactions are folded into the message that they are about, in whatever order they are stored. They
// are kept as well, for a message that is stored later, as when somebody scrolls back to it.
// A stretch [after, upto] says: all messages after the one position up to the other are here.

import { compare, later, sortable } from './positions.js';
import { Blocks, search } from './search.js';

/** @typedef {import('./types.js').Message} Message */
/** @typedef {import('./packets.js').Row} Row */
/** @typedef {import('./ports.js').Transaction} Transaction */

/** The version of the tables: with another one the tables that the servers can fill again are made anew. */
export const VERSION = 1;

/** @type {Record<string, import('./ports.js').Table>} */
export const TABLES = {
  messages: { key: ['conversation', 'place'], indexes: { block: 'block' } },
  revisions: { key: ['conversation', 'about', 'id'] },
  stretches: { key: 'conversation' },
  places: { key: 'conversation' },
  blocks: { key: 'number' },
  talks: { key: 'conversation' },
  users: { key: 'id' },
  outbox: { key: 'clientId', indexes: { order: 'order' }, ours: true },
  drafts: { key: 'conversation', ours: true },
};
const ADDED = ['messages', 'revisions', 'stretches', 'blocks', 'talks', 'outbox'];

/** What came of a conversation: rows, and that all after one position up to another is among them.
 * @typedef {{ conversation: string, after: string, upto: string, rows: Row[], answered?: string[] }} Piece
 *   `answered`: client ids that were accepted */

/** @typedef {Message & { place: string, block: number }} Stored */

/** A message as it comes, as it stands.
 * @param {Row} row
 * @param {number} me
 * @returns {Message} */
export function messageOf(row, me) {
  return {
    conversation: row.conversation,
    position: row.position,
    previous: row.previous,
    sender: row.sender,
    mine: row.sender.id === me,
    sentAt: row.sentAt,
    clientId: row.clientId,
    kind: row.kind === 'members' ? 'members' : 'text',
    text: row.text,
    data: row.data,
    contentType: row.contentType,
    edited: row.edited,
    byOperator: row.byOperator,
    recalled: row.kind === 'text' && row.text === '' && row.data === null,
    reactions: {},
    changes: row.changes,
  };
}

/** A message with what became of it.
 * @template {Message} M
 * @param {M} message
 * @param {(Row & { place: string })[]} revisions in the order of their positions
 * @returns {M} */
export function fold(message, revisions) {
  const recall = revisions.find((row) => row.kind === 'recall');
  if (message.recalled || recall) {
    const byOperator = message.byOperator || (recall?.byOperator ?? false);
    return { ...message, text: '', data: null, contentType: '', edited: false, recalled: true, byOperator, reactions: {} };
  }
  const folded = { ...message };
  /** @type {Map<number, string>} */
  const reactions = new Map();
  for (const { kind, text, data, contentType, sender } of revisions) {
    if (kind === 'edit') Object.assign(folded, { text, data, contentType, edited: true });
    else if (kind === 'reaction') reactions.set(sender.id, text);
  }
  /** @type {Map<string, number[]>} */
  const who = new Map();
  for (const [user, text] of reactions) if (text) who.set(text, [...(who.get(text) ?? []), user]);
  // Not key by key: a reaction may be `__proto__`.
  folded.reactions = Object.fromEntries(who);
  return folded;
}

/** Put a stretch among others; those that touch become one.
 * @param {[string, string][]} stretches in order
 * @param {string} after
 * @param {string} upto
 * @returns {[string, string][]} */
export function joined(stretches, after, upto) {
  const apart = [];
  for (const [start, end] of stretches) {
    if (compare(end, after) < 0 || compare(upto, start) < 0) apart.push(/** @type {[string, string]} */ ([start, end]));
    else {
      after = compare(start, after) < 0 ? start : after;
      upto = later(end, upto);
    }
  }
  return [...apart, /** @type {[string, string]} */ ([after, upto])].sort((one, other) => compare(one[0], other[0]));
}

export class History {
  #storage;
  #me;

  /** @param {import('./ports.js').Storage} storage
   * @param {number} me */
  constructor(storage, me) {
    this.#storage = storage;
    this.#me = me;
  }

  get storage() {
    return this.#storage;
  }

  /** How far each conversation was received.
   * @returns {Promise<Map<string, string>>} */
  async places() {
    return new Map((await this.all('places')).map(({ conversation, held }) => [conversation, held]));
  }

  /** What was received up to there was stored and told: it need not come again.
   * @param {{ conversation: string, position: string }[]} receipts */
  hold(receipts) {
    return this.#storage.write(['places'], async (transaction) => {
      for (const { conversation, position } of receipts) await transaction.put('places', { conversation, held: position });
    });
  }

  /** Store what came, all of it or nothing.
   * @param {Piece[]} pieces
   * @param {(fresh: Message[], changed: Message[]) => object[]} [talks] called at the end; returns the talks to store
   * @returns {Promise<{ fresh: Message[], changed: Message[] }>} messages in the order in which they came, those that
   *   were here already among them; and messages of before that are different now */
  async add(pieces, talks = () => []) {
    return this.#storage.write(ADDED, async (transaction) => {
      const adding = new Adding(transaction, this.#me);
      for (const piece of pieces) await adding.piece(piece);
      await adding.blocks.save();
      const [fresh, changed] = [[...adding.fresh.values()], [...adding.changed.values()]];
      for (const talk of talks(fresh, changed)) await transaction.put('talks', talk);
      return { fresh, changed };
    });
  }

  /** The stretches of a conversation, in order.
   * @param {string} conversation
   * @returns {Promise<[string, string][]>} */
  async stretches(conversation) {
    const found = await this.#storage.read(['stretches'], (transaction) => transaction.get('stretches', conversation));
    return found?.known ?? [];
  }

  /** Messages between two positions, oldest first: the last ones, or the first ones.
   * @param {string} conversation
   * @param {{ after?: string, before?: string, limit: number, last: boolean }} where
   * @returns {Promise<Message[]>} */
  async between(conversation, { after = '', before, limit, last }) {
    // ! sorts before the digits of the next position, and after the end of this one.
    const from = [conversation, after && `${sortable(after)}!`];
    const to = before === undefined ? [conversation, ':'] : [conversation, sortable(before)];
    const found = await this.#storage.read(['messages'], (transaction) =>
      transaction.range('messages', { from, to, down: last, limit: limit + 1 }),
    );
    const inside = found.filter(({ position }) => position !== before).slice(0, limit);
    return last ? inside.reverse() : inside;
  }

  /** @param {string} conversation
   * @param {string} position
   * @returns {Promise<Message | undefined>} */
  message(conversation, position) {
    return this.#storage.read(['messages'], (transaction) =>
      transaction.get('messages', [conversation, sortable(position)]),
    );
  }

  /** Count the messages of others after a position that were not recalled, up to 999, as far as all are stored.
   * @param {string} conversation
   * @param {string} after
   * @param {(counts: { unread: number, counted: string }) => void} take called before anything else is stored, with
   *   their number and up to where that counts: what is stored later was not counted */
  unread(conversation, after, take) {
    return this.#storage.read(['stretches', 'messages'], async (transaction) => {
      /** @type {[string, string][]} */
      const known = (await transaction.get('stretches', conversation))?.known ?? [];
      const stretch = known.find(([start, end]) => compare(start, after) <= 0 && compare(after, end) <= 0);
      const counted = stretch ? stretch[1] : after;
      const from = [conversation, after && `${sortable(after)}!`];
      const to = [conversation, `${sortable(counted)}!`];
      const found = counted ? await transaction.range('messages', { from, to, limit: 2000 }) : [];
      const unread = found.filter(({ mine, kind, recalled }) => !mine && kind === 'text' && !recalled);
      take({ unread: Math.min(999, unread.length), counted });
    });
  }

  /** See search.js.
   * @param {string} text
   * @param {{ conversation?: string, before?: { sentAt: number }, limit?: number }} where
   * @returns {Promise<Message[]>} */
  search(text, where) {
    return search(this.#storage, text, where);
  }

  /** Users of whom there is something.
   * @param {number[]} ids
   * @returns {Promise<import('./types.js').User[]>} */
  async users(ids) {
    return this.#storage.read(['users'], async (transaction) => {
      const found = await Promise.all(ids.map((id) => transaction.get('users', id)));
      return found.filter((user) => user !== undefined);
    });
  }

  /** @param {import('./types.js').User[]} users */
  putUsers(users) {
    return this.#storage.write(['users'], async (transaction) => {
      for (const user of users) await transaction.put('users', user);
    });
  }

  /** All values of a small table.
   * @param {string} table
   * @returns {Promise<any[]>} */
  all(table) {
    return this.#storage.read([table], (transaction) => transaction.range(table, {}));
  }

  /** @param {string} table
   * @param {import('./ports.js').Key} key
   * @returns {Promise<any>} */
  get(table, key) {
    return this.#storage.read([table], (transaction) => transaction.get(table, key));
  }

  /** @param {string} table
   * @param {object} value */
  put(table, value) {
    return this.#storage.write([table], (transaction) => transaction.put(table, value));
  }

  /** Store talks as they are by then: what is stored meanwhile may change them.
   * @param {import('./talks.js').Talks} talks
   * @param {string[]} conversations */
  putTalks(talks, conversations) {
    return this.#storage.write(['talks'], async (transaction) => {
      for (const conversation of conversations) {
        const talk = talks.get(conversation);
        if (talk) await transaction.put('talks', talk);
      }
    });
  }

  /** @param {string} table
   * @param {import('./ports.js').Key} key */
  remove(table, key) {
    return this.#storage.write([table], (transaction) => transaction.remove(table, key));
  }
}

/** One transaction that stores what came. */
class Adding {
  #transaction;
  #me;

  /** @param {Transaction} transaction
   * @param {number} me */
  constructor(transaction, me) {
    this.#transaction = transaction;
    this.#me = me;
    this.blocks = new Blocks(transaction);
    /** By conversation and position, so that a message that changes at once is told as it stands.
     * @type {Map<string, Stored>} */
    this.fresh = new Map();
    /** @type {Map<string, Stored>} */
    this.changed = new Map();
  }

  /** @param {Piece} piece */
  async piece({ conversation, after, upto, rows, answered = [] }) {
    /** @type {[string, string][]} */
    const known = (await this.#transaction.get('stretches', conversation))?.known ?? [];
    const newest = known.length ? known[known.length - 1][1] : '';
    for (const row of rows) {
      if (row.kind === 'text' || row.kind === 'members') await this.#message(row, compare(row.position, newest) > 0);
      else if (row.ref) await this.#revision(row);
    }
    for (const id of answered) await this.#transaction.remove('outbox', id);
    if (compare(after, upto) < 0) {
      await this.#transaction.put('stretches', { conversation, known: joined(known, after, upto) });
    }
  }

  /** @param {Row} row
   * @param {boolean} isNew whether nothing of it can be here */
  async #message(row, isNew) {
    const place = sortable(row.position);
    const there = isNew ? undefined : await this.#transaction.get('messages', [row.conversation, place]);
    const block = there?.block ?? (await this.blocks.next(row.sentAt));
    const revisions = isNew ? [] : await this.#revisions(row.conversation, place);
    const message = fold({ ...messageOf(row, this.#me), place, block }, revisions);
    await this.#transaction.put('messages', message);
    await this.blocks.add(block, row.conversation, message.text);
    this.fresh.set(`${row.conversation} ${place}`, message);
  }

  /** @param {Row} row */
  async #revision(row) {
    const [about, place] = [sortable(row.ref), sortable(row.position)];
    // Only the last one of each kind by each user counts: who changes a reaction a thousand times costs no more than who
    // reacts once.
    const id = `${row.kind} ${row.sender.id}`;
    const before = await this.#transaction.get('revisions', [row.conversation, about, id]);
    if (before && before.place >= place) return;
    await this.#transaction.put('revisions', { ...row, about, id, place });
    const there = await this.#transaction.get('messages', [row.conversation, about]);
    if (!there) return;
    const message = fold(there, await this.#revisions(row.conversation, about));
    await this.#transaction.put('messages', message);
    if (message.text !== there.text) await this.blocks.add(message.block, row.conversation, message.text);
    const name = `${row.conversation} ${about}`;
    (this.fresh.has(name) ? this.fresh : this.changed).set(name, message);
    if (row.kind === 'recall') await this.#erase(row.conversation, about);
  }

  /** What was recalled is not kept as an edit either.
   * @param {string} conversation
   * @param {string} about */
  async #erase(conversation, about) {
    for (const row of await this.#revisions(conversation, about)) {
      if (row.kind === 'edit') await this.#transaction.remove('revisions', [conversation, about, row.id]);
    }
  }

  /** @param {string} conversation
   * @param {string} about
   * @returns {Promise<(Row & { place: string, id: string })[]>} in the order of their positions */
  async #revisions(conversation, about) {
    const range = { from: [conversation, about], to: [conversation, about, 's'] };
    const found = await this.#transaction.range('revisions', range);
    return found.sort((one, other) => (one.place < other.place ? -1 : 1));
  }
}
