// What the leading tab does: keeps the session, reads by the gap rule, sends from the outbox, and stores what comes
// before it tells of it. It outlasts sessions; a new leader makes its own from what is stored.

import { EVERYONE, between, groupOf, ofGroup, otherOf } from './conversations.js';
import { CIMError, RETRYABLE, asCIMError } from './errors.js';
import { Journal } from './journal.js';
import { Marks } from './marks.js';
import { Outbox } from './outbox.js';
import { headOf, rowOf, rowOfMine, sendOf } from './packets.js';
import { Reader } from './reader.js';
import { Reconnection } from './reconnection.js';
import { Session } from './session.js';

/** @typedef {import('./types.js').Outgoing} Outgoing */
/** @typedef {import('./packets.js').Row} Row */

/** While so many pieces wait to be stored, no further page is asked for. */
const BACKLOG = 1_000;
const TYPING_MS = 500;
/** For how long a login that got no answer may still be done, and end the session of a later one. */
const DOUBT_MS = 120_000;
/** How often a call is made that renews the cookie, which lasts for `--token-hours`. */
const COOKIE_MS = 3 * 3600_000;
/** After how many ms offline what was said to everyone meanwhile is left to whoever scrolls back. */
const EVERYONE_MS = 300_000;
/** How much of it is fetched for the list of talks: edits are left out, and at least one text is wanted. */
const EVERYONE_MESSAGES = 20;

export class Engine {
  #ports;
  #api;
  #me;
  #device;
  #history;
  #talks;
  #tell;
  #rivals;
  #reader;
  /** @type {Outbox<Outgoing>} */
  #outbox;
  #reconnection;
  #journal;
  #marks;
  /** @type {Session | null} */
  #session = null;
  #removed;
  #live = false;
  /** @type {import('./api.js').Login | null} */
  #login = null;
  /** Where conversations ended before the first session. @type {Map<string, string> | null} */
  #baseline = null;
  #onlineUntil = -Infinity;
  #doubtEnds = -Infinity;
  #asked = false;
  #over = false;
  #typedAt = -Infinity;
  /** @type {number[]} */
  #watched = [];
  /** @type {Map<number, number>} */
  #invited = new Map();
  /** @type {() => void} */
  #stop = () => {};
  /** @type {() => void} */
  #stopKeeping = () => {};

