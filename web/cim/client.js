// The client: what applications import. It joins the parts; each part says what it promises.

import { Api } from './api.js';
import { between, check } from './conversations.js';
import { CIMError } from './errors.js';
import { Listeners } from './events.js';
import { pageOf } from './paging.js';
import { sizeOf } from './packets.js';
import { UserStorage, databaseOf } from './storage.js';
import { Tab } from './tab.js';

export { CIMError } from './errors.js';
export { compare as comparePositions } from './positions.js';

/** @typedef {import('./types.js').Client} Client */
/** @typedef {import('./types.js').User} User */
/** @typedef {import('./types.js').Outgoing} Outgoing */
/** Who was here last. @typedef {User & { device: string }} Stored */

/** Text and data of a message together, in bytes. */
const MAX_CONTENT = 48 * 1024;
/** How many messages may wait. */
const MAX_WAITING = 1_000;

/** A client of one user at one system, idle until `logIn` or `resume`.
 * @param {import('./ports.js').Ports} given
 * @returns {Client} */
export function createClient(given) {
  // Who logs in by somebody else's tokens has no cookie.
  const ports = given.token ? { ...given, cookie: false } : given;
  const api = new Api(ports);
  const listeners = new Listeners();
  /** @type {Tab | null} */
  let tab = null;
  /** @type {import('./types.js').State} */
  let state = { name: 'idle', since: ports.now() };

  /** @type {import('./events.js').Tell} */
  const tell = (event, value) => {
    if (event === 'state') state = /** @type {import('./types.js').State} */ (value);
    listeners.tell(event, value);
  };

  const known = () => {
    if (!tab) throw new CIMError('unauthorized', 'nobody is logged in here');
    return tab;
  };

  /** @returns {Stored | null} */
  const stored = () => {
    try {
      return JSON.parse(ports.settings.get('user') || 'null');
    } catch {
      return null;
    }
  };

  const newDevice = () => `${ports.device}-${ports.newId().slice(0, 8)}`;

  // Between tabs: all that is said is about one user.
  const channel = ports.channel('cim', (message) => {
    if (!tab) return;
    if (message.user === tab.me.id) {
      if (message.kind === 'out') end('logged-out', 'This user was logged out in another tab.');
      else if (message.kind === 'in') tab.again();
      else tab.heard(message);
    } else if (message.kind === 'in') end('logged-out', 'Another user logged in in another tab.');
  });

  /** @param {number} user
   * @returns {(message: object) => boolean} */
  const postAs = (user) => (message) => {
    channel?.post({ ...message, user });
    return channel !== null;
  };

  /** Nobody is logged in here any more.
   * @param {string} code
   * @param {string} reason */
  const end = (code, reason) => {
    tab?.leave();
    tab = null;
    tell('state', { name: 'ended', since: ports.now(), code, reason });
  };

  /** Begin as a user, with what is stored of it.
   * @param {Stored} user
   * @param {import('./api.js').Login | null} login
   * @returns {Promise<User>} */
  const begin = async ({ id, name, device }, login) => {
    tab?.leave();
    const lost = (/** @type {string} */ reason) => tell('storage', { kept: false, reason });
    const storage = await UserStorage.open(ports.databases, id, lost);
    ports.settings.set('user', JSON.stringify({ id, name, device }));
    // The login that is ended by this one need not be ended any more.
    ports.settings.remove('leaving');
    // Tabs that do not see the same database are devices of their own.
    const alone = channel !== null && !storage.kept;
    const its = alone ? { device: newDevice(), login: null } : { device, login };
    // Somebody may have begun meanwhile.
    tab?.leave();
    const begun = (tab = new Tab({ ports, api, me: { id, name }, storage, tell, post: postAs(id), ...its }));
    await begun.begin();
    return begun.me;
  };

  /** Log in, and begin as whoever that is.
   * @param {string} device
   * @param {{ name: string, password: string }} [credentials] */
  const logIn = async (device, credentials) => {
    const login = await api.logIn(device, credentials);
    if (credentials || ports.token) channel?.post({ kind: 'in', user: login.user.id });
    return begin({ ...login.user, device }, login);
  };

  /** End the login of a device of whoever was here, and forget who that was; what cannot be done now the next visit does.
   * @param {string} device */
  const endLogin = async (device) => {
    // First: the page may be closed meanwhile.
    ports.settings.set('leaving', device);
    ports.settings.remove('user');
    try {
      await api.endSession(device);
    } catch (error) {
      // Somebody else's token may not allow it; nothing goes on by it.
      const codes = ['unauthorized', 'not-found', ...(ports.token ? ['forbidden'] : [])];
      const isOver = error instanceof CIMError && codes.includes(error.code);
      if (!isOver) throw error;
    }
    api.forget();
    ports.settings.remove('leaving');
  };

  const deaf = ports.wake((what) => {
    if (what === 'leaving') tab?.hide();
    else if (what === 'offline') tab?.offline();
    // A page that slept does not hear what the others say.
    else if (tab && stored()?.id !== tab.me.id) end('logged-out', 'This user was logged out in another tab.');
    else tab?.wake();
  });

  /** Something happened in this tab: tell of it here and in the others.
   * @type {import('./events.js').Tell} */
  const announce = (event, value) => {
    postAs(known().me.id)({ kind: 'event', event, value });
    tell(event, value);
  };

  /** Put a message into the outbox.
   * @param {Pick<Outgoing, 'conversation' | 'kind' | 'text'> & Partial<Outgoing>} message
   * @returns {Promise<Outgoing>} */
  const put = async ({ conversation, kind, text, data = null, contentType = '', ref = '', clientId = ports.newId() }) => {
    const { me, history } = known();
    check(conversation, me.id);
    const size = sizeOf(text) + (data?.length ?? 0);
    if (size > MAX_CONTENT) throw new CIMError('too-large', `the message has ${size} bytes; ${MAX_CONTENT} is the most`);
    if (!text && !data?.length && kind !== 'recall' && kind !== 'reaction') {
      throw new CIMError('invalid', 'a message must have a text or data', { field: 'text' });
    }
    const at = ports.now();
    /** @type {Outgoing} */
    const outgoing = { clientId, conversation, kind, text, data, contentType, ref, at, state: 'waiting' };
    const record = await history.storage.write(['outbox'], async (transaction) => {
      const same = await transaction.get('outbox', clientId);
      if (same && same.state !== 'refused') return null;
      if ((await transaction.count('outbox')) >= MAX_WAITING) {
        throw new CIMError('rate-limited', `${MAX_WAITING} messages are already waiting to be sent: try again later`);
      }
      const [before] = await transaction.range('outbox', { index: 'order', down: true, limit: 1 });
      const last = { ...outgoing, order: (before?.order ?? 0) + 1 };
      await transaction.put('outbox', last);
      return last;
    });
    if (!record) return outgoing;
    announce('outgoing', outgoing);
    await known().command('send', record, history.storage.kept);
    return outgoing;
  };

  /** @type {Client} */
  const client = {
    get state() {
      return state;
    },
    get me() {
      return tab?.me ?? null;
    },
    get talks() {
      return tab?.talks ?? [];
    },
    get leads() {
      return tab?.leads ?? false;
    },
    get kept() {
      return tab?.storage.kept ?? true;
    },
    on: (event, listener) => listeners.on(event, listener),

    about: () => api.about(),
    register: (account) => api.register(account),
    logIn(credentials) {
      const last = stored();
      if (!credentials) {
        if (!ports.token) return Promise.reject(new CIMError('invalid', 'a name and a password are needed'));
        // Whoever is here now: it may be somebody else than the last time.
        api.forget();
        return logIn(last?.device ?? newDevice());
      }
      const same = last?.name.toLowerCase() === credentials.name.toLowerCase();
      return logIn(last && same ? last.device : newDevice(), credentials);
    },
    async resume() {
      const leaving = ports.settings.get('leaving');
      if (leaving) {
        // There was no network when the user logged out, or no time.
        await endLogin(leaving).catch(() => {});
        return null;
      }
      const last = stored();
      return last ? begin(last, null) : null;
    },
    async resetPassword(code, password) {
      await api.call('POST', '/v1/password-resets', { code, password }, false);
    },
    changePassword: (before, after) => api.changePassword(before, after),
    async logOut() {
      const { me, device } = known();
      postAs(me.id)({ kind: 'out' });
      end('logged-out', 'You logged out.');
      // A tab that is frozen may keep the database from going, but not the login from ending.
      const wiped = ports.databases.remove(databaseOf(me.id));
      await Promise.all([wiped, endLogin(device)]);
    },
    retry: () => tab?.wake(),
    async close() {
      tab?.leave();
      tab = null;
      channel?.close();
      deaf();
      tell('state', { name: 'idle', since: ports.now() });
    },

    send: async (to, text, more = {}) => put({ conversation: to, kind: 'text', text, ...more }),
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
      const sent = await put({ ...refused, clientId: ports.newId() });
      await history.remove('outbox', clientId);
      return sent;
    },
    forget: async (clientId) => known().history.remove('outbox', clientId),

    page: async (conversation, where = {}) =>
      pageOf(api, known().history, conversation, where, known().talk(conversation)?.latest ?? ''),
    search: async (text, where = {}) => known().history.search(text, where),
    async markRead(conversation, position) {
      const upto = position ?? known().talk(conversation)?.latest;
      if (upto) await known().command('read', conversation, upto);
    },
    typing: (conversation) => void tab?.command('typing', conversation),
    watch: (users) => void tab?.command('watch', users),
    isOnline: (user) => tab?.isOnline(user) ?? false,
    async draft(conversation) {
      return (await known().history.get('drafts', conversation))?.text ?? '';
    },
    async setDraft(conversation, text) {
      const { history } = known();
      await (text ? history.put('drafts', { conversation, text }) : history.remove('drafts', conversation));
    },

    findUsers: (prefix) => api.findUsers(prefix),
    user: async (id) => known().names.user(id),
    userNamed: (name) => api.userNamed(name),
    conversationWith: (user) => between(known().me.id, user),
    async sessions() {
      const { sessions } = await api.call('GET', '/v1/sessions');
      const mine = known().device;
      return sessions.map((/** @type {any} */ one) => ({ ...one, mine: one.device === mine }));
    },
    endSession: (device) => api.endSession(device),
    async blocks() {
      const { users } = await api.call('GET', '/v1/blocks');
      return known().names.users(users);
    },
    async block(user) {
      await api.call('PUT', `/v1/blocks/${user}`);
    },
    async unblock(user) {
      await api.call('DELETE', `/v1/blocks/${user}`);
    },
    async report({ conversation, position }, reason = '') {
      const { repeated } = await api.call('POST', '/v1/reports', { conversation, position, reason });
      return !repeated;
    },

    registerPush: (push) => api.call('PUT', '/v1/pushes', { ...push, device: known().device }),
    async pushes() {
      return (await api.call('GET', '/v1/pushes')).pushes;
    },
    async unregisterPush(id) {
      await api.call('DELETE', `/v1/pushes/${id}`);
    },
    async muteTalk(conversation, until) {
      await api.call('PUT', `/v1/conversations/${conversation}/mute`, until === undefined ? {} : { until });
    },
    async unmuteTalk(conversation) {
      await api.call('DELETE', `/v1/conversations/${conversation}/mute`);
    },

    async makeGroup({ name, open = false, history = false }) {
      const group = await api.call('POST', '/v1/groups', { name, open, history });
      await known().command('groups');
      return group;
    },
    group: (id) => api.call('GET', `/v1/groups/${id}`),
    groups: () => api.groups(),
    async members(group) {
      const members = await api.all(`/v1/groups/${group}/members`, 'members');
      const nameless = members.filter(({ name }) => !name).map(({ user }) => user);
      const names = new Map((await known().names.users(nameless)).map(({ id, name }) => [id, name]));
      return members.map(({ user, role, name, muted = null }) => ({
        user,
        role,
        name: name || (names.get(user) ?? ''),
        muted,
      }));
    },
    invitations: () => api.invitations(),
    invite: (group, user) => api.putMember(group, user),
    async join(group) {
      await api.putMember(group, known().me.id);
      await known().command('groups');
    },
    decline: async (group) => api.deleteMember(group, known().me.id),
    async leave(group) {
      await api.deleteMember(group, known().me.id);
      await known().command('groups');
    },
    remove: (group, user) => api.deleteMember(group, user),
    async setRole(group, user, role) {
      await api.putMember(group, user, { role });
    },
    rename: (group, name) => api.call('PATCH', `/v1/groups/${group}`, { name }),
    editGroup: (group, change) => api.call('PATCH', `/v1/groups/${group}`, change),
    async mute(group, user, seconds) {
      await api.call('PUT', mutePath(group, user), seconds === undefined ? {} : { seconds });
    },
    async unmute(group, user) {
      await api.call('DELETE', mutePath(group, user));
    },
    async ban(group, user) {
      await api.call('PUT', `/v1/groups/${group}/bans/${user}`);
    },
    async unban(group, user) {
      await api.call('DELETE', `/v1/groups/${group}/bans/${user}`);
    },
    bans: async (group) => (await api.call('GET', `/v1/groups/${group}/bans`)).bans,
    changeMembers: async (group, change) => (await api.call('POST', `/v1/groups/${group}/members`, change)).results,
    async dissolve(group) {
      let members;
      do ({ members } = await api.call('DELETE', `/v1/groups/${group}`));
      while (members);
      await known().command('groups');
    },
  };
  return client;
}

/** @param {number} group
 * @param {number} user 0 for all but admins and owners */
const mutePath = (group, user) => `/v1/groups/${group}/${user ? `members/${user}/` : ''}mute`;
