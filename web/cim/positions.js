// Positions of messages: `<epoch>-<n>`, compared number by number (docs/protocol.md). The empty text is before all.
// The numbers go up to 2^63, beyond what a JavaScript number holds, so they stay texts: of two decimals without leading
// zeros the longer one is the larger one.

import { CIMError } from './errors.js';

const CANONICAL = /^(0|[1-9][0-9]{0,18})-(0|[1-9][0-9]{0,18})$/;
const LIMIT = '9223372036854775808';

/** A position that no message ever has, after all others. */
export const NOWHERE = '9223372036854775807-9223372036854775807';

/** Return the position, if it is one.
 * @param {string} text
 * @returns {string}
 * @throws {CIMError} `invalid` */
export function parse(text) {
  if (text === '') return text;
  const match = CANONICAL.exec(text);
  if (match && text !== '0-0' && decimals(match[1], LIMIT) < 0 && decimals(match[2], LIMIT) < 0) return text;
  throw new CIMError('invalid', 'a position must look like 1700000000000-1', { field: 'position' });
}

/** Below 0, 0 or above 0, as `one` is before, at or after `other`.
 * @param {string} one
 * @param {string} other
 * @returns {number} */
export function compare(one, other) {
  if (one === other) return 0;
  if (one === '' || other === '') return one === '' ? -1 : 1;
  const here = one.indexOf('-');
  const there = other.indexOf('-');
  return decimals(one.slice(0, here), other.slice(0, there)) || decimals(one.slice(here + 1), other.slice(there + 1));
}

/** The later of two.
 * @param {string} one
 * @param {string} other */
export function later(one, other) {
  return compare(one, other) < 0 ? other : one;
}

/** The place right after a position, to ask whether anything is there.
 * @param {string} position */
export function following(position) {
  const [epoch, n] = (position || '0-0').split('-');
  return `${epoch}-${BigInt(n) + 1n}`;
}

/** A text that sorts as the position does, for databases.
 * @param {string} position */
export function sortable(position) {
  if (position === '') return '';
  const [epoch, n] = position.split('-');
  return `${epoch.padStart(19, '0')}-${n.padStart(19, '0')}`;
}

/** @param {string} one
 * @param {string} other */
function decimals(one, other) {
  if (one.length !== other.length) return one.length - other.length;
  return one < other ? -1 : one > other ? 1 : 0;
}
