// Names of conversations: `p:<lower id>:<higher id>` for two people, `g:<id>` for a group, `g:0` for everyone.

import { CIMError } from './errors.js';

export const EVERYONE = 'g:0';

/** The conversation of two people.
 * @param {number} one
 * @param {number} other */
export function between(one, other) {
  if (one === other) throw new CIMError('invalid', 'you cannot talk to yourself', { field: 'user' });
  return one < other ? `p:${one}:${other}` : `p:${other}:${one}`;
}

/** @param {number} group */
export function ofGroup(group) {
  return `g:${group}`;
}

/** The group of a conversation, 0 for everyone; null for two people.
 * @param {string} conversation
 * @returns {number | null} */
export function groupOf(conversation) {
  return conversation.startsWith('g:') ? Number(conversation.slice(2)) : null;
}

/** The other one of two people; 0 in a group.
 * @param {string} conversation
 * @param {number} me */
export function otherOf(conversation, me) {
  if (!conversation.startsWith('p:')) return 0;
  const [low, high] = conversation.slice(2).split(':').map(Number);
  return low === me ? high : low;
}

/** Return the name, if it is one of a conversation of this user.
 * @param {string} name
 * @param {number} me
 * @returns {string}
 * @throws {CIMError} `invalid` */
export function check(name, me) {
  const match = /^(?:p:([1-9][0-9]{0,15}):([1-9][0-9]{0,15})|g:(0|[1-9][0-9]{0,15}))$/.exec(name);
  if (match && (match[3] !== undefined || (Number(match[1]) < Number(match[2]) && [match[1], match[2]].includes(String(me))))) {
    return name;
  }
  throw new CIMError('invalid', 'a conversation must be p:<lower id>:<higher id> with your own id, or g:<group id>', {
    field: 'conversation',
  });
}
