// The client: what applications import. It joins the parts; each part says what it promises.

import { Api } from './api.js';
import { check, between } from './conversations.js';
import { Engine } from './engine.js';
import { CIMError } from './errors.js';
import { Listeners } from './events.js';
import { History, TABLES, VERSION } from './history.js';
import { MemoryStorage } from './memory.js';
import { pageOf } from './paging.js';
import { sizeOf } from './packets.js';
import { Talks } from './talks.js';

export { CIMError } from './errors.js';
export { compare as comparePositions } from './positions.js';

/** @typedef {import('./types.js').Client} Client */
/** @typedef {import('./types.js').User} User */
/** @typedef {import('./types.js').Outgoing} Outgoing */

/** Text and data of a message together, in bytes. */
const MAX_CONTENT = 48 * 1024;

/** A client of one user at one system, idle until `logIn` or `resume`.
 * @param {import('./ports.js').Ports} ports
 * @returns {Client} */
export function createClient(ports) {
  const api = new Api(ports);
  const listeners = new Listeners();
  /** What there is of the user who is logged in. @type {{ me: User, device: string, history: History, talks: Talks, engine: Engine, online: Map<number, boolean> } | null} */
  let here = null;
  /** @type {import('./types.js').State} */
  let state = { name: 'idle', since: ports.now() };

  /** @type {import('./events.js').Tell} */
  const tell = (event, value) => {
    if (event === 'state') state = /** @type {any} */ (value);
    if (event === 'presence' && here) {
      const { user, online } = /** @type {any} */ (value);
      here.online.set(user, online);
    }
    listeners.tell(event, value);
  };

  const known = () => {
    if (!here) throw new CIMError('unauthorized', 'nobody is logged in');
    return here;
  };

  const device = () => {
    let name = ports.settings.get('device');
    if (!name) ports.settings.set('device', (name = `${ports.device}-${ports.newId().slice(0, 8)}`));
    return name;
  };

  /** Begin as a user, with what is stored of it.
   * @param {User} me
   * @param {import('./api.js').Login | null} login */
  const begin = async (me, login) => {
    if (here?.me.id === me.id) here.engine.leave();
    const name = `cim-${me.id}`;
    const storage = await ports.databases.open(name, VERSION, TABLES).catch(() => new MemoryStorage(TABLES));
    const history = new History(storage, me.id);
    const talks = new Talks(me.id);
    for (const talk of await history.all('talks')) talks.put(talk);
    const engine = new Engine({ ports, api, me, device: device(), history, talks, tell, rivals: async () => false });
    here = { me, device: device(), history, talks, engine, online: new Map() };
    ports.settings.set('user', JSON.stringify(me));
    await engine.start(login);
    return me;
  };

  ports.wake(() => here?.engine.wake());

  /** Put a message into the outbox.
   * @param {Pick<Outgoing, 'conversation' | 'kind' | 'text'> & Partial<Outgoing>} message
   * @returns {Promise<Outgoing>} */
  const put = async ({ conversation, kind, text, data = null, contentType = '', ref = '' }) => {
    const { me, history, engine } = known();
    check(conversation, me.id);
    const size = sizeOf(text) + (data?.length ?? 0);
    if (size > MAX_CONTENT) throw new CIMError('too-large', `the message has ${size} bytes; ${MAX_CONTENT} is the most`);
    if (!text && !data?.length && kind !== 'recall' && kind !== 'reaction') {
      throw new CIMError('invalid', 'a message must have a text or data', { field: 'text' });
    }
    const at = ports.now();
    /** @type {Outgoing} */
    const outgoing = { clientId: ports.newId(), conversation, kind, text, data, contentType, ref, at, state: 'waiting' };
    await history.storage.write(['outbox'], async (transaction) => {
      const [last] = await transaction.range('outbox', { index: 'order', down: true, limit: 1 });
      await transaction.put('outbox', { ...outgoing, order: (last?.order ?? 0) + 1 });
    });
    tell('outgoing', outgoing);
    await engine.sent();
    return outgoing;
  };

  /** @type {Client} */
  const client = {
    get state() {
      return state;
    },
    get me() {
      return here?.me ?? null;
    },
    get talks() {
      return here?.talks.list() ?? [];
    },
    get leads() {
      return here !== null;
    },
    get kept() {
      return here?.history.storage.kept ?? true;
    },
    on: (event, listener) => listeners.on(event, listener),

    about: () => api.about(),
    register: (account) => api.register(account),
    async logIn(credentials) {
      const login = await api.logIn(device(), credentials);
      return begin(login.user, login);
    },
    async resume() {
      try {
        const login = await api.logIn(device());
        return await begin(login.user, login);
      } catch (error) {
        if (!(error instanceof CIMError)) throw error;
        if (error.code === 'unauthorized') return null;
        const stored = ports.settings.get('user');
        return stored ? begin(JSON.parse(stored), null) : null;
      }
    },
    async resetPassword(code, password) {
      await api.call('POST', '/v1/password-resets', { code, password }, false);
    },
    async changePassword(before, after) {
      const said = await api.call('PUT', '/v1/password', { password: before, new_password: after });
      if (said.token) api.token = said.token;
    },
    async logOut() {
      const { me, device: name, engine, history } = known();
      engine.leave();
      await api.call('DELETE', `/v1/sessions/${encodeURIComponent(name)}`);
      history.storage.close();
      await ports.databases.remove(`cim-${me.id}`);
      for (const key of ['user', 'device', 'token']) ports.settings.remove(key);
      here = null;
    },
    retry: () => here?.engine.wake(),
    async close() {
      here?.engine.leave();
      here = null;
    },

    send: (to, text, more = {}) => put({ conversation: to, kind: 'text', text, ...more }),
    edit: ({ conversation, position }, text) => put({ conversation, kind: 'edit', text, ref: position }),
    recall: ({ conversation, position }) => put({ conversation, kind: 'recall', text: '', ref: position }),
    react: ({ conversation, position }, text) => put({ conversation, kind: 'reaction', text, ref: position }),
    async outgoing(conversation) {
      const stored = await known().history.all('outbox');
      return stored
        .filter((one) => conversation === undefined || one.conversation === conversation)
        .sort((one, other) => one.order - other.order);
    },
    async again(clientId) {
      const { history } = known();
      const refused = await history.get('outbox', clientId);
      if (!refused || refused.state !== 'refused') throw new CIMError('not-found', 'there is no such refused message');
      const sent = await put(refused);
      await history.remove('outbox', clientId);
      return sent;
    },
    forget: (clientId) => known().history.remove('outbox', clientId),

    page(conversation, where = {}) {
      const { history, talks } = known();
      return pageOf(api, history, conversation, where, talks.get(conversation)?.latest ?? '');
    },
    search: (text, where = {}) => known().history.search(text, where),
    async markRead(conversation, position) {
      const { engine, talks } = known();
      const upto = position ?? talks.get(conversation)?.latest;
      if (upto) await engine.markRead(conversation, upto);
    },
    typing: (conversation) => here?.engine.typing(conversation),
    watch: (users) => here?.engine.watch(users.slice(0, 200)),
    isOnline: (user) => here?.online.get(user) ?? false,
    async draft(conversation) {
      return (await known().history.get('drafts', conversation))?.text ?? '';
    },
    setDraft(conversation, text) {
      const { history } = known();
      return text ? history.put('drafts', { conversation, text }) : history.remove('drafts', conversation);
    },

    findUsers: (prefix) => api.findUsers(prefix),
    user: (id) => api.user(id),
    userNamed: (name) => api.userNamed(name),
    conversationWith: (user) => between(known().me.id, user),
    async sessions() {
      const { sessions } = await api.call('GET', '/v1/sessions');
      const mine = known().device;
      return sessions.map((/** @type {any} */ one) => ({ ...one, mine: one.device === mine }));
    },
    async endSession(name) {
      await api.call('DELETE', `/v1/sessions/${encodeURIComponent(name)}`);
    },
    async blocks() {
      const { users } = await api.call('GET', '/v1/blocks');
      return Promise.all(users.map((/** @type {number} */ id) => client.user(id)));
    },
    async block(user) {
      await api.call('PUT', `/v1/blocks/${user}`);
    },
    async unblock(user) {
      await api.call('DELETE', `/v1/blocks/${user}`);
    },

    makeGroup: ({ name, open = false, history = false }) => api.call('POST', '/v1/groups', { name, open, history }),
    group: (id) => api.call('GET', `/v1/groups/${id}`),
    groups: () => api.groups(),
    async members(group) {
      const members = await api.all(`/v1/groups/${group}/members`, 'members');
      return Promise.all(
        members.map(async ({ user, role, name }) => ({ user, role, name: name ?? (await client.user(user)).name })),
      );
    },
    invitations: () => api.invitations(),
    invite: (group, user) => api.putMember(group, user),
    async join(group) {
      await api.putMember(group, known().me.id);
    },
    decline: (group) => api.deleteMember(group, known().me.id),
    leave: (group) => api.deleteMember(group, known().me.id),
    remove: (group, user) => api.deleteMember(group, user),
    async setRole(group, user, role) {
      await api.putMember(group, user, { role });
    },
    rename: (group, name) => api.call('PATCH', `/v1/groups/${group}`, { name }),
  };
  return client;
}
