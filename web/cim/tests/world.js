// Doubles for tests: a clock that is moved by hand, a system that does what docs/protocol.md says as far as clients see
// it, and browsers whose tabs share what is stored. Nothing takes time but what the clock says.

import assert from 'node:assert/strict';
import { createClient } from '../client.js';
import { memoryDatabases } from '../memory.js';
import { NOWHERE, compare } from '../positions.js';

/** How long everything takes on the network, in ms. */
const LATENCY = 5;

export class Clock {
  ms = 1_700_000_000_000;
  /** @type {{ at: number, action: () => void }[]} */
  timers = [];

  now = () => this.ms;

  /** @param {number} ms
   * @param {() => void} action */
  later = (ms, action) => {
    const timer = { at: this.ms + ms, action };
    this.timers.push(timer);
    return () => {
      this.timers = this.timers.filter((one) => one !== timer);
    };
  };

  /** Let time pass, and all happen that is due meanwhile, in its order.
   * @param {number} ms */
  async advance(ms) {
    const end = this.ms + ms;
    for (;;) {
      await settled();
      const due = this.timers.filter(({ at }) => at <= end);
      if (!due.length) break;
      const next = due.reduce((one, other) => (other.at < one.at ? other : one));
      this.timers = this.timers.filter((one) => one !== next);
      this.ms = Math.max(this.ms, next.at);
      next.action();
    }
    this.ms = end;
  }
}

/** All promises that can go on have gone on. */
export async function settled() {
  for (let i = 0; i < 3; i += 1) await new Promise((resolve) => setImmediate(resolve));
}

/** @typedef {{ user: number, device: string, socket: FakeSocket, heartbeat: boolean }} Live */

export class FakeSocket {
  /** What the client said. @type {any[]} */
  said = [];
  over = false;
  /** Nothing comes through any more, although nobody was told. */
  dead = false;

  /** @param {System} system
   * @param {import('../ports.js').Hearing} hearing */
  constructor(system, hearing) {
    this.system = system;
    this.hearing = hearing;
  }

  /** @param {string} text */
  send(text) {
    const packet = JSON.parse(text);
    this.said.push(packet);
    this.system.soon(() => this.over || this.dead || this.system.heard(this, packet));
  }

  close() {
    if (!this.over) this.system.clock.later(0, () => this.hearing.closed(1000, ''));
    this.over = true;
    this.system.gone(this);
  }

  /** To the client.
   * @param {object} packet */
  say(packet) {
    this.system.soon(() => this.over || this.dead || this.hearing.heard(JSON.stringify(packet)));
  }

  /** The server ends it.
   * @param {object} [goodbye] */
  end(goodbye) {
    this.system.gone(this);
    if (goodbye) this.say({ goodbye });
    this.system.soon(() => {
      if (!this.over) this.hearing.closed(1006, '');
      this.over = true;
    });
  }
}

export class System {
  /** Until when who mutes what. @type {Map<string, number>} */
  mutes = new Map();
  clock = new Clock();
  /** @type {{ id: number, name: string, password: string }[]} */
  users = [];
  /** @type {Map<string, any[]>} */
  logs = new Map();
  /** @type {Map<number, { id: number, name: string, members: Map<number, string>, muted?: number | null,
   *   mutes?: Map<number, number> }>} */
  groups = new Map();
  /** Whether pages tell nothing of what happened to groups, as routes of earlier releases. */
  isOld = false;
  /** @type {Live[]} */
  live = [];
  /** Tickets, and the sockets of all times. @type {Map<string, { user: number, device: string }>} */
  tickets = new Map();
  /** @type {FakeSocket[]} */
  sockets = [];
  /** Every request. @type {{ method: string, path: string, body: any }[]} */
  requests = [];
  /** @type {Map<string, string>} */
  received = new Map();
  /** @type {Map<string, string>} */
  reads = new Map();
  /** What came of a client id. @type {Map<string, any>} */
  accepted = new Map();
  down = false;
  epoch = '1700000000000';
  /** How many heads are in a list. */
  heads = 100;
  /** Whether a push is lost. @type {(packet: any) => boolean} */
  loses = () => false;
  /** What a Send is answered instead of being stored. @type {(send: any) => any} */
  refuses = () => null;
  /** What is stored in place of a text. @type {(text: string) => string} */
  changes = (text) => text;
  /** What a request is answered instead. @type {(method: string, path: string) => [number, any] | null} */
  answers = () => null;
  #number = 0;

