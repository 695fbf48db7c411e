// How far everyone has read, and what is unread: from heads, from others' marks, and from one's own, which are told until
// the servers have them.

import { EVERYONE } from './conversations.js';

/** @typedef {import('./talks.js').Listed} Listed */

export class Marks {
  #me;
  #history;
  #talks;
  #tell;
  #say;
  /** Talks with something unread that the present list of heads has not named yet, and up to where that counts.
   * @type {Map<string, string>} */
  #unlisted = new Map();

  /**
   * @param {number} me
   * @param {import('./history.js').History} history
   * @param {import('./talks.js').Talks} talks
   * @param {import('./events.js').Tell} tell
   * @param {(packet: object) => boolean} say whether there is a session to say it in
   */
  constructor(me, history, talks, tell, say) {
    this.#me = me;
    this.#history = history;
    this.#talks = talks;
    this.#tell = tell;
    this.#say = say;
  }

  /** A session begins: a whole list of what is unread follows. */
  begin() {
    this.#unlisted = new Map();
    for (const { conversation, unread, counted } of this.#talks.list()) {
      if (unread) this.#unlisted.set(conversation, counted);
    }
  }

  /** @param {{ conversation: string, latest: string, read: string, unread: number, active?: number }[]} heads */
  heads(heads) {
    for (const head of heads) {
      this.#unlisted.delete(head.conversation);
      this.#talks.head(head);
    }
    this.changed(heads.map(({ conversation }) => conversation));
    this.sayAll();
  }

  /** The list is whole: what no head named was read on another device. */
  async listed() {
    const unlisted = this.#unlisted;
    this.#unlisted = new Map();
    for (const [conversation, counted] of unlisted) {
      this.#talks.read(conversation, this.#me, counted);
      await this.#recount(conversation, {});
    }
  }

  /** The user has read up to a position, here.
   * @param {string} conversation
   * @param {string} position */
  async mark(conversation, position) {
    if (conversation === EVERYONE || !this.#talks.read(conversation, this.#me, position)) return;
    await this.#recount(conversation, { sayRead: true });
    this.sayAll();
  }

  /** Somebody has read up to a position; it may be the user, on another device.
   * @param {string} conversation
   * @param {number} user
   * @param {string} position */
  async heard(conversation, user, position) {
    if (!this.#talks.read(conversation, user, position)) return;
    if (user === this.#me) await this.#recount(conversation, {});
    else this.changed([conversation]);
    this.#tell('read', { conversation, user, position });
  }

  /** The user mutes conversations until then, or no longer (0), here or on another device.
   * @param {Map<string, number>} muted
   * @param {boolean} all whether these are all that are muted */
  muted(muted, all) {
    const changed = all
      ? this.#talks.mutes(muted)
      : [...muted].flatMap(([conversation, until]) => this.#talks.mute(conversation, until) ?? []);
    this.changed(changed.map(({ conversation }) => conversation));
  }

  /** Tell the servers what they were not told yet. */
  sayAll() {
    for (const { conversation, read, sayRead } of this.#talks.list()) {
      if (!sayRead || !this.#say({ read: { conversation, position: read } })) continue;
      this.#talks.change(conversation, { sayRead: false });
      this.changed([conversation]);
    }
  }

  /** Talks are different now: store them and tell of them.
   * @param {string[]} conversations */
  changed(conversations) {
    if (conversations.length) void this.#history.putTalks(this.#talks, conversations);
    this.show(conversations);
  }

  /** Tell of talks as they are.
   * @param {string[]} conversations */
  show(conversations) {
    for (const conversation of conversations) {
      const talk = this.#talks.get(conversation);
      if (talk) this.#tell('talk', talk);
    }
  }

  /** Count what is unread of what is stored, after the user's mark has moved; what is stored later counts then.
   * @param {string} conversation
   * @param {Partial<Listed>} change */
  async #recount(conversation, change) {
    const read = this.#talks.get(conversation)?.read ?? '';
    let isTaken = false;
    await this.#history.unread(conversation, read, (counts) => {
      isTaken = this.#talks.get(conversation)?.read === read; // otherwise it moved on, and is counted again
      if (isTaken) this.#talks.change(conversation, { ...counts, ...change });
    });
    if (isTaken) this.changed([conversation]);
  }
}
