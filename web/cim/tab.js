// A user in this tab: what is stored, the list of talks, and either the engine (in the tab that leads) or a way to it.
//
// Every tab reads what is stored by itself, and puts what is to be sent into the stored outbox by itself. The leader tells
// the others of what happens (`event`); they pass it what they want done (`command`), again to each new leader until one
// has confirmed it (`done`).

import { Engine } from './engine.js';
import { Groups, Names } from './groups.js';
import { History } from './history.js';
import { lastLines } from './paging.js';
import { Election } from './leader.js';
import { UserStorage } from './storage.js';
import { Talks } from './talks.js';

/** @typedef {import('./types.js').User} User */
/** @typedef {import('./types.js').State} State */
/** @typedef {{ name: string, values: any[] }} Command */

/** How long after a login last lines are fetched. */
const LAST_LINES_MS = 1_000;
/** The most users that are watched. */
const WATCHED = 200;

export class Tab {
  #ports;
  #api;
  #id;
  #device;
  #tell;
  #post;
  #talks;
  /** @type {Engine | null} */
  #engine = null;
  /** @type {Groups | null} */
  #groups = null;
  /** @type {Election | null} */
  #election = null;
  /** @type {import('./api.js').Login | null} */
  #login;
  // What was passed to the leader and is not confirmed.
  /** @type {Map<string, Command>} */
  #commands = new Map();
  /** Whom each tab watches. @type {Map<string, number[]>} */
  #watched = new Map();
  /** @type {Map<number, boolean>} */
  #online = new Map();
  #hidden = false;
  #over = false;

  /**
   * @param {{ ports: import('./ports.js').Ports, api: import('./api.js').Api, me: User, device: string,
   *   storage: UserStorage, login: import('./api.js').Login | null, tell: import('./events.js').Tell,
   *   post: (message: object) => boolean }} world `login` is one that is not used yet; `post` tells the other tabs, and
   *   whether there may be any
   */
  constructor({ ports, api, me, device, storage, login, tell, post }) {
    this.#ports = ports;
    this.#api = api;
    this.me = me;
    this.#device = device;
    this.#id = ports.newId();
    this.#login = login;
    this.#tell = tell;
    this.#post = post;
    this.storage = storage;
    this.history = new History(storage, me.id);
    this.names = new Names(api, this.history);
    this.#talks = new Talks(me.id);
    /** @type {State} */
    this.state = { name: 'connecting', since: ports.now() };
  }

  get device() {
    return this.#device;
  }

  get leads() {
    return this.#engine !== null;
  }

  get talks() {
    return this.#talks.list();
  }

  /** @param {string} conversation */
  talk(conversation) {
    return this.#talks.get(conversation);
  }

  /** @param {number} user */
  isOnline(user) {
    return this.#online.get(user) ?? false;
  }