  next() {
    return (this.#number += 1);
  }

  /** @param {() => void} action */
  soon(action) {
    this.clock.later(LATENCY, action);
  }

  /** @param {string} name */
  user(name) {
    let user = this.users.find((one) => one.name === name);
    if (!user) this.users.push((user = { id: 100 + this.users.length, name, password: 'correct horse' }));
    return user;
  }

  /** Stop, and close all connections without a word. */
  stop() {
    this.down = true;
    for (const { socket } of [...this.live]) socket.end();
  }

  start() {
    this.down = false;
  }

  /** @param {FakeSocket} socket */
  gone(socket) {
    this.live = this.live.filter((one) => one.socket !== socket);
  }

  /** @param {string} name
   * @returns {FakeSocket} the connection of a user */
  socketOf(name) {
    const { id } = this.user(name);
    const found = this.live.find(({ user }) => user === id);
    assert(found, `${name} is not online`);
    return found.socket;
  }

  /** @param {number} user @param {string} conversation @param {number} until */
  mute(user, conversation, until) {
    if (until) this.mutes.set(`${user} ${conversation}`, until);
    else this.mutes.delete(`${user} ${conversation}`);
  }

  // HTTP

  /** @param {import('../ports.js').Request} request
   * @param {{ user: number }} jar the cookie of a browser, or 0
   * @returns {Promise<import('../ports.js').Answer>} */
  async request({ method, url, headers, body }, jar) {
    await new Promise((resolve) => this.soon(() => resolve(undefined)));
    if (this.down) throw new TypeError('fetch failed');
    const path = url.replace('http://cim', '');
    const said = body ? JSON.parse(body) : {};
    this.requests.push({ method, path, body: said });
    const token = (headers.Authorization ?? '').replace('Bearer token-', '');
    const known = this.answers(method, path) ?? this.#answer(method, path, said, Number(token) || jar.user, jar);
    const [status, answer] = known ?? [404, { code: 'not-found', detail: `no such path: ${method} ${path}` }];
    const retry = answer?.retry;
    return {
      status,
      header: (name) => (name === 'retry-after' && retry ? String(retry) : ''),
      text: answer === null ? '' : JSON.stringify(answer),
    };
  }

  /** @param {string} method
   * @param {string} path
   * @param {any} said
   * @param {number} user
   * @param {{ user: number }} jar
   * @returns {[number, any] | null} */
  #answer(method, path, said, user, jar) {
    const [where, query = ''] = path.split('?');
    const given = new URLSearchParams(query);
    const call = `${method} ${where}`;
    /** @param {number} id */
    const named = (id) => this.users.find((one) => one.id === id);
    if (call === 'POST /v1/accounts') return [201, { ...this.user(said.name), password: undefined }];
    if (call === 'POST /v1/sessions') {
      const account = said.name ? this.users.find(({ name, password }) => name === said.name && password === said.password) : named(user);
      if (!account) return [401, { code: 'unauthorized', detail: 'wrong' }];
      const ticket = `ticket-${this.next()}`;
      this.tickets.set(ticket, { user: account.id, device: said.device });
      if (said.cookie) jar.user = account.id;
      const server = { host: 'h', tcp_port: 1, tls: null, websocket: 'ws://far/v1/socket', socket: '/v1/socket' };
      const token = said.cookie ? {} : { token: `token-${account.id}` };
      return [201, { user_id: account.id, name: account.name, device: said.device, server, ticket, ...token }];
    }
    if (!user) return [401, { code: 'unauthorized', detail: 'nobody is logged in' }];
    if (call === 'GET /v1/conversations') {
      const list = [...this.logs.keys()].filter((name) => name !== 'g:0' && this.isIn(name, user));
      return [200, { conversations: list.map((name) => ({ ...this.head(name, user, ' '), active: 1 })), more: null }];
    }
    if (call === 'GET /v1/mutes') {
      const muted = [...this.mutes].filter(([key]) => key.startsWith(`${user} `));
      return [200, { conversations: muted.map(([key, until]) => ({ conversation: key.split(' ')[1], until })) }];
    }
    const mute = /^(PUT|DELETE) \/v1\/conversations\/(.*)\/mute$/.exec(call);
    if (mute) {
      const until = mute[1] === 'PUT' ? (said.until ?? Number.MAX_SAFE_INTEGER) : 0;
      this.mute(user, mute[2], until);
      const packet = { muted: { conversation: mute[2], ...(until && { until: String(until) }) } };
      for (const one of this.live) if (one.user === user) one.socket.say(packet);
      return [204, null];
    }
    if (call === 'GET /v1/groups') {
      const mine = [...this.groups.values()].filter(({ members }) => members.has(user));
      return [200, { groups: mine.map(({ id, name, members, muted = null, mutes }) => ({
        group: { id, name, muted },
        role: members.get(user),
        muted: mutes?.get(user) ?? null,
      })), more: null }];
    }
    const page = /^GET \/v1\/conversations\/(.*)\/messages$/.exec(call);
    if (page) {
      const found = this.page(page[1], given.get('after'), given.get('before'), Number(given.get('limit')));
      if (given.has('members') && this.isOld) return [400, { code: 'invalid', detail: 'no', field: 'members' }];
      const left = new Set(['EDIT', 'RECALL', ...(given.has('members') ? [] : ['MEMBERS'])]);
      const shown = found.rows.filter(({ kind }) => !left.has(kind ?? ''));
      const messages = shown.map(({ senderName, sentAt, clientId, contentType, previous, ...more }, i) => ({
        ...more,
        previous: shown[i - 1]?.position ?? previous ?? '',
        sender_name: senderName,
        sent_at: Number(sentAt),
        client_id: clientId,
        content_type: contentType ?? '',
      }));
      const [first] = given.has('before') ? (shown.length ? shown : found.rows) : found.rows.slice(-1);
      const upto = given.has('before') && !shown.length ? (found.more ? first.position : '') : found.upto;
      return [200, { messages, upto, reset: false, more: found.more ? first.position : null }];
    }
    if (call === 'GET /v1/users') {
      const users = (given.get('ids') ?? '').split(',').flatMap((id) => named(Number(id)) ?? []);
      return [200, { users: users.map(({ id, name }) => ({ id, name })) }];
    }
    const device = /^DELETE \/v1\/sessions\/(.*)$/.exec(call);
    if (device) {
      const found = this.live.find((live) => live.user === user && live.device === device[1]);
      found?.socket.end({ code: 'logged-out' });
      jar.user = 0;
      return [204, null];
    }
    return null;
  }

