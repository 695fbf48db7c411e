// Pages of a conversation: from what is stored where that is complete, otherwise from the servers, and stored then.

import { CIMError } from './errors.js';
import { compare, following, later } from './positions.js';

/** @typedef {import('./types.js').Message} Message */
/** @typedef {import('./types.js').Page} Page */

/** A page of the servers may bring less than was asked for, for reactions are among them, and edits are left out of it: so
 * it is asked that often, for so many at least. */
const ROUNDS = 4;
const LEAST = 20;

/** @param {import('./api.js').Api} api
 * @param {import('./history.js').History} history
 * @param {string} conversation
 * @param {{ before?: string, after?: string, around?: string, limit?: number }} where
 * @param {string} end the end of the conversation, as far as it is known
 * @returns {Promise<Page>} */
export async function pageOf(api, history, conversation, { before, after, around, limit = 50 }, end) {
  if (around !== undefined) {
    const half = Math.ceil(limit / 2);
    const older = await older_(api, history, conversation, around, half, end);
    const newer = await newer_(api, history, conversation, around, half, end);
    const middle = await history.message(conversation, around);
    return {
      messages: [...older.messages, ...(middle ? [middle] : []), ...newer.messages],
      before: older.before,
      after: newer.after,
    };
  }
  if (after !== undefined) return newer_(api, history, conversation, after, limit, end);
  return older_(api, history, conversation, before, limit, end);
}

/** How many talks have their last messages fetched when they are not here, as on a new device. */
const LAST_LINES = 50;

/** Fetch the last messages of the talks at the top of the list, one after the other.
 * @param {import('./api.js').Api} api
 * @param {import('./history.js').History} history
 * @param {import('./talks.js').Talks} talks
 * @param {(talk: import('./talks.js').Listed) => void} changed */
export async function lastLines(api, history, talks, changed) {
  for (const { conversation, last, latest } of talks.list().slice(0, LAST_LINES)) {
    if (last || !latest) continue;
    let page;
    try {
      page = await pageOf(api, history, conversation, { limit: 1 }, latest);
    } catch {
      return; // the next session tries again
    }
    const [message] = page.messages;
    if (message && !talks.get(conversation)?.last) changed(talks.change(conversation, { last: message }));
  }
}

/** The messages before a position, or the last ones.
 * @param {import('./api.js').Api} api
 * @param {import('./history.js').History} history
 * @param {string} conversation
 * @param {string | undefined} before
 * @param {number} limit
 * @param {string} end
 * @returns {Promise<Page>} */
async function older_(api, history, conversation, before, limit, end) {
  /** @type {Message[]} */
  let messages = [];
  let start = '';
  for (let round = 0; round <= ROUNDS; round += 1) {
    const known = await history.stretches(conversation);
    const stretch = known.find(([first, last]) =>
      before === undefined ? compare(last, end) >= 0 && last !== '' : compare(first, before) < 0 && compare(before, last) <= 0,
    );
    start = stretch ? stretch[0] : before ?? end;
    messages = stretch ? await history.between(conversation, { after: start, before, limit, last: true }) : [];
    if (messages.length >= limit || (stretch && start === '') || round === ROUNDS) break;
    let page;
    try {
      // What comes before the stretch, with the message at its start, which is not in it.
      page = await api.page(conversation, { before: stretch ? following(start) : before }, Math.max(limit, LEAST));
    } catch (error) {
      if (!(error instanceof CIMError) || error.status) throw error;
      // No network: what is here, although something may be missing in between.
      messages = await history.between(conversation, { before, limit, last: true });
      return { messages, before: messages.length >= limit, after: before !== undefined };
    }
    let upto = later(end, page.upto);
    if (stretch) upto = start;
    else if (before !== undefined) upto = (await history.message(conversation, before)) ? before : page.upto;
    if (upto === '') break;
    const after = page.more && (page.rows[0]?.previous ?? page.more);
    await history.add([{ conversation, after, upto: later(after, upto), rows: page.rows }]);
  }
  return { messages, before: start !== '' || messages.length >= limit, after: before !== undefined };
}

/** The messages after a position.
 * @param {import('./api.js').Api} api
 * @param {import('./history.js').History} history
 * @param {string} conversation
 * @param {string} after
 * @param {number} limit
 * @param {string} end
 * @returns {Promise<Page>} */
async function newer_(api, history, conversation, after, limit, end) {
  /** @type {Message[]} */
  let messages = [];
  let last = after;
  for (let round = 0; round <= ROUNDS; round += 1) {
    const known = await history.stretches(conversation);
    const stretch = known.find(([first, upto]) => compare(first, after) <= 0 && compare(after, upto) <= 0);
    last = stretch ? stretch[1] : after;
    messages = stretch ? await history.between(conversation, { after, limit, last: false }) : [];
    messages = messages.filter(({ position }) => compare(position, last) <= 0);
    if (messages.length >= limit || compare(last, end) >= 0 || round === ROUNDS) break;
    let page;
    try {
      page = await api.page(conversation, { after: last }, Math.max(limit, LEAST));
    } catch (error) {
      if (!(error instanceof CIMError) || error.status) throw error;
      messages = await history.between(conversation, { after, limit, last: false });
      return { messages, before: true, after: messages.length >= limit };
    }
    if (compare(page.upto, last) <= 0) break;
    await history.add([{ conversation, after: last, upto: page.upto, rows: page.rows }]);
    if (!page.more) end = later(end, page.upto);
  }
  const shown = messages[messages.length - 1]?.position ?? after;
  return { messages, before: true, after: messages.length >= limit && compare(shown, end) < 0 };
}
