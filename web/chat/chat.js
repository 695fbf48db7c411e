/** The chat as a whole: the list at the left, the open talk at the right, and who tells whom what happened. */

import { el, fill, perFrame } from '../shared/dom.js';
import { shownName } from '../shared/visible.js';
import { Announcer } from './announcer.js';
import { Banner } from './banner.js';
import { notice } from './dialog.js';
import { errorText } from './errors.js';
import { Find } from './find.js';
import { Invitations } from './invitations.js';
import { forgetDraft } from './memory.js';
import { Names } from './names.js';
import { Notifications } from './notifications.js';
import { pictureButton, sign } from './pictures.js';
import { OpenTalk, titleOf } from './talk.js';
import { Talks } from './talks.js';
import { has, setLanguage, t } from './texts.js';

/**
 * @typedef {import('../cim/types.js').Client} Client
 * @typedef {import('../cim/types.js').Conversation} Conversation
 * @typedef {import('../cim/types.js').Message} Message
 * @typedef {import('../cim/types.js').Position} Position
 * @typedef {import('../cim/types.js').Talk} Talk
 * @typedef {import('../cim/types.js').User} User
 */

/** What is not needed at first, by when it is loaded all the same, ms: later there may be no connection. */
const groups = () => import('./groups.js');
const people = () => import('./people.js');
const settings = () => import('./settings.js');
const login = () => import('./login.js');
const picker = () => import('./picker.js');
const SOON = 3000;

/** The most users whose coming and going is reported. */
const WATCHED = 200;

export class Chat {
  /** @type {OpenTalk | null} */
  #open = null;
  /** @type {(() => void)[]} */
  #ends = [];
  #watched = '';
  #directory = 'prefix';
  #over = false;
  /** What was opened last; what took longer is dropped. */
  #turns = 0;
  #user;
  #client;
  #left;