  // The log

  /** @param {string} conversation
   * @param {number} user */
  isIn(conversation, user) {
    if (conversation === 'g:0') return true;
    if (conversation.startsWith('p:')) return conversation.slice(2).split(':').map(Number).includes(user);
    return this.groups.get(Number(conversation.slice(2)))?.members.has(user) ?? false;
  }

  /** @param {string} conversation */
  log(conversation) {
    const log = this.logs.get(conversation) ?? [];
    this.logs.set(conversation, log);
    return log;
  }

  /** Store a message and push it.
   * @param {string} conversation
   * @param {number} sender
   * @param {any} said
   * @param {FakeSocket | null} [from] who is told otherwise */
  store(conversation, sender, said, from = null) {
    const log = this.log(conversation);
    const last = log[log.length - 1];
    const row = {
      ...said,
      conversation,
      position: `${this.epoch}-${log.length + 1}`,
      ...(last && { previous: last.position }),
      ...(sender && { sender: String(sender), senderName: this.users.find(({ id }) => id === sender)?.name }),
      sentAt: String(this.clock.ms),
    };
    log.push(row);
    this.push(row, from);
    return row;
  }

  /** @param {any} row
   * @param {FakeSocket | null} from */
  push(row, from = null) {
    for (const { user, socket } of this.live) {
      if (socket !== from && this.isIn(row.conversation, user) && !this.loses(row)) socket.say({ deliver: row });
    }
  }

