// Names and groups: what talks are called, which groups the user is in, and what it may do there.

import { EVERYONE } from './conversations.js';
import { passes } from './errors.js';

/** How many names are asked for at a time. */
const AT_A_TIME = 100;
/** Changes of a group come several at a time; the list is read once for them. */
const QUIET_MS = 200;
const RETRY_MS = 10_000;

/** @typedef {import('./types.js').User} User */

/** Names of users by id: from memory, from what is stored, from the servers. */
export class Names {
  #api;
  #history;
  /** @type {Map<number, User>} */
  #known = new Map();
  /** Who is asked for in this moment. @type {Set<number>} */
  #asked = new Set();
  /** @type {Promise<unknown> | null} */
  #answer = null;

  /** @param {import('./api.js').Api} api
   * @param {import('./history.js').History} history */
  constructor(api, history) {
    this.#api = api;
    this.#history = history;
  }

  /** Those that are asked for in one moment, such as all who reacted to a message, are looked up together.
   * @param {number} id
   * @returns {Promise<User>} */
  async user(id) {
    this.#asked.add(id);
    this.#answer ??= Promise.resolve().then(() => {
      const ids = [...this.#asked];
      this.#asked.clear();
      this.#answer = null;
      return this.users(ids);
    });
    await this.#answer;
    return this.#known.get(id) ?? nameless(id);
  }

  /** Several; who is gone is called by the id.
   * @param {number[]} ids
   * @returns {Promise<User[]>} rejected if they cannot be found out */
  async users(ids) {
    if (ids.some((id) => !this.#known.has(id))) await this.#load(ids);
    for (;;) {
      const unknown = ids.filter((id) => !this.#known.has(id)).slice(0, AT_A_TIME);
      if (!unknown.length) return ids.map((id) => this.#known.get(id) ?? nameless(id));
      const found = await this.#api.users(unknown);
      for (const id of unknown) this.#known.set(id, nameless(id));
      for (const user of found) this.#known.set(user.id, user);
      await this.#history.putUsers(found);
    }
  }

  /** @param {number[]} ids */
  async #load(ids) {
    for (const user of await this.#history.users(ids)) this.#known.set(user.id, user);
  }
}

/** @param {number} id
 * @returns {User} */
const nameless = (id) => ({ id, name: `user ${id}` });

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
      // Not read anew by all members of a large group at once.
      if ((what === 'muted' || what === 'unmuted') && user === 0 && talk) {
        const groupMuted = what === 'muted' ? Number(text) : null;
        this.#changed(this.#talks.change(conversation, { groupMuted }));
      }
      // The log may tell of long ago: the list says what is so now.
      if (user === this.#me) this.refresh();
    }
  }

  async #refresh() {
    try {
      const groups = await this.#api.groups();
      if (this.#over) return;
      const mine = new Set([EVERYONE]);
      for (const { group, role, muted = null } of groups) {
        const conversation = `g:${group.id}`;
        mine.add(conversation);
        const talk = this.#talks.get(conversation);
        const groupMuted = group.muted ?? null;
        const its = /** @type {import('./types.js').Talk['role']} */ (role);
        const now = { title: group.name, role: its, muted, groupMuted };
        if (talk && same(talk, now)) continue;
        // A group in which nothing was said yet is as new as this moment.
        const began = talk ? {} : { active: this.#ports.now() };
        this.#changed(this.#talks.change(conversation, { ...now, ...began }));
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
      for (;;) {
        const nameless = this.#talks.list().filter(({ title, user }) => !title && user);
        if (!nameless.length || this.#over) break;
        const users = await this.#names.users(nameless.map(({ user }) => user));
        nameless.forEach(({ conversation, user }, i) => {
          // One without a name would be asked for again at once, for ever.
          this.#changed(this.#talks.change(conversation, { title: users[i].name || String(user) }));
        });
      }
    } catch {
      // Without a network the next session asks again.
    }
    this.#naming = false;
  }
}

/** Whether a talk is as the list of groups has it.
 * @param {import('./talks.js').Listed} talk
 * @param {Partial<import('./talks.js').Listed>} now */
function same(talk, now) {
  // What was stored by an earlier release lacks some.
  const { title, role, muted = null, groupMuted = null } = talk;
  return title === now.title && role === now.role && muted === now.muted && groupMuted === now.groupMuted;
}
