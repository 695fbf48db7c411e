// Packets of the subprotocol cim.v1.json (docs/protocol.md): proto3's JSON, in which what is 0 or empty is left out and
// 64-bit integers are texts. Ids and times are below 2^53, so they are numbers here.

import { groupOf, otherOf } from './conversations.js';

export const PROTOCOL = 'cim.v1.json';

/** @typedef {import('./types.js').Outgoing} Outgoing */
/** @typedef {import('./types.js').Change} Change */

/** A message of the log as it comes, revisions among them.
 * @typedef {{ conversation: string, position: string, previous: string, sender: import('./types.js').User, sentAt: number,
 *   clientId: string, kind: import('./types.js').Kind, text: string, data: Uint8Array | null, contentType: string,
 *   ref: string, edited: boolean, byOperator: boolean, changes: Change[] }} Row */

/** @type {Record<string, import('./types.js').Kind>} */
const KINDS = { RECALL: 'recall', EDIT: 'edit', REACTION: 'reaction', MEMBERS: 'members' };

/** The text of a packet.
 * @param {object} packet */
export function encode(packet) {
  return JSON.stringify(packet);
}

/** What a text says: the name of the body, and the body; null for what this client does not know.
 * @param {string} text
 * @returns {[string, any] | null} */
export function decode(text) {
  const packet = JSON.parse(text);
  const name = packet && typeof packet === 'object' ? Object.keys(packet)[0] : undefined;
  return name === undefined ? null : [name, packet[name] ?? {}];
}

/** A message of the log, from a Deliver or from a page of `/v1`, whose fields have underscores.
 * @param {string} conversation
 * @param {any} said
 * @returns {Row} */
export function rowOf(conversation, said) {
  return {
    conversation,
    position: said.position ?? '',
    previous: said.previous ?? '',
    sender: { id: Number(said.sender ?? 0), name: said.senderName ?? said.sender_name ?? '' },
    sentAt: Number(said.sentAt ?? said.sent_at ?? 0),
    clientId: said.clientId ?? said.client_id ?? '',
    kind: KINDS[said.kind ?? ''] ?? 'text',
    text: said.text ?? '',
    data: said.data ? bytesOf(said.data) : null,
    contentType: said.contentType ?? said.content_type ?? '',
    ref: said.ref ?? '',
    edited: said.edited ?? false,
    byOperator: said.byOperator ?? said.by_operator ?? false,
    changes: (said.changes ?? []).map((/** @type {any} */ change) => ({
      what: change.what ?? '',
      user: Number(change.user ?? 0),
      by: Number(change.by ?? 0),
      text: change.text ?? '',
    })),
  };
}

/** One's own message once it was accepted.
 * @param {any} accepted
 * @param {Outgoing} outgoing
 * @param {import('./types.js').User} me
 * @returns {Row} */
export function rowOfMine(accepted, outgoing, me) {
  const { clientId, kind, text, data, contentType, ref } = outgoing;
  return {
    conversation: accepted.conversation,
    position: accepted.position,
    previous: accepted.previous ?? '',
    sender: me,
    sentAt: Number(accepted.sentAt ?? 0),
    clientId,
    kind,
    text,
    data,
    contentType,
    ref,
    edited: false,
    byOperator: false,
    changes: [],
  };
}

/** The Send of a message.
 * @param {Outgoing} outgoing
 * @param {number} me */
export function sendOf({ conversation, clientId, text, data, contentType, kind, ref }, me) {
  const group = groupOf(conversation);
  return {
    send: {
      ...(group === null ? { user: String(otherOf(conversation, me)) } : { group: String(group) }),
      clientId,
      ...(text && { text }),
      ...(data && data.length && { data: base64Of(data) }),
      ...(contentType && { contentType }),
      ...(kind !== 'text' && { kind: kind.toUpperCase() }),
      ...(ref && { ref }),
    },
  };
}

/** A head, of a Welcome or News.
 * @param {any} head */
export function headOf(head) {
  return {
    conversation: /** @type {string} */ (head.conversation ?? ''),
    latest: /** @type {string} */ (head.latest ?? ''),
    received: /** @type {string} */ (head.received ?? ''),
    read: /** @type {string} */ (head.read ?? ''),
    unread: /** @type {number} */ (head.unread ?? 0),
  };
}

const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';

// By hand: mini-programs have no btoa and atob.

/** @param {Uint8Array} bytes */
export function base64Of(bytes) {
  const parts = [];
  for (let at = 0; at < bytes.length; at += 3) {
    const [one, two, three] = [bytes[at], bytes[at + 1], bytes[at + 2]];
    const bits = (one << 16) | ((two ?? 0) << 8) | (three ?? 0);
    parts.push(
      LETTERS[bits >> 18] +
        LETTERS[(bits >> 12) & 63] +
        (two === undefined ? '=' : LETTERS[(bits >> 6) & 63]) +
        (three === undefined ? '=' : LETTERS[bits & 63]),
    );
  }
  return parts.join('');
}

/** @param {string} text base64
 * @returns {Uint8Array} */
export function bytesOf(text) {
  const bare = text.replace(/=+$/, '');
  const bytes = new Uint8Array(Math.floor((bare.length * 3) / 4));
  let bits = 0;
  let at = 0;
  for (let i = 0; i < bare.length; i += 1) {
    bits = ((bits << 6) | LETTERS.indexOf(bare[i])) & 0xffffff;
    if (i % 4) bytes[at++] = (bits >> (6 - 2 * (i % 4))) & 0xff;
  }
  return bytes;
}

/** How many bytes a text has in UTF-8.
 * @param {string} text */
export function sizeOf(text) {
  let size = text.length;
  for (let i = 0; i < text.length; i += 1) {
    const code = text.charCodeAt(i);
    // Half of a pair counts two, so that a pair has four.
    if (code > 0x7f) size += code > 0x7ff && (code < 0xd800 || code > 0xdfff) ? 2 : 1;
  }
  return size;
}