  /** A message as it stands.
   * @param {any} row
   * @param {any[]} log */
  #standing(row, log) {
    if (row.kind) return row;
    const about = log.filter(({ ref }) => ref === row.position);
    if (about.some(({ kind }) => kind === 'RECALL')) return { ...row, text: '' };
    const edit = about.filter(({ kind }) => kind === 'EDIT').pop();
    return edit ? { ...row, text: edit.text, edited: true } : row;
  }

  /** @param {string} conversation
   * @param {string | null} after
   * @param {string | null} before
   * @param {number} limit
   * @returns {{ rows: any[], upto: string, more: boolean }} */
  page(conversation, after, before, limit) {
    const log = this.log(conversation);
    const standing = log.map((row) => this.#standing(row, log));
    if (before !== null) {
      const rows = standing.filter(({ position }) => before === NOWHERE || compare(position, before) < 0);
      const page = rows.slice(-limit);
      return { rows: page, upto: page[page.length - 1]?.position ?? '', more: rows.length > page.length };
    }
    const rows = standing.filter(({ position }) => compare(position, after ?? '') > 0);
    const page = rows.slice(0, limit);
    return { rows: page, upto: page[page.length - 1]?.position ?? after ?? '', more: rows.length > page.length };
  }

  /** @param {string} conversation
   * @param {number} user
   * @param {string} device */
  head(conversation, user, device) {
    const log = this.log(conversation);
    const read = this.reads.get(`${conversation} ${user}`) ?? '';
    const unread = log.filter(({ position, sender, kind }) => !kind && sender !== String(user) && compare(position, read) > 0).length;
    const received = this.received.get(`${conversation} ${user} ${device}`) ?? '';
    return { conversation, latest: log[log.length - 1]?.position ?? '', received, read, unread };
  }

  /** @param {number} user
   * @param {string} device
   * @param {number} from */
  #list(user, device, from) {
    const heads = [...this.logs.keys()]
      .filter((name) => name !== 'g:0' && this.isIn(name, user))
      .map((name) => this.head(name, user, device))
      .filter(({ latest, received, unread }) => unread || compare(received, latest) < 0);
    const page = heads.slice(from, from + this.heads);
    return { heads: page, ...(from + page.length < heads.length && { more: String(from + page.length) }) };
  }

  // The socket

  /** @param {import('../ports.js').Hearing} hearing */
  connect(hearing) {
    const socket = new FakeSocket(this, hearing);
    this.sockets.push(socket);
    this.soon(() => {
      if (this.down) {
        if (!socket.over) hearing.closed(1006, '');
        socket.over = true;
      } else if (!socket.over) hearing.opened();
    });
    return socket;
  }

  /** @param {FakeSocket} socket
   * @param {any} packet */
  heard(socket, packet) {
    const [name] = Object.keys(packet);
    const body = packet[name];
    if (name === 'hello') {
      const login = this.tickets.get(body.ticket);
      this.tickets.delete(body.ticket);
      if (!login) {
        socket.end({ code: 'unauthorized' });
        return;
      }
      const before = this.live.find(({ user, device }) => user === login.user && device === login.device);
      before?.socket.end({ code: 'replaced' });
      this.live.push({ ...login, socket, heartbeat: true });
      const list = this.#list(login.user, login.device, 0);
      socket.say({ welcome: { userId: String(login.user), session: '1', heartbeatSeconds: 11, asOf: '1', ...list } });
      return;
    }
    const live = this.live.find((one) => one.socket === socket);
    if (!live) return;
    const { user, device } = live;
    if (name === 'ping') socket.say({ pong: {} });
    else if (name === 'goodbye') socket.end();
    else if (name === 'received') this.received.set(`${body.conversation} ${user} ${device}`, body.position);
    else if (name === 'read') {
      this.reads.set(`${body.conversation} ${user}`, body.position);
      for (const other of this.live) {
        if (other.socket !== socket && this.isIn(body.conversation, other.user)) {
          other.socket.say({ read: { ...body, reader: String(user) } });
        }
      }
    } else if (name === 'sync' && !body.conversation) socket.say({ news: this.#list(user, device, Number(body.after)) });
    else if (name === 'sync') {
      const { rows, upto, more } = this.page(body.conversation, body.after ?? '', null, body.limit ?? 100);
      for (const deliver of rows) socket.say({ deliver });
      socket.say({ synced: { conversation: body.conversation, after: body.after ?? '', upto, more } });
    } else if (name === 'typing') {
      for (const other of this.live) {
        if (other.user === Number(body.user)) other.socket.say({ typing: { user: body.user, who: String(user) } });
      }
    } else if (name === 'watch') {
      for (const one of body.users) {
        const online = this.live.some((other) => other.user === Number(one));
        socket.say({ presence: { userId: one, ...(online && { online }) } });
      }
    } else if (name === 'send') this.#send(socket, user, body);
  }

  /** @param {FakeSocket} socket
   * @param {number} user
   * @param {any} send */
  #send(socket, user, { user: to, group, clientId, ...said }) {
    const failure = this.refuses({ clientId, ...said });
    if (failure) {
      socket.say({ failure: { clientId, ...failure } });
      return;
    }
    const conversation = to === undefined ? `g:${group}` : `p:${Math.min(user, Number(to))}:${Math.max(user, Number(to))}`;
    const id = `${user} ${clientId}`;
    const text = said.text && this.changes(said.text);
    const row = this.accepted.get(id) ?? this.store(conversation, user, { clientId, ...said, ...(text && { text }) }, socket);
    this.accepted.set(id, row);
    const { position, previous, sentAt } = row;
    if (text !== said.text) socket.say({ deliver: { conversation, ...row } });
    socket.say({ accepted: { clientId, conversation, position, previous, sentAt } });
  }
}