  /** Show what is stored, and lead or follow. */
  async begin() {
    for (const talk of await this.history.all('talks')) this.#talks.put(talk);
    if (this.#over) return;
    this.#happened('state', this.state);
    // Without a database that all see, each tab is a device of its own.
    if (!this.storage.kept || !this.#post({ kind: 'here', from: this.#id })) {
      await this.#lead();
      return;
    }
    this.#elect();
  }

  /** Go: the session ends, or another tab takes it over. */
  leave() {
    this.#over = true;
    this.#stopLeading();
    this.#election?.leave();
    this.storage.close();
  }

  /** The page goes away, and may come back: let another tab lead at once. */
  hide() {
    if (!this.#election) return;
    this.#stopLeading();
    this.#election.leave();
    this.#election = null;
    this.#hidden = true;
  }

  /** The page came back, or the network did. */
  wake() {
    if (this.#hidden) this.#elect();
    else void this.command('wake');
  }

  /** The user logged in anew in another tab. */
  again() {
    this.#engine?.again();
  }

  /** The device has no network. */
  offline() {
    this.#engine?.offline();
  }

  /** Have something done by the tab that leads; resolves when that is this tab and it is done, or when it was passed on.
   * @param {string} name
   * @param {...any} values */
  async command(name, ...values) {
    if (this.#engine) await this.#run(this.#id, { name, values });
    else {
      const id = this.#ports.newId();
      const command = { name, values };
      // Those that are of the moment are not repeated.
      if (name !== 'typing' && name !== 'wake') this.#commands.set(id, command);
      this.#post({ kind: 'command', from: this.#id, id, command });
    }
  }

  /** Another tab of this user said something.
   * @param {any} message */
  heard(message) {
    if (this.#over) return;
    if (message.kind === 'event') {
      // What another tab wrote is told by that tab; all else by the leader.
      if (!this.leads || message.event === 'outgoing') this.#happened(message.event, message.value);
    } else if (message.kind === 'command') {
      if (this.leads) void this.#run(message.from, message.command).then(() => this.#post({ kind: 'done', id: message.id }));
    } else if (message.kind === 'done') this.#commands.delete(message.id);
    else {
      if (message.kind === 'bye') this.#watched.delete(message.from);
      // Who asks may be new: it learns the state along with who leads.
      if (message.kind === 'ask' && this.#engine) this.#post({ kind: 'event', event: 'state', value: this.state });
      this.#election?.heard(message);
    }
  }

  #elect() {
    this.#hidden = false;
    this.#election = new Election(this.#ports, this.#id, (word) => this.#post(word), (leads) => {
      if (leads) void this.#lead();
      else this.#follow();
    });
    this.#election.start();
  }

  async #lead() {
    const { me, history } = this;
    const world = { ports: this.#ports, api: this.#api, talks: this.#talks };
    const share = this.#share.bind(this);
    this.#groups = new Groups({ ...world, names: this.names, me: me.id }, (talk) => this.#changed(talk), (name) => this.#gone(name));
    this.#engine = new Engine({
      ...world,
      me,
      device: this.#device,
      history,
      tell: share,
      removed: (conversation, what, by) => {
        if (this.#talks.get(conversation)) this.#gone(conversation, { what, by });
        // It may have come in again since.
        this.#groups?.refresh();
      },
      rivals: async () => (this.#election ? this.#election.another() : false),
    });
    const login = this.#login;
    this.#login = null;
    await this.#engine.start(login);
    if (this.#watched.size) this.#watch();
    const commands = [...this.#commands.values()];
    this.#commands.clear();
    for (const command of commands) await this.#run(this.#id, command);
  }

  #follow() {
    this.#stopLeading();
    for (const [id, command] of this.#commands) this.#post({ kind: 'command', from: this.#id, id, command });
    const mine = this.#watched.get(this.#id);
    if (mine) void this.command('watch', mine);
  }

  #stopLeading() {
    this.#groups?.leave();
    this.#groups = null;
    const engine = this.#engine;
    this.#engine = null;
    engine?.leave();
  }

  /** Something happened in the engine: tell of it here and in the other tabs.
   * @type {import('./events.js').Tell} */
  #share(event, value) {
    this.#post({ kind: 'event', event, value });
    this.#happened(event, value);
    if (event === 'state' && /** @type {State} */ (value).name === 'online') {
      this.#groups?.refresh(0);
      // Most come by themselves meanwhile.
      this.#ports.later(LAST_LINES_MS, () => {
        if (this.#engine) void lastLines(this.#api, this.history, this.#talks, (talk) => this.#changed(talk));
      });
    }
    if (event === 'talk' && !(/** @type {import('./types.js').Talk} */ (value).title)) void this.#groups?.name();
    if (event === 'message') {
      const message = /** @type {import('./types.js').Message} */ (value);
      if (message.kind === 'members') this.#groups?.happened(message);
    }
  }

  /** @type {import('./events.js').Tell} */
  #happened(event, value) {
    /** @type {any} */
    const what = value;
    if (event === 'state') this.state = what;
    else if (event === 'talk' && !this.leads) this.#talks.put(what);
    else if (event === 'gone') this.#talks.remove(what.conversation);
    else if (event === 'presence') this.#online.set(what.user, what.online);
    this.#tell(event, value);
  }

  /** @param {import('./talks.js').Listed} talk */
  #changed(talk) {
    void this.history.putTalks(this.#talks, [talk.conversation]);
    this.#share('talk', talk);
  }

  /** @param {string} conversation
   * @param {{ what?: string, by?: number }} [how] */
  #gone(conversation, how = {}) {
    this.#engine?.drop(conversation);
    void this.history.remove('talks', conversation);
    this.#share('gone', { conversation, ...how });
  }

  /** Do what a tab wants done.
   * @param {string} from
   * @param {Command} command */
  async #run(from, { name, values }) {
    const engine = this.#engine;
    if (!engine) return;
    if (name === 'send') {
      const [outgoing, kept] = values;
      await engine.send(outgoing, kept && this.storage.kept);
    } else if (name === 'read') await engine.markRead(values[0], values[1]);
    else if (name === 'typing') engine.typing(values[0]);
    else if (name === 'wake') engine.wake();
    else if (name === 'groups') this.#groups?.refresh();
    else if (name === 'watch') {
      this.#watched.set(from, values[0]);
      this.#watch();
    }
  }

  #watch() {
    const users = [...new Set([...this.#watched.values()].reverse().flat())];
    this.#engine?.watch(users.slice(0, WATCHED));
  }
}
