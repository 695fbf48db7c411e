// Finding a text among all messages, quickly and in any script (Chinese has no spaces), without an index of words.
//
// Messages are put in blocks of 128, in the order in which they are stored. A block has a signature: one bit for each
// pair of neighbouring characters, each character, and each conversation in it. A block that has all bits of what is
// looked for may have it, and its messages are looked through; most blocks are passed over. So storing costs one small
// record for each 128 messages, and a search reads little more than what it finds.

/** Messages in a block, and bits of its signature. */
export const BLOCK = 128;
const BITS = 8192;
/** How many signatures are read at a time. */
const STEP = 64;

/** @typedef {import('./ports.js').Transaction} Transaction */
/** @typedef {{ number: number, count: number, from: number, to: number, bits: Uint8Array }} Block from and to: in ms */

/** A text as it is compared.
 * @param {string} text */
export const plain = (text) => text.normalize('NFC').toLowerCase();

/** The bits of a text.
 * @param {string} text
 * @returns {Set<number>} */
export function bitsOf(text) {
  const bits = new Set();
  let before = 0;
  for (const character of plain(text)) {
    const code = character.codePointAt(0) ?? 0;
    bits.add(bit(code, 0));
    if (before) bits.add(bit(before, code));
    before = code;
  }
  return bits;
}

/** The bit of a conversation.
 * @param {string} conversation */
export function bitOf(conversation) {
  let hash = 1;
  for (let i = 0; i < conversation.length; i += 1) hash = Math.imul(hash ^ conversation.charCodeAt(i), 0x01000193);
  return bit(hash, 1);
}

/** @param {number} one
 * @param {number} other */
function bit(one, other) {
  let hash = Math.imul(one ^ 0x811c9dc5, 0x01000193);
  hash = Math.imul(hash ^ other, 0x85ebca6b);
  hash ^= hash >>> 15;
  return (hash >>> 3) % BITS;
}

/** @param {Uint8Array} bits
 * @param {Iterable<number>} wanted */
function hasAll(bits, wanted) {
  for (const one of wanted) {
    if (!(bits[one >> 3] & (1 << (one & 7)))) return false;
  }
  return true;
}

/** Puts messages into blocks, within one transaction; `save` writes them. */
export class Blocks {
  #transaction;
  /** @type {Map<number, Block>} */
  #touched = new Map();
  /** @type {Block | null} */
  #last = null;

  /** @param {Transaction} transaction with the table `blocks` */
  constructor(transaction) {
    this.#transaction = transaction;
  }

  /** The block of a new message.
   * @param {number} sentAt
   * @returns {Promise<number>} */
  async next(sentAt) {
    let block = this.#last;
    if (!block) {
      const [found] = await this.#transaction.range('blocks', { down: true, limit: 1 });
      block = found ? { ...found, bits: found.bits.slice() } : null;
    }
    if (!block || block.count >= BLOCK) {
      block = { number: (block?.number ?? 0) + 1, count: 0, from: sentAt, to: sentAt, bits: new Uint8Array(BITS / 8) };
    }
    block.count += 1;
    block.from = Math.min(block.from, sentAt);
    block.to = Math.max(block.to, sentAt);
    this.#last = block;
    this.#touched.set(block.number, block);
    return block.number;
  }

  /** Make a text of a message findable.
   * @param {number} number of the block
   * @param {string} conversation
   * @param {string} text */
  async add(number, conversation, text) {
    let block = this.#touched.get(number);
    if (!block) {
      const found = await this.#transaction.get('blocks', number);
      if (!found) return;
      this.#touched.set(number, (block = { ...found, bits: found.bits.slice() }));
    }
    const { bits } = /** @type {Block} */ (block);
    for (const one of bitsOf(text)) bits[one >> 3] |= 1 << (one & 7);
    const one = bitOf(conversation);
    bits[one >> 3] |= 1 << (one & 7);
  }

  async save() {
    for (const block of this.#touched.values()) await this.#transaction.put('blocks', block);
  }
}

/** The newest messages that contain a text, whatever its case, the newest first.
 * @param {import('./ports.js').Storage} storage
 * @param {string} text
 * @param {{ conversation?: string, before?: { sentAt: number }, limit?: number }} where
 * @returns {Promise<any[]>} */
export async function search(storage, text, { conversation, before, limit = 50 }) {
  const wanted = plain(text);
  if (!wanted) return [];
  const bits = bitsOf(text);
  if (conversation !== undefined) bits.add(bitOf(conversation));
  const end = before?.sentAt ?? Infinity;
  /** @type {any[]} */
  let found = [];
  /** @param {any} message */
  const fits = (message) =>
    message.kind === 'text' &&
    message.sentAt < end &&
    (conversation === undefined || message.conversation === conversation) &&
    plain(message.text).includes(wanted);

  const blocks = await signatures(storage, bits, end);
  for (const block of blocks) {
    // All that follow are older than the oldest that is wanted.
    if (found.length >= limit && block.to < found[limit - 1].sentAt) break;
    const messages = await storage.read(['messages'], (transaction) =>
      transaction.range('messages', { index: 'block', from: block.number, to: block.number }),
    );
    const more = messages.filter(fits);
    if (more.length) {
      found = [...found, ...more].sort((one, other) => other.sentAt - one.sentAt || (one.place < other.place ? 1 : -1));
      found.length = Math.min(found.length, limit);
    }
  }
  return found;
}

/** The blocks that may have something, the newest first.
 * @param {import('./ports.js').Storage} storage
 * @param {Set<number>} bits
 * @param {number} end
 * @returns {Promise<{ number: number, to: number }[]>} */
async function signatures(storage, bits, end) {
  const fitting = [];
  let first = 1;
  for (;;) {
    const from = first;
    const blocks = await storage.read(['blocks'], (transaction) =>
      transaction.range('blocks', { from, limit: STEP }),
    );
    for (const block of blocks) {
      if (block.from < end && hasAll(block.bits, bits)) fitting.push({ number: block.number, to: block.to });
    }
    if (blocks.length < STEP) break;
    first = blocks[blocks.length - 1].number + 1;
  }
  return fitting.sort((one, other) => other.to - one.to);
}
