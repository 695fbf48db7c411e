/** A `Client` in memory, for tests of the page and for looking at it without a server: `tests/page.html`. */

import { compare } from '../../cim/positions.js';

/**
 * @typedef {import('../../cim/types.js').Message} Message
 * @typedef {import('../../cim/types.js').Talk} Talk
 * @typedef {import('../../cim/types.js').Outgoing} Outgoing
 * @typedef {import('../../cim/types.js').State} State
 * @typedef {import('../../cim/types.js').User} User
 */

export const ME = { id: 1, name: 'alice' };

/** A moment that is the same in each run: in the morning, where the test is. */
export const MORNING = new Date(2026, 10, 27, 9, 30).getTime();

/**
 * A message as the client gives it.
 * @param {number} n its place
 * @param {Partial<Message>} [more]
 * @returns {Message}
 */
export function message(n, more = {}) {
  const sender = more.sender ?? { id: 2, name: 'bob' };
  return {
    conversation: 'p:1:2',
    position: `1700-${n}`,
    previous: n > 1 ? `1700-${n - 1}` : '',
    sender,
    mine: sender.id === ME.id,
    sentAt: MORNING + n * 1000,
    clientId: `c${n}`,
    kind: 'text',
    text: `message ${n}`,
    data: null,
    contentType: '',
    edited: false,
    recalled: false,
    byOperator: false,
    reactions: {},
    changes: [],
    ...more,
  };
}

/**
 * @param {Partial<Outgoing>} [more]
 * @returns {Outgoing}
 */
export function outgoing(more = {}) {
  return {
    clientId: 'o1',
    conversation: 'p:1:2',
    kind: 'text',
    text: 'soon',
    data: null,
    contentType: '',
    ref: '',
    at: MORNING,
    state: 'waiting',
    ...more,
  };
}

/** It answers at once, keeps everything in memory, and loses it. */
export class Double {
  /** @type {Map<string, Set<(value: any) => void>>} */
  #listeners = new Map();
  /** @type {Map<string, Message[]>} */
  #said = new Map();
  /** @type {Map<string, Talk>} */
  #talks = new Map();
  /** @type {Outgoing[]} */
  #outgoing = [];
  /** @type {Map<string, string>} */
  #drafts = new Map();
  /** @type {Set<number>} */
  #online = new Set();
  /** @type {User[]} */
  #blocked = [];
  /** @type {State} */
  state = { name: 'online', since: 0 };
  /** @type {User | null} */
  me = ME;
  leads = true;
  kept = true;
  /** @type {Map<number, User>} */
  users = new Map([[1, ME]]);
  /** @type {Map<number, any>} */
  teams = new Map();
  /** @type {any[]} */
  waiting = [];
  accounts = 'open';
  loggedIn = true;

  get talks() {
    return [...this.#talks.values()].sort((one, other) => (other.last?.sentAt ?? 0) - (one.last?.sentAt ?? 0));
  }

  /** @param {string} event @param {(value: any) => void} listener */
  on(event, listener) {
    const all = this.#listeners.get(event) ?? new Set();
    this.#listeners.set(event, all.add(listener));
    return () => all.delete(listener);
  }

  /** @param {string} event @param {unknown} value */
  tell(event, value) {
    for (const listener of this.#listeners.get(event) ?? []) listener(value);
  }

  /** @param {Partial<State>} state */
  turn(state) {
    this.state = { name: 'online', since: Date.now(), ...state };
    this.tell('state', this.state);
  }

  /** @param {Partial<Talk> & { conversation: string }} talk @param {Message[]} messages */
  put(talk, messages) {
    this.#said.set(talk.conversation, messages);
    this.#talks.set(talk.conversation, {
      title: '',
      user: 0,
      group: 0,
      last: messages.at(-1) ?? null,
      unread: 0,
      read: '',
      readBy: {},
      role: '',
      muted: null,
      groupMuted: null,
      mutedUntil: 0,
      ...talk,
    });
    if (talk.user) this.users.set(talk.user, { id: talk.user, name: talk.title ?? '' });
  }

  /** Somebody says something. @param {Message} one */
  hear(one) {
    const all = this.#said.get(one.conversation) ?? [];
    all.push(one);
    this.#said.set(one.conversation, all);
    const talk = this.#talks.get(one.conversation);
    if (talk) {
      const next = { ...talk, last: one, unread: one.mine ? talk.unread : Math.min(999, talk.unread + 1) };
      this.#talks.set(one.conversation, next);
      this.tell('talk', next);
    }
    this.tell('message', one);
  }