/** A browser: its tabs share cookie, storage and channels. */
export class Browser {
  jar = { user: 0 };
  databases = memoryDatabases();
  /** @type {Map<string, string>} */
  settings = new Map();
  /** @type {{ name: string, heard: (message: any) => void, over: boolean }[]} */
  channels = [];
  kept = true;

  /** @param {System} system */
  constructor(system) {
    this.system = system;
  }

  /** A tab: a client, what it told, and what happens to it.
   * @param {Partial<import('../ports.js').Ports>} [given] */
  tab(given = {}) {
    const { system } = this;
    /** @type {((what: import('../ports.js').Wake) => void)[]} */
    const wakers = [];
    let crashed = false;
    /** What waits until the tab is not frozen any more.
     * @type {{ action: () => void, socket: boolean }[] | null} */
    let waiting = null;
    /** @param {() => void} action
     * @param {boolean} [socket] whether it comes from a socket */
    const run = (action, socket = false) => {
      if (crashed) return;
      if (waiting) waiting.push({ action, socket });
      else action();
    };
    /** @type {import('../ports.js').Socket[]} */
    const sockets = [];
    const client = createClient({
      api: 'http://cim',
      cookie: true,
      device: 'web',
      agent: 'test',
      request: (request) => system.request(request, this.jar),
      connect: (url, protocol, hearing) => {
        assert.equal(url, 'ws://cim/v1/socket');
        assert.equal(protocol, 'cim.v1.json');
        const socket = system.connect({
          opened: () => run(() => hearing.opened(), true),
          heard: (text) => run(() => hearing.heard(text), true),
          closed: (...why) => run(() => hearing.closed(...why), true),
        });
        sockets.push(socket);
        return socket;
      },
      settings: {
        get: (key) => this.settings.get(key) ?? '',
        set: (key, value) => void this.settings.set(key, value),
        remove: (key) => void this.settings.delete(key),
      },
      databases: {
        open: async (...form) => Object.assign(await this.databases.open(...form), { kept: this.kept }),
        remove: (name) => this.databases.remove(name),
      },
      channel: (name, heard) => {
        const channel = { name, heard: (/** @type {any} */ message) => run(() => heard(message)), over: false };
        this.channels.push(channel);
        return {
          post: (message) => {
            if (crashed) return;
            assert(!channel.over);
            const sent = structuredClone(message);
            for (const other of this.channels) {
              if (other === channel || other.name !== name) continue;
              system.clock.later(1, () => other.over || other.heard(sent));
            }
          },
          close: () => void (channel.over = true),
        };
      },
      wake: (listener) => {
        wakers.push(listener);
        return () => {};
      },
      now: system.clock.now,
      later: (ms, action) => system.clock.later(ms, () => run(action)),
      random: () => 0.5,
      newId: () => `${String(system.next()).padStart(6, '0')}abcdefgh`,
      ...given,
    });
    /** @type {{ event: string, value: any }[]} */
    const told = [];
    /** @type {(keyof import('../types.js').Events)[]} */
    const all = ['state', 'talk', 'gone', 'message', 'changed', 'outgoing', 'typing', 'presence', 'invited', 'read', 'reset', 'storage'];
    for (const event of all) client.on(event, (value) => told.push({ event, value }));
    return {
      client,
      told,
      /** The texts that it was told, in order. */
      texts: () => told.filter(({ event }) => event === 'message').map(({ value }) => value.text),
      /** @param {string} event
       * @returns {any[]} */
      heard: (event) => told.filter((one) => one.event === event).map(({ value }) => value),
      /** @param {import('../ports.js').Wake} what */
      wake: (what) => wakers.forEach((waker) => waker(what)),
      /** It is gone at once, without a word. */
      crash: () => {
        crashed = true;
        for (const socket of sockets) system.gone(/** @type {FakeSocket} */ (socket));
      },
      /** It neither runs nor hears anything, as a page in the background may be; what came meanwhile comes then. */
      freeze: () => {
        waiting = [];
      },
      /** @param {boolean} [socketsFirst] */
      thaw: (socketsFirst = false) => {
        const late = waiting ?? [];
        waiting = null;
        for (const { action, socket } of late) if (socket || !socketsFirst) action();
        if (socketsFirst) for (const { action, socket } of late) if (!socket) action();
      },
    };
  }
}

/** Log in, and be online.
 * @param {System} system
 * @param {string} name
 * @param {Browser} [browser] */
export async function online(system, name, browser = new Browser(system)) {
  system.user(name);
  const tab = browser.tab();
  const login = tab.client.logIn({ name, password: 'correct horse' });
  await system.clock.advance(1_000);
  await login;
  assert.equal(tab.client.state.name, 'online');
  return { ...tab, browser };
}
