// Names and groups: what talks are called, which groups the user is in, and what it may do there.

import { EVERYONE } from './conversations.js';
import { CIMError, passes } from './errors.js';

/** How many names are asked for at a time. */
const AT_A_TIME = 4;
/** Changes of a group come several at a time; the list is read once for them. */
const QUIET_MS = 200;
const RETRY_MS = 10_000;

/** @typedef {import('./types.js').User} User */

/** Names of users by id: from memory, from what is stored, from the servers. */
export class Names {
  #api;
  #history;
  /** @type {Map<number, Promise<User>>} */
  #known = new Map();

  /** @param {import('./api.js').Api} api
   * @param {import('./history.js').History} history */
  constructor(api, history) {
    this.#api = api;
    this.#history = history;
  }

  /** @param {number} id
   * @returns {Promise<User>} rejected if it cannot be found out */
  user(id) {
    let found = this.#known.get(id);
    if (!found) {
      this.#known.set(id, (found = this.#find(id)));
      found.catch(() => this.#known.delete(id));
    }
    return found;
  }

  /** Several, a few at a time; who is gone is called by its id.
   * @param {number[]} ids
   * @returns {Promise<User[]>} */
  async users(ids) {
    /** @type {User[]} */
    const found = [];
    for (let at = 0; at < ids.length; at += AT_A_TIME) {
      found.push(...(await Promise.all(ids.slice(at, at + AT_A_TIME).map((id) => this.#orId(id)))));
    }
    return found;
  }

  /** @param {number} id */
  async #orId(id) {
    try {
      return await this.user(id);
    } catch (error) {
      if (error instanceof CIMError && error.code === 'not-found') return { id, name: `user ${id}` };
      throw error;
    }
  }

  /** @param {number} id
   * @returns {Promise<User>} */
  async #find(id) {
    const stored = await this.#history.get('users', id);
    if (stored) return stored;
    const user = await this.#api.user(id);
    await this.#history.put('users', user);
    return user;
  }
}

/** Keeps titles and roles of the talks, and notices when the user left a group. */
export class Groups {
  #ports;
  #api;
  #names;
  #talks;
  #me;
  #changed;
  #gone;
  #over = false;
  #naming = false;
  /** @type {() => void} */
  #stop = () => {};

  /**
   * @param {{ ports: import('./ports.js').Ports, api: import('./api.js').Api, names: Names,
   *   talks: import('./talks.js').Talks, me: number }} world
   * @param {(talk: import('./talks.js').Listed) => void} changed
   * @param {(conversation: string) => void} gone
   */
  constructor({ ports, api, names, talks, me }, changed, gone) {
    this.#ports = ports;
    this.#api = api;
    this.#names = names;
    this.#talks = talks;
    this.#me = me;
    this.#changed = changed;
    this.#gone = gone;
  }

  /** Read the list of groups anew, soon.
   * @param {number} [ms] */
  refresh(ms = QUIET_MS) {
    this.#stop();
    this.#stop = this.#ports.later(ms, () => void this.#refresh());
  }

  leave() {
    this.#over = true;
    this.#stop();
  }

  /** Something happened in a group.
   * @param {import('./types.js').Message} message of the kind `members` */
  happened({ conversation, changes }) {
    for (const { what, user, text } of changes) {
      const talk = this.#talks.get(conversation);
      if (what === 'renamed' && talk) this.#changed(this.#talks.change(conversation, { title: text }));
      // The log may tell of long ago: the list says what is so now.
      if (user === this.#me) this.refresh();
    }
  }

  async #refresh() {
    try {
      const groups = await this.#api.groups();
      if (this.#over) return;
      const mine = new Set([EVERYONE]);
      for (const { group, role } of groups) {
        const conversation = `g:${group.id}`;
        mine.add(conversation);
        const talk = this.#talks.get(conversation);
        if (talk?.title === group.name && talk.role === role) continue;
        // A group in which nothing was said yet is as new as this moment.
        const began = talk ? {} : { active: this.#ports.now() };
        const its = /** @type {import('./types.js').Talk['role']} */ (role);
        this.#changed(this.#talks.change(conversation, { title: group.name, role: its, ...began }));
      }
      for (const { conversation } of this.#talks.list()) {
        if (conversation.startsWith('g:') && !mine.has(conversation)) this.#gone(conversation);
      }
    } catch (error) {
      if (!this.#over && passes(error)) this.refresh(RETRY_MS);
    }
    await this.name();
  }

  /** Find titles for private talks that have none. */
  async name() {
    if (this.#naming) return;
    this.#naming = true;
    try {
      const nameless = this.#talks.list().filter(({ title, user }) => !title && user);
      for (let at = 0; at < nameless.length && !this.#over; at += AT_A_TIME) {
        const some = nameless.slice(at, at + AT_A_TIME);
        const users = await this.#names.users(some.map(({ user }) => user));
        some.forEach(({ conversation }, i) => this.#changed(this.#talks.change(conversation, { title: users[i].name })));
      }
    } catch {
      // Without a network the next session asks again.
    }
    this.#naming = false;
  }
}