  /**
   * @param {{ ports: import('./ports.js').Ports, api: import('./api.js').Api, me: import('./types.js').User, device: string,
   *   history: import('./history.js').History, talks: import('./talks.js').Talks,
   *   tell: import('./events.js').Tell, removed: (conversation: string, what: string, by: number) => void,
   *   rivals: () => Promise<boolean> }} world `rivals` says whether another tab leads now
   */
  constructor({ ports, api, me, device, history, talks, tell, removed, rivals }) {
    this.#removed = removed;
    this.#ports = ports;
    this.#api = api;
    this.#me = me;
    this.#device = device;
    this.#history = history;
    this.#talks = talks;
    this.#tell = tell;
    this.#rivals = rivals;
    /** @type {Reader<Row>} */
    this.#reader = new Reader(ports.random);
    this.#outbox = new Outbox(ports.random);
    this.#reconnection = new Reconnection(ports, () => this.#connect(), (state) => tell('state', state));
    this.#marks = new Marks(me.id, history, talks, tell, (packet) => this.#say(packet));
    this.#journal = new Journal(history, talks, (...stored) => this.#stored(...stored), (error) =>
      this.#reconnection.end('storage', `what comes cannot be stored: ${asCIMError(error).message}`),
    );
  }

  get state() {
    return this.#reconnection.state;
  }

  /** Go online with what is stored.
   * @param {import('./api.js').Login | null} login one that is not used yet */
  async start(login) {
    this.#login = login;
    this.#reader.load(await this.#history.places());
    /** @type {(Outgoing & { order: number })[]} */
    const waiting = await this.#history.all('outbox');
    for (const one of waiting.sort((left, right) => left.order - right.order)) {
      if (one.state !== 'refused') this.#outbox.add(one.conversation, one.clientId, one);
    }
    if (this.#over) return;
    if (this.#ports.cookie) this.#keepCookie();
    this.#reconnection.start();
  }

  /** Say goodbye and stop, for good. */
  leave() {
    if (this.#live) this.#acknowledge(Infinity);
    this.#over = true;
    this.#reconnection.leave();
    this.#stop();
    this.#stopKeeping();
    const session = this.#session;
    this.#session = null;
    this.#live = false;
    session?.leave();
  }

  /** The network came back, or the page woke up: try now, or see whether the connection still is one. */
  wake() {
    if (this.#live) this.#session?.probe();
    else this.#reconnection.start();
  }

  /** The user logged in anew in another tab. */
  again() {
    this.#reconnection.again();
  }

  /** The device has no network: do not wait until the silence shows it. */
  offline() {
    this.#session?.abort({ code: 'offline', message: 'This device has no network.', retryAfter: 0 });
  }

  /** Something is to be sent.
   * @param {Outgoing} outgoing
   * @param {boolean} stored whether it is in the outbox that is stored here; it was written by a tab that may have another */
  async send(outgoing, stored) {
    if (!stored) await this.#history.put('outbox', outgoing);
    this.#outbox.add(outgoing.conversation, outgoing.clientId, outgoing);
    this.#tick();
  }

  /** A conversation is not the user's any more.
   * @param {string} conversation */
  drop(conversation) {
    this.#reader.drop(conversation);
  }

  /** The user has read up to a position.
   * @param {string} conversation
   * @param {string} position */
  markRead(conversation, position) {
    return this.#marks.mark(conversation, position);
  }

  /** @param {string} conversation */
  typing(conversation) {
    const now = this.#ports.now();
    if (!this.#live || now - this.#typedAt < TYPING_MS) return;
    this.#typedAt = now;
    const group = groupOf(conversation);
    const user = otherOf(conversation, this.#me.id);
    this.#say({ typing: group === null ? { user: String(user) } : { group: String(group) } });
  }

  /** @param {number[]} users */
  watch(users) {
    this.#watched = users;
    this.#say({ watch: { users: users.map(String) } });
  }

  // The session

  async #connect() {
    const login = this.#login ?? (await this.#logIn());
    this.#login = null;
    if (login.user.id !== this.#me.id) {
      this.#reconnection.end('logged-out', `somebody else is logged in here now: ${login.user.name}`);
      return;
    }
    if (!login.socket) throw new CIMError('unavailable', 'the system names no address for WebSockets');
    await this.#begin();
    if (this.#over) return;
    // Without `since`: what was read on other devices meanwhile shows only in a whole list of what is unread.
    const hello = { ticket: login.ticket, device: login.device, agent: this.#ports.agent, members: true };
    this.#session = new Session(this.#ports, login.socket, hello, {
      packet: (name, body) => this.#hear(name, body),
      ended: (end) => void this.#ended(end),
    });
  }

  async #logIn() {
    try {
      return await this.#api.logIn(this.#device);
    } catch (error) {
      // It may be done all the same, later.
      if (error instanceof CIMError && error.code === 'unreachable') this.#doubtEnds = this.#ports.now() + DOUBT_MS;
      throw error;
    }
  }

  /** Call now and then, for who is online all day long makes no other calls. */
  #keepCookie() {
    this.#stopKeeping();
    this.#stopKeeping = this.#ports.later(COOKIE_MS, () => {
      this.#api.call('GET', '/v1/sessions').catch(() => {});
      this.#keepCookie();
    });
  }

  /** Learn where conversations end, before the session begins: every message from then on is behind that. */
  async #begin() {
    if (!this.#baseline) {
      const heads = await this.#api.all('/v1/conversations', 'conversations');
      this.#baseline = new Map(heads.map(({ conversation, latest }) => [conversation, latest]));
      this.#marks.heads(heads);
    }
    if (this.#ports.now() - this.#onlineUntil > EVERYONE_MS) {
      await this.#beginEveryone();
      if (this.#onlineUntil !== -Infinity) this.#tell('reset', { conversation: EVERYONE });
    }
  }

  /** Go to the end of what was said to everyone; it is shown, but nobody is told that it is new. */
  async #beginEveryone() {
    const { rows, upto, more } = await this.#api.page(EVERYONE, {}, EVERYONE_MESSAGES);
    const end = rows[rows.length - 1]?.position ?? upto;
    this.#reader.drop(EVERYONE);
    this.#reader.load(new Map([[EVERYONE, end]]));
    const after = more && (rows[0]?.previous ?? more);
    const piece = { conversation: EVERYONE, after, upto: end, rows };
    await this.#history.add([piece], (...stored) => this.#talks.stored(...stored));
    this.#marks.show([EVERYONE]);
  }

  /** @param {import('./session.js').End} end */
  async #ended(end) {
    const wasLive = this.#live;
    this.#session = null;
    this.#live = false;
    const now = this.#ports.now();
    if (wasLive) this.#onlineUntil = now;
    this.#reader.ended(now);
    this.#outbox.ended();
    this.#stop();
    if (wasLive) for (const outgoing of this.#outbox.all()) this.#tell('outgoing', { ...outgoing, state: 'waiting' });
    if (end.code === 'replaced' && now >= this.#doubtEnds) {
      // By a tab that took over while this one slept, or by a login of this device elsewhere.
      if (!(await this.#rivals())) this.#reconnection.end(end.code, end.message);
    } else if (end.code === 'logged-out' || end.code === 'banned') this.#reconnection.end(end.code, end.message);
    else if (end.code === 'unauthorized' && !this.#asked) {
      this.#api.expired();
      // The ticket was no good: one new one, at once.
      this.#asked = true;
      this.#reconnection.lost({ ...end, retryAfter: 0 });
      this.#reconnection.start();
    } else {
      // A late login of our own replaced us: once only, so that two devices do not replace each other for ever.
      if (end.code === 'replaced') this.#doubtEnds = -Infinity;
      this.#reconnection.lost(end);
    }
  }

  /** @param {object} packet
   * @returns {boolean} whether there is a session to say it in */
  #say(packet) {
    if (this.#live) this.#session?.say(packet);
    return this.#live;
  }

  /** @param {string} name
   * @param {any} body */
  #hear(name, body) {
    const now = this.#ports.now();
    if (name === 'welcome') this.#welcome(body, now);
    else if (name === 'failure') this.#failure(body, now);
    else if (!this.#live) return;
    else if (name === 'deliver') this.#pushed(rowOf(body.conversation, body), now);
    else if (name === 'accepted') this.#accepted(body, now);
    else if (name === 'synced') this.#synced(body, now);
    else if (name === 'news') this.#news(body, now);
    else if (name === 'read') void this.#marks.heard(body.conversation, Number(body.reader), body.position);
    else if (name === 'muted') this.#marks.muted(new Map([[body.conversation, Number(body.until ?? 0)]]), false);
    else if (name === 'typing') {
      const user = Number(body.who);
      const conversation = body.user === undefined ? ofGroup(Number(body.group ?? 0)) : between(this.#me.id, user);
      this.#tell('typing', { conversation, user });
    } else if (name === 'presence') this.#tell('presence', { user: Number(body.userId), online: body.online ?? false });
    else if (name === 'invited') this.#invite(body);
    else if (name === 'removed') this.#removed(ofGroup(Number(body.group)), body.what ?? '', Number(body.by ?? 0));
    this.#tick();
  }

  /** @param {any} body
   * @param {number} now */
  #welcome(body, now) {
    this.#live = true;
    this.#asked = false;
    this.#marks.begin();
    this.#listed(this.#reader.begin(this.#heads(body), body.more ?? '', this.#baseline ?? new Map(), now));
    if (this.#watched.length) this.#say({ watch: { users: this.#watched.map(String) } });
    this.#reconnection.welcomed();
    void this.#mutes();
    for (const invited of body.invited ?? []) this.#invite(invited);
  }

  /** Learn what is muted: nobody says that again. */
  async #mutes() {
    try {
      const { conversations } = await this.#api.call('GET', '/v1/mutes');
      const muted = conversations.map((/** @type {any} */ one) => [one.conversation, one.until]);
      this.#marks.muted(new Map(muted), true);
    } catch {
      // A route of an earlier release, or none: it stays as it is known.
    }
  }

  /** @param {any} body
   * @param {number} now */
  #news(body, now) {
    const heads = this.#heads(body);
    const more = body.more ?? '';
    this.#listed(body.unasked ? this.#reader.unasked(heads, more, now) : this.#reader.listed(heads, more, now));
    for (const invited of body.invited ?? []) this.#invite(invited);
  }

  /** The heads of a packet, once the list of talks has them.
   * @param {any} body */
  #heads(body) {
    const heads = (body.heads ?? []).map(headOf);
    this.#marks.heads(heads);
    return heads;
  }

  /** @param {import('./reader.js').Begun<Row>[]} begun */
  #listed(begun) {
    for (const { conversation, start, items } of begun) {
      this.#journal.keep({ conversation, after: start, upto: this.#reader.held(conversation), rows: items, held: true });
    }
    if (this.#reader.listing) return;
    this.#baseline = new Map();
    void this.#marks.listed();
  }

  // Messages

  /** @param {Row} row
   * @param {number} now */
  #pushed(row, now) {
    const before = this.#reader.held(row.conversation);
    const items = this.#reader.pushed(row.conversation, row.position, row.previous, row, now);
    if (items.length) this.#hand(row.conversation, before, items);
  }

  /** @param {string} conversation
   * @param {string} after
   * @param {Row[]} rows */
  #hand(conversation, after, rows) {
    this.#journal.keep({ conversation, after, upto: this.#reader.held(conversation), rows, held: true });
  }

  /** @param {any} body
   * @param {number} now */
  #accepted(body, now) {
    const outgoing = this.#outbox.take(body.clientId);
    if (!outgoing) return;
    this.#pushed(rowOfMine(body, outgoing, this.#me), now);
    const told = [/** @type {Outgoing} */ ({ ...outgoing, state: 'stored' })];
    this.#journal.keep({ conversation: body.conversation, after: '', upto: '', rows: [], answered: [body.clientId], told });
  }

  /** @param {any} body
   * @param {number} now */
  #synced(body, now) {
    const { conversation, after = '', upto = '', more = false, reset = false } = body;
    const before = this.#reader.held(conversation);
    const rows = this.#reader.synced(conversation, after, upto, more, reset, now);
    const held = this.#reader.held(conversation);
    if (held === before && !rows.length) return;
    const start = reset ? (rows[0]?.previous ?? held) : before;
    this.#journal.keep({ conversation, after: start, upto: held, rows, held: true, reset });
  }

  /** @param {any} body
   * @param {number} now */
  #failure({ code = '', message = '', clientId, conversation = '', retryAfterSeconds = 0 }, now) {
    const retryAfter = retryAfterSeconds * 1000;
    if (!this.#live) this.#session?.abort({ code, message: message || code, retryAfter });
    else if (!clientId) {
      this.#reader.failed(conversation, now, RETRYABLE.has(code) ? retryAfter || 1000 : Infinity);
    } else if (this.#outbox.failed(clientId, code, retryAfter, now)) {
      const outgoing = this.#outbox.get(clientId);
      if (outgoing) this.#tell('outgoing', { ...outgoing, state: 'waiting', code, reason: message || code });
    } else {
      const outgoing = this.#outbox.take(clientId);
      if (!outgoing) return;
      /** @type {Outgoing} */
      const refused = { ...outgoing, state: 'refused', code, reason: message || code };
      void this.#history.put('outbox', refused).then(() => this.#tell('outgoing', refused));
    }
  }

  /** @type {ConstructorParameters<typeof Journal>[2]} */
  #stored(pieces, fresh, changed, talks) {
    for (const message of fresh) this.#tell('message', message);
    for (const message of changed) this.#tell('changed', message);
    this.#marks.show(talks);
    const now = this.#ports.now();
    for (const { conversation, upto, held, reset, told = [] } of pieces) {
      for (const outgoing of told) this.#tell('outgoing', outgoing);
      if (reset) this.#tell('reset', { conversation });
      if (held) this.#reader.kept(conversation, upto, now);
    }
    this.#plan();
  }

  /** @param {any} body */
  #invite(body) {
    const [id, at] = [Number(body.group), Number(body.at)];
    if ((this.#invited.get(id) ?? 0) >= at) return; // it comes again with each Welcome
    this.#invited.set(id, at);
    const group = { id, name: body.groupName ?? '', open: false, history: false, members: 0, muted: null };
    this.#tell('invited', { group, by: { id: Number(body.by ?? 0), name: body.byName ?? '' }, at });
  }

  // Time

  /** @param {number} upto */
  #acknowledge(upto) {
    const receipts = this.#reader.receipts(upto);
    if (!receipts.length) return;
    // Here first: what is acknowledged does not come again.
    void this.#history.hold(receipts);
    for (const received of receipts) this.#say({ received });
  }

  #tick() {
    if (!this.#live) return;
    const now = this.#ports.now();
    if (this.#outbox.stuck(now)) {
      this.#session?.abort({ code: 'timeout', message: 'the server stopped answering', retryAfter: 0 });
      return;
    }
    this.#acknowledge(now);
    if (this.#journal.backlog < BACKLOG) for (const sync of this.#reader.requests(now)) this.#say({ sync });
    for (const outgoing of this.#outbox.ready(now)) {
      this.#say(sendOf(outgoing, this.#me.id));
      this.#tell('outgoing', { ...outgoing, state: 'sent' });
    }
    this.#plan();
  }

  /** Come back when the next thing is due. */
  #plan() {
    this.#stop();
    if (!this.#live) return;
    const now = this.#ports.now();
    // What is not stored yet comes first; `#stored` comes back. Whether messages are answered is looked at now and then.
    const reading = this.#journal.backlog < BACKLOG ? this.#reader.due : Infinity;
    const due = Math.min(reading, this.#outbox.due, this.#outbox.size ? now + 5_000 : Infinity);
    if (due < Infinity) this.#stop = this.#ports.later(Math.max(0, due - now), () => this.#tick());
  }
}