  /** @param {Message} one */
  change(one) {
    const all = this.#said.get(one.conversation) ?? [];
    this.#said.set(
      one.conversation,
      all.map((old) => (old.position === one.position ? one : old)),
    );
    this.tell('changed', one);
  }

  async about() {
    return { name: 'CIM', version: '0', accounts: this.accounts, directory: 'prefix' };
  }
  async resume() {
    return this.loggedIn ? this.me : null;
  }
  async register() {
    return ME;
  }
  async logIn() {
    this.turn({ name: 'online' });
    return ME;
  }
  async logOut() {}
  async resetPassword() {}
  async changePassword() {}
  retry() {
    this.turn({ name: 'online' });
  }
  async close() {}

  /** @param {string} conversation @param {string} text */
  async send(conversation, text) {
    const one = outgoing({ clientId: `o${Math.random()}`, conversation, text, at: Date.now() });
    this.#outgoing.push(one);
    this.tell('outgoing', one);
    if (this.state.name === 'online') setTimeout(() => this.#store(one), 50);
    return one;
  }

  /** @param {Outgoing} one */
  #store(one) {
    this.#outgoing = this.#outgoing.filter((other) => other !== one);
    if (one.kind === 'text') {
      const last = (this.#said.get(one.conversation) ?? []).at(-1);
      const n = last ? Number(last.position.split('-')[1]) + 1 : 1;
      this.hear(
        message(n, {
          conversation: one.conversation,
          sender: ME,
          text: one.text,
          clientId: one.clientId,
          sentAt: Date.now(),
        }),
      );
    }
    this.tell('outgoing', { ...one, state: 'stored' });
  }

  /** @param {Message} one @param {string} text */
  async edit(one, text) {
    this.change({ ...one, text, edited: true });
  }
  /** @type {Message[]} */
  reported = [];
  /** @param {Message} one @returns {Promise<boolean>} */
  async report(one) {
    if (this.reported.includes(one)) return false;
    this.reported.push(one);
    return true;
  }
  /** @param {Message} one */
  async recall(one) {
    this.change({ ...one, text: '', recalled: true, reactions: {} });
  }
  /** @param {Message} one @param {string} text */
  async react(one, text) {
    const reactions = Object.fromEntries(
      Object.entries(one.reactions).map(([key, users]) => [key, users.filter((user) => user !== ME.id)]),
    );
    if (text) reactions[text] = [...(reactions[text] ?? []), ME.id];
    this.change({ ...one, reactions });
  }
  /** @param {string} conversation */
  async outgoing(conversation) {
    return this.#outgoing.filter((one) => !conversation || one.conversation === conversation);
  }
  /** @param {Outgoing} one */
  hold(one) {
    this.#outgoing.push(one);
    this.tell('outgoing', one);
  }
  /** @param {string} clientId */
  async again(clientId) {
    const one = this.#outgoing.find((other) => other.clientId === clientId);
    if (one) this.#store(one);
    return one;
  }
  /** @param {string} clientId */
  async forget(clientId) {
    this.#outgoing = this.#outgoing.filter((one) => one.clientId !== clientId);
  }

  /** @param {string} conversation @param {{ before?: string, after?: string, around?: string, limit?: number }} [where] */
  async page(conversation, { before, after, around, limit = 50 } = {}) {
    const all = this.#said.get(conversation) ?? [];
    let from = Math.max(0, all.length - limit);
    if (before !== undefined) {
      const end = all.findIndex((one) => compare(one.position, before) >= 0);
      from = Math.max(0, (end < 0 ? all.length : end) - limit);
      return { messages: all.slice(from, end < 0 ? undefined : end), before: from > 0, after: true };
    }
    if (after !== undefined) {
      const start = all.findIndex((one) => compare(one.position, after) > 0);
      if (start < 0) return { messages: [], before: true, after: false };
      return { messages: all.slice(start, start + limit), before: start > 0, after: start + limit < all.length };
    }
    if (around !== undefined) {
      const at = all.findIndex((one) => compare(one.position, around) >= 0);
      from = Math.max(0, at - Math.floor(limit / 2));
    }
    return { messages: all.slice(from, from + limit), before: from > 0, after: from + limit < all.length };
  }
  /** @param {string} text @param {{ conversation?: string, limit?: number }} [where] */
  async search(text, { conversation, limit = 30 } = {}) {
    const found = [];
    for (const [key, all] of this.#said) {
      if (!conversation || key === conversation)
        found.push(...all.filter((one) => one.text.toLowerCase().includes(text.toLowerCase())));
    }
    return found.slice(-limit).reverse();
  }
  /** @param {string} conversation @param {string} position */
  async markRead(conversation, position) {
    const talk = this.#talks.get(conversation);
    if (!talk) return;
    const next = {
      ...talk,
      read: position,
      unread: (this.#said.get(conversation) ?? []).filter((one) => !one.mine && compare(one.position, position) > 0)
        .length,
    };
    this.#talks.set(conversation, next);
    this.tell('talk', next);
  }
  typing() {}
  watch() {}
  /** @param {number} user */
  isOnline(user) {
    return this.#online.has(user);
  }
  /** @param {number[]} users */
  come(...users) {
    for (const user of users) this.#online.add(user);
    for (const user of users) this.tell('presence', { user, online: true });
  }
  /** @param {string} conversation */
  async draft(conversation) {
    return this.#drafts.get(conversation) ?? '';
  }
  /** @param {string} conversation @param {string} text */
  async setDraft(conversation, text) {
    this.#drafts.set(conversation, text);
  }

  /** @param {string} prefix */
  async findUsers(prefix) {
    return [...this.users.values()].filter((user) => user.name.startsWith(prefix)).slice(0, 10);
  }
  /** @param {number} id */
  async user(id) {
    const found = this.users.get(id);
    if (!found) throw Object.assign(new Error('not found'), { code: 'not-found' });
    return found;
  }
  /** @param {string} name */
  async userNamed(name) {
    const found = [...this.users.values()].find((user) => user.name === name);
    if (!found) throw Object.assign(new Error('not found'), { code: 'not-found' });
    return found;
  }
  /** @param {number} user */
  conversationWith(user) {
    return user < ME.id ? `p:${user}:${ME.id}` : `p:${ME.id}:${user}`;
  }
  async sessions() {
    return [
      { device: 'web-abcdefgh', live: true, since: MORNING, server: '', mine: true },
      { device: 'phone', live: true, since: MORNING, server: '', mine: false },
    ];
  }
  async endSession() {}
  async blocks() {
    return this.#blocked;
  }
  /** @param {number} user */
  async block(user) {
    this.#blocked = [...this.#blocked, await this.user(user)];
  }
  /** @param {number} user */
  async unblock(user) {
    this.#blocked = this.#blocked.filter((one) => one.id !== user);
  }

  /** @param {string} conversation */
  async muteTalk(conversation, until = Infinity) {
    const talk = /** @type {Talk} */ (this.#talks.get(conversation));
    this.#talks.set(conversation, { ...talk, mutedUntil: until });
    this.tell('talk', this.#talks.get(conversation));
  }
  /** @param {string} conversation */
  async unmuteTalk(conversation) {
    await this.muteTalk(conversation, 0);
  }

  /** @param {{ name: string, open?: boolean, history?: boolean }} group */
  async makeGroup({ name, open = false, history = false }) {
    const id = 100 + this.teams.size;
    const info = { id, name, open, history, members: 1, muted: null };
    this.teams.set(id, { info, members: [{ user: ME.id, name: ME.name, role: 'owner', muted: null }] });
    this.put({ conversation: `g:${id}`, group: id, title: name, role: 'owner' }, []);
    this.tell('talk', this.#talks.get(`g:${id}`));
    return info;
  }
  /** @param {number} id */
  async group(id) {
    return this.teams.get(id).info;
  }
  async groups() {
    return [...this.teams.values()].map(({ info }) => ({ group: info, role: 'owner', muted: null }));
  }
  /** @param {number} id */
  async members(id) {
    return this.teams.get(id).members;
  }
  async invitations() {
    return this.waiting;
  }
  async invite() {
    return 'invited';
  }
  async join() {}
  async decline() {}
  /** @param {number} id */
  async leave(id) {
    this.#talks.delete(`g:${id}`);
    this.tell('gone', { conversation: `g:${id}` });
  }
  async remove() {}
  /** @param {number} id @param {any} change */
  async editGroup(id, change) {
    return Object.assign(this.teams.get(id).info, change);
  }
  async mute() {}
  async unmute() {}
  async ban() {}
  async unban() {}
  async bans() {
    return [];
  }
  async changeMembers() {
    return [];
  }
  /** @param {number} id */
  async dissolve(id) {
    await this.leave(id);
  }
  async setRole() {}
  /** @param {number} id @param {string} name */
  async rename(id, name) {
    this.teams.get(id).info.name = name;
    return this.teams.get(id).info;
  }
}
