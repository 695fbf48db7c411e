/** In which rows a talk is shown: days, the line where unread begins, messages, and what waits to be sent. Pure. */

import { compare as comparePositions } from '../cim/positions.js';

/**
 * @typedef {import('../cim/types.js').Message} Message
 * @typedef {import('../cim/types.js').Outgoing} Outgoing
 * @typedef {import('../cim/types.js').Position} Position
 * @typedef {'waiting' | 'sent' | 'stored' | 'read' | 'refused' | ''} Mark
 *
 * @typedef {{ kind: 'day', key: string, at: number }} DayRow
 * @typedef {{ kind: 'unread', key: string }} UnreadRow
 * @typedef {{ kind: 'message', key: string, message: Message, first: boolean, mark: Mark }} MessageRow
 * @typedef {{ kind: 'outgoing', key: string, outgoing: Outgoing, mark: Mark }} OutgoingRow
 * @typedef {DayRow | UnreadRow | MessageRow | OutgoingRow} Row
 */

/** Messages of one sender within this, ms, stand together under one name. */
const RUN = 5 * 60 * 1000;
/** The most that wait to be sent and are shown; the others follow when these are stored. */
const WAITING = 30;

/**
 * @param {readonly Message[]} messages oldest first
 * @param {readonly Outgoing[]} outgoing in the order in which they were written
 * @param {{ line?: Position | null, read?: Position }} [places] the unread line is behind `line`; the other has read to `read`
 * @returns {Row[]}
 */
export function layout(messages, outgoing, { line = null, read = '' } = {}) {
  /** @type {Row[]} */
  const rows = [];
  let day = '';
  /** @type {Message | null} */
  let before = null;
  let unread = line === null;
  const changing = new Set(outgoing.filter((one) => one.state !== 'refused').map((one) => one.ref));
  const stored = new Set(messages.filter((one) => one.mine).map((one) => one.clientId));
  for (const message of messages) {
    const own = dayOf(message.sentAt);
    if (own !== day) {
      rows.push({ kind: 'day', key: `day ${own}`, at: message.sentAt });
      before = null;
      day = own;
    }
    if (!unread && !message.mine && comparePositions(message.position, line ?? '') > 0) {
      rows.push({ kind: 'unread', key: 'unread' });
      before = null;
      unread = true;
    }
    rows.push({
      kind: 'message',
      key: message.position,
      message,
      first: !follows(message, before),
      mark: changing.has(message.position) ? 'waiting' : markOf(message, read),
    });
    before = message;
  }
  const shown = outgoing.filter((one) => !stored.has(one.clientId) && (one.kind === 'text' || one.state === 'refused'));
  for (const one of shown.slice(0, WAITING)) {
    rows.push({
      kind: 'outgoing',
      key: `outgoing ${one.clientId}`,
      outgoing: one,
      mark: one.state,
    });
  }
  return rows;
}

/**
 * Whether a message stands under the name of the one before it.
 * @param {Message} message
 * @param {Message | null} before
 */
function follows(message, before) {
  return (
    before !== null &&
    before.kind === message.kind &&
    before.sender.id === message.sender.id &&
    message.sentAt - before.sentAt < RUN
  );
}

/**
 * @param {Message} message
 * @param {Position} read how far the other has read
 * @returns {Mark}
 */
export function markOf(message, read) {
  if (!message.mine || message.kind !== 'text') return '';
  return read && comparePositions(message.position, read) <= 0 ? 'read' : 'stored';
}

/**
 * The day of a moment where the user is, `2026-11-27`.
 * @param {number} moment in ms since 1970
 * @returns {string}
 */
export function dayOf(moment) {
  const date = new Date(moment);
  const two = (/** @type {number} */ number) => String(number).padStart(2, '0');
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
}