  /**
   * @param {Client} client that is logged in
   * @param {User} user
   * @param {() => void} left called when the user logged out
   */
  constructor(client, user, left) {
    this.#client = client;
    this.#user = user;
    this.#left = left;
    const open = (/** @type {Conversation} */ conversation, /** @type {Position} */ position = '') =>
      this.open(conversation, position);
    const renew = perFrame(() => {
      this.#open?.renew();
      this.talks.schedule();
    });
    this.names = new Names(client, renew);
    this.talks = new Talks({ client, names: this.names, open });
    this.notifications = new Notifications(client, open);
    this.announcer = new Announcer();
    this.banner = new Banner(client, () => this.#logInAgain());
    this.find = new Find({
      client,
      directory: () => this.#directory,
      open,
      found: (showing) => (this.talks.node.hidden = showing),
      back: () => this.talks.focus(),
    });
    this.invitations = new Invitations(client, open, (error) => this.#say(errorText(error)));
    this.notKept = el(
      'p',
      { class: 'notice warn', role: 'status', 'data-testid': 'not-kept', hidden: client.kept },
      t('not-kept'),
    );
    this.problem = notice();
    this.main = el('main', { class: 'talk-place' });
    const name = shownName(user.name);
    this.node = el(
      'div',
      { class: 'chat', 'data-testid': 'chat' },
      this.banner.node,
      el(
        'nav',
        { class: 'side', 'aria-label': t('talks') },
        el(
          'header',
          { class: 'bar' },
          sign(user.id, name),
          el('h1', { class: 'grow' }, el('bdi', { 'data-testid': 'me' }, name)),
          pictureButton('plus', t('group.new'), { 'data-testid': 'new-group', onclick: () => this.#newGroup() }),
          pictureButton('settings', t('settings'), { 'data-testid': 'settings', onclick: () => this.#settings() }),
        ),
        this.find.node,
        this.problem,
        this.notKept,
        this.invitations.node,
        this.find.results,
        this.talks.node,
      ),
      this.main,
      this.announcer.node,
    );
    this.#listen();
    this.#show(null);
  }

  /** Begin: what is stored at once, and what the page's address names. */
  start() {
    this.talks.schedule();
    this.notifications.count();
    this.#ends.push(this.notifications.start());
    this.#watch();
    this.#client
      .about()
      .then((about) => (this.#directory = about.directory ?? 'exact'))
      .catch(() => {});
    this.invitations.start();
    for (const { conversation } of this.#client.talks.slice(0, 50)) {
      this.#client
        .draft(conversation)
        .then((text) => this.talks.draft(conversation, text))
        .catch(() => {});
    }
    this.#address();
    const soon = setTimeout(() => {
      if (this.#client.state.name === 'online') Promise.allSettled([groups(), people(), settings(), login(), picker()]);
    }, SOON);
    // Today becomes yesterday.
    const minute = setInterval(() => {
      this.talks.schedule();
      this.#open?.timeline.schedule();
      this.#open?.mute();
    }, 60_000);
    this.#ends.push(
      () => clearTimeout(soon),
      () => clearInterval(minute),
    );
  }

  close() {
    this.#open?.close();
    this.#open = null;
    for (const end of this.#ends) end();
    document.title = 'CIM';
  }

  #listen() {
    const client = this.#client;
    const watch = perFrame(() => this.#watch());
    this.#ends.push(
      client.on('state', () => {
        this.banner.update();
        if (client.state.name !== 'ended' || client.state.code === 'replaced') return;
        // Without a user it was this browser that logged out, here or in another tab: nothing of the user stays in sight.
        if (client.me) this.#logInAgain();
        else this.#leave();
      }),
      client.on('talk', (talk) => {
        if (talk.user) this.names.learn(talk.user, talk.title);
        this.talks.schedule();
        this.notifications.count();
        if (!talk.unread) this.notifications.read(talk.conversation);
        watch();
        if (this.#open?.talk.conversation === talk.conversation) this.#open.update(talk);
      }),
      client.on('gone', ({ conversation, what = '', by = 0 }) => {
        this.talks.schedule();
        const open = this.#open?.talk;
        if (open?.conversation !== conversation) return;
        const key = has(`group.gone.${what}`) ? `group.gone.${what}` : 'group.gone';
        this.#say(t(key, { title: titleOf(open), by: by ? this.names.of(by) : t('operator') }));
        this.#leaveTalk();
      }),
      client.on('message', (message) => {
        this.names.learn(message.sender.id, message.sender.name);
        this.notifications.heard(message);
        if (this.#open?.talk.conversation !== message.conversation) return;
        this.#open.add(message);
        this.announcer.heard(message);
      }),
      client.on('changed', (message) => {
        this.talks.schedule();
        if (this.#open?.talk.conversation === message.conversation) this.#open.timeline.changed(message);
      }),
      client.on('outgoing', (item) => {
        if (this.#open?.talk.conversation === item.conversation) this.#open.timeline.outgoing(item);
      }),
      client.on('typing', ({ conversation, user }) => {
        if (this.#open?.talk.conversation === conversation) this.#open.types(user);
      }),
      client.on('presence', () => {
        this.talks.schedule();
        this.#open?.head();
      }),
      client.on('invited', (invitation) => this.invitations.add(invitation)),
      client.on('reset', ({ conversation }) => {
        this.talks.schedule();
        if (this.#open?.talk.conversation === conversation) this.#open.timeline.reset();
      }),
      client.on('storage', ({ kept }) => (this.notKept.hidden = kept)),
    );
    const onPlace = () => this.#address();
    const onHide = () => this.#open?.leave();
    const onKey = (/** @type {KeyboardEvent} */ event) => this.#key(event);
    addEventListener('popstate', onPlace);
    addEventListener('pagehide', onHide);
    document.addEventListener('keydown', onKey);
    this.#ends.push(() => {
      removeEventListener('popstate', onPlace);
      removeEventListener('pagehide', onHide);
      document.removeEventListener('keydown', onKey);
    });
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (document.querySelector('dialog[open]')) return;
    if (event.key === 'k' && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      this.#back();
      this.find.field.focus();
    } else if (event.key === 'Escape' && this.main.contains(document.activeElement)) {
      if (document.activeElement === this.#open?.composer.area) {
        this.#back();
        this.talks.focus();
      } else this.#open?.composer.area.focus();
    }
  }

  /** Open the talk that the page's address names. */
  #address() {
    const found = /^#\/(p:([1-9]\d*):([1-9]\d*)|g:(?:0|[1-9]\d*))$/.exec(location.hash);
    // Anybody can make a link; one to a talk of others leads nowhere.
    if (found && (!found[2] || found.slice(2).includes(String(this.#user.id)))) this.#turn(found[1]);
    else this.#show(null);
  }

  /** @param {Conversation} conversation @param {Position} [position] to jump to */
  open(conversation, position = '') {
    const place = `#/${conversation}`;
    if (location.hash !== place) history.pushState(null, '', place);
    this.#turn(conversation, position);
  }

  /** @param {Conversation} conversation @param {Position} [position] */
  async #turn(conversation, position = '') {
    this.#turns += 1;
    const turn = this.#turns;
    if (this.#open?.talk.conversation !== conversation) {
      const talk =
        this.#client.talks.find((one) => one.conversation === conversation) ?? (await this.#newTalk(conversation));
      // Another talk was opened meanwhile.
      if (turn !== this.#turns) return;
      if (!talk) return this.#show(null);
      const opened = new OpenTalk(talk, {
        client: this.#client,
        names: this.names,
        back: () => this.#back(),
        details: (invite) => this.#details(invite),
        search: () => this.#search(),
        drafted: (text) => this.talks.draft(conversation, text),
      });
      this.#show(opened);
      await opened.open();
      if (turn !== this.#turns) return;
    }
    this.node.classList.add('reading');
    if (position) await this.#open?.timeline.jump(position);
    else if (!matchMedia('(pointer: coarse)').matches) this.#open?.composer.area.focus();
  }

  /** A talk in which nothing was said yet. @param {Conversation} conversation @returns {Promise<Talk | null>} */
  async #newTalk(conversation) {
    const [kind, ...ids] = conversation.split(':');
    /** @type {Talk} */
    const talk = {
      ...{ conversation, title: '', user: 0, group: 0, last: null, unread: 0, read: '', readBy: {}, role: '' },
      ...{ muted: null, groupMuted: null },
      mutedUntil: 0,
    };
    try {
      if (kind === 'p') {
        talk.user = ids.map(Number).find((id) => id !== this.#user.id) ?? this.#user.id;
        talk.title = (await this.#client.user(talk.user)).name;
        this.names.learn(talk.user, talk.title);
      } else if (ids[0] !== '0') {
        talk.group = Number(ids[0]);
        talk.title = (await this.#client.group(talk.group)).name;
      }
      return talk;
    } catch (error) {
      this.#say(errorText(error));
      return null;
    }
  }

  /** @param {OpenTalk | null} opened */
  #show(opened) {
    this.#open?.close();
    this.#open = opened;
    this.node.classList.toggle('reading', opened !== null);
    this.talks.choose(opened?.talk.conversation ?? '');
    fill(this.main, opened?.node ?? this.#nothing());
    this.#watch();
  }

  /** What stands where no talk is open. */
  #nothing() {
    return el(
      'div',
      { class: 'nothing' },
      el('h2', {}, t('nothing')),
      el('p', { class: 'faint' }, t('nothing.what')),
      el(
        'div',
        { class: 'row' },
        el('button', { type: 'button', class: 'main', onclick: () => this.find.field.focus() }, t('nothing.find')),
        el('button', { type: 'button', onclick: () => this.#newGroup() }, t('group.new')),
        el('button', { type: 'button', 'data-testid': 'everyone', onclick: () => this.open('g:0') }, t('everyone')),
      ),
      !isSecureContext && el('p', { class: 'faint small', 'data-testid': 'insecure' }, t('notifications.insecure')),
    );
  }

  /** To the list of talks, where the page has one column. */
  #back() {
    this.node.classList.remove('reading');
    if (matchMedia('(max-width: 45rem)').matches && location.hash) {
      history.pushState(null, '', location.pathname);
      this.#show(null);
      this.talks.focus();
    }
  }

  #leaveTalk() {
    history.replaceState(null, '', location.pathname);
    this.#show(null);
  }

  /**
   * Go on with a part of the page that may have to be loaded first.
   * @template T
   * @param {() => Promise<T>} load
   * @param {(part: T) => void} run
   */
  async #with(load, run) {
    try {
      run(await load());
    } catch {
      this.#say(t('error.part'));
    }
  }

  /** @param {string} words about what went wrong */
  #say(words) {
    this.problem.say(words);
    setTimeout(() => this.problem.say(''), 10_000);
  }

  #newGroup() {
    this.#with(groups, ({ newGroup }) => newGroup(this.#client, (conversation) => this.open(conversation)));
  }

  /** @param {boolean} [invite] whether it is to invite somebody to a group */
  #details(invite) {
    const talk = this.#open?.talk;
    if (talk?.group)
      this.#with(groups, ({ GroupDetails }) =>
        new GroupDetails(this.#client, talk.group, this.#directory).open(invite),
      );
    else if (talk) this.#with(people, ({ aboutPerson }) => aboutPerson(this.#client, talk.user, titleOf(talk)));
  }

  #search() {
    const talk = this.#open?.talk;
    if (!talk) return;
    this.node.classList.remove('reading');
    this.find.within(talk.conversation, titleOf(talk));
  }

  #settings() {
    const speak = (/** @type {string} */ language) => {
      setLanguage(language);
      location.reload();
    };
    const { notifications } = this;
    const leave = async () => {
      await this.notifications.left();
      await this.#client.logOut();
      this.#leave();
    };
    this.#with(settings, ({ openSettings }) => openSettings({ client: this.#client, speak, notifications, leave }));
  }

  /** To the first page, once. */
  #leave() {
    if (this.#over) return;
    this.#over = true;
    forgetDraft();
    history.replaceState(null, '', location.pathname);
    this.#left();
  }

  #logInAgain() {
    this.#with(login, ({ logInAgain }) =>
      logInAgain(this.#client, this.#user.name, (user) => {
        // Somebody else sees their own talks, and nothing of these.
        if (user.id !== this.#user.id) location.reload();
        else this.banner.update();
      }),
    );
  }

  /** Hear whether those in the list are online, the newest first. */
  #watch() {
    const users = this.#client.talks.map((talk) => talk.user).filter((user) => user !== 0);
    const open = this.#open?.talk.user;
    if (open) users.unshift(open);
    const wanted = [...new Set(users)].slice(0, WATCHED).sort((one, other) => one - other);
    const key = wanted.join();
    if (key === this.#watched) return;
    this.#watched = key;
    this.#client.watch(wanted);
  }
}
