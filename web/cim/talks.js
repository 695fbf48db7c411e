// The list of talks: titles, last messages, what is unread, and how far everyone has read.
//
// A head says how much was unread up to its `latest`; what comes after that is counted here. The list is the leader's to
// change; the other tabs are told.

import { EVERYONE, groupOf, otherOf } from './conversations.js';
import { compare, later } from './positions.js';

/** @typedef {import('./types.js').Talk} Talk */
/** @typedef {import('./types.js').Message} Message */

/** @typedef {Talk & { latest: string, counted: string, sayRead: boolean, active: number }} Listed
 *   `latest`: the end as far as it is known; `counted`: up to where `unread` counts; `sayRead`: the servers were not told
 *   of `read` yet */

/** @param {string} conversation
 * @param {number} me
 * @returns {Listed} */
function newTalk(conversation, me) {
  return {
    conversation,
    title: '',
    user: otherOf(conversation, me),
    group: groupOf(conversation) ?? 0,
    last: null,
    unread: 0,
    read: '',
    readBy: {},
    role: '',
    muted: null,
    groupMuted: null,
    mutedUntil: 0,
    latest: '',
    counted: '',
    sayRead: false,
    active: 0,
  };
}

export class Talks {
  #me;
  /** @type {Map<string, Listed>} */
  #talks = new Map();
  /** Until when what is muted, also where nothing was said yet. @type {Map<string, number>} */
  #muted = new Map();

  /** @param {number} me */
  constructor(me) {
    this.#me = me;
    this.change(EVERYONE, {});
  }

  /** The newest first.
   * @returns {Listed[]} */
  list() {
    return [...this.#talks.values()].sort((one, other) => time(other) - time(one));
  }

  /** @param {string} conversation */
  get(conversation) {
    return this.#talks.get(conversation);
  }

  /** Take a talk as it was stored, or as the leader tells it.
   * @param {Listed} talk */
  put(talk) {
    this.#talks.set(talk.conversation, talk);
  }

  /** @param {string} conversation
   * @returns {boolean} whether it was there */
  remove(conversation) {
    return this.#talks.delete(conversation);
  }

  /** Change a talk, or begin it.
   * @param {string} conversation
   * @param {Partial<Listed>} change
   * @returns {Listed} */
  change(conversation, change) {
    const talk = { ...(this.#talks.get(conversation) ?? this.#begin(conversation)), ...change };
    this.#talks.set(conversation, talk);
    return talk;
  }

  /** @param {string} conversation
   * @returns {Listed} */
  #begin(conversation) {
    return { ...newTalk(conversation, this.#me), mutedUntil: this.#muted.get(conversation) ?? 0 };
  }

  /** The user mutes a conversation until then, or no longer (0).
   * @param {string} conversation
   * @param {number} until
   * @returns {Listed | null} the talk, if it is different now */
  mute(conversation, until) {
    if (until) this.#muted.set(conversation, until);
    else this.#muted.delete(conversation);
    const talk = this.#talks.get(conversation);
    // What was stored by an earlier release does not say it.
    if (!talk || (talk.mutedUntil ?? 0) === until) return null;
    return this.change(conversation, { mutedUntil: until });
  }

  /** Take all that the user mutes, and until when.
   * @param {Map<string, number>} muted
   * @returns {Listed[]} the talks that are different now */
  mutes(muted) {
    const names = new Set([...this.#muted.keys(), ...this.#talks.keys(), ...muted.keys()]);
    return [...names].flatMap((name) => this.mute(name, muted.get(name) ?? 0) ?? []);
  }

  /** Take a head of a list.
   * @param {{ conversation: string, latest: string, read: string, unread: number, active?: number }} head
   * @returns {Listed} */
  head({ conversation, latest, read, unread, active }) {
    const before = this.#talks.get(conversation);
    // One's own mark is further: the servers have not heard of it, and do not know what is unread.
    const ahead = before !== undefined && compare(before.read, read) > 0;
    // What was said since the head was read is counted already.
    const isOld = before !== undefined && before.read === read && compare(before.counted, latest) > 0;
    return this.change(conversation, {
      latest: later(before?.latest ?? '', latest),
      ...(ahead ? { sayRead: true } : isOld ? {} : { read, unread, counted: latest, sayRead: false }),
      ...(active && { active }),
    });
  }

  /** Take messages that were stored: new ones, and those of before that are different now.
   * @param {Message[]} fresh
   * @param {Message[]} changed
   * @returns {Listed[]} the talks that are different now */
  stored(fresh, changed) {
    /** @type {Set<string>} */
    const touched = new Set();
    for (const message of fresh) {
      const { conversation, position } = message;
      const talk = this.change(conversation, {});
      const counts = !message.mine && message.kind === 'text' && conversation !== EVERYONE;
      const isUnread = counts && !message.recalled && compare(position, later(talk.counted, talk.read)) > 0;
      this.change(conversation, {
        latest: later(talk.latest, position),
        counted: later(talk.counted, position),
        unread: Math.min(999, talk.unread + (isUnread ? 1 : 0)),
        ...(compare(position, talk.last?.position ?? '') >= 0 && { last: message }),
        ...(talk.user === message.sender.id && message.sender.name && { title: message.sender.name }),
      });
      touched.add(conversation);
    }
    for (const message of changed) {
      const talk = this.#talks.get(message.conversation);
      if (!talk) continue;
      if (talk.last?.position === message.position) this.change(message.conversation, { last: message });
      const wasUnread = !message.mine && message.recalled && compare(message.position, talk.read) > 0;
      if (wasUnread) this.change(message.conversation, { unread: Math.max(0, talk.unread - 1) });
      touched.add(message.conversation);
    }
    return [...touched].flatMap((name) => this.#talks.get(name) ?? []);
  }

  /** Somebody has read up to a position; null when that is no news.
   * @param {string} conversation
   * @param {number} user
   * @param {string} position
   * @returns {Listed | null} */
  read(conversation, user, position) {
    const talk = this.#talks.get(conversation);
    const before = user === this.#me ? talk?.read : talk?.readBy[user];
    if (!talk || compare(position, before ?? '') <= 0) return null;
    if (user === this.#me) return this.change(conversation, { read: position });
    return this.change(conversation, { readBy: { ...talk.readBy, [user]: position } });
  }
}

/** @param {Listed} talk */
function time(talk) {
  return Math.max(talk.last?.sentAt ?? 0, talk.active);
}
