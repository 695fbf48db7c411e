/** The talk that is open: who it is with, its messages, and the field in which one writes. */

import { el, fill } from '../shared/dom.js';
import { shownName } from '../shared/visible.js';
import { actions } from './actions.js';
import { Composer } from './composer.js';
import { ask, notice } from './dialog.js';
import { errorText } from './errors.js';
import { leaveDraft, takeDraft } from './memory.js';
import { mutedWords } from './muted.js';
import { pictureButton, sign } from './pictures.js';
import { openReport } from './report.js';
import { count, t } from './texts.js';
import { Timeline } from './timeline.js';

/**
 * @typedef {import('../cim/types.js').Client} Client
 * @typedef {import('../cim/types.js').Message} Message
 * @typedef {import('../cim/types.js').Talk} Talk
 * @typedef {import('./names.js').Names} Names
 */

/** So long somebody types who was told to, ms. */
const TYPES = 5000;

/**
 * What a talk is called.
 * @param {Talk} talk
 */
export function titleOf(talk) {
  return talk.conversation === 'g:0' ? t('everyone') : shownName(talk.title) || String(talk.user || talk.group);
}

/** @param {Talk} talk @param {number} now ms since 1970 */
export function isMuted({ mutedUntil }, now) {
  return mutedUntil > now;
}

export class OpenTalk {
  /** @type {Map<number, number>} user -> until when */
  #typing = new Map();
  #clock = 0;
  #members = 0;
  #client;
  #names;

  /**
   * @param {Talk} talk
   * @param {{ client: Client, names: Names, back: () => void, details: (invite?: boolean) => void, search: () => void, drafted: (text: string) => void }} chat
   */
  constructor(talk, { client, names, back, details, search, drafted }) {
    this.talk = talk;
    this.#client = client;
    this.#names = names;
    this.problem = notice();
    const { conversation } = talk;
    /** @param {Promise<unknown>} done */
    const tried = (done) => done.then(() => this.problem.say('')).catch((error) => this.problem.say(errorText(error)));
    const react = (/** @type {Message} */ message, /** @type {string} */ text) => tried(client.react(message, text));
    const forget = async (/** @type {string} */ clientId) => {
      await client.forget(clientId);
      this.timeline.forgotten(clientId);
    };
    const again = async (/** @type {string} */ clientId) => {
      await client.again(clientId);
      this.timeline.forgotten(clientId);
    };
    const invite = talk.group && talk.role !== 'member' ? () => details(true) : null;
    const around = {
      names,
      me: client.me?.id ?? 0,
      named: talk.user === 0,
      react,
      again: (/** @type {string} */ clientId) => tried(again(clientId)),
      forget: (/** @type {string} */ clientId) => tried(forget(clientId)),
    };
    this.timeline = new Timeline(talk, client, around, invite);
    this.composer = new Composer({
      send: async (text) => {
        await client.send(conversation, text);
        await this.timeline.toEnd(true);
      },
      edit: (message, text) => client.edit(message, text),
      keep: async (text) => {
        drafted(text);
        try {
          await client.setDraft(conversation, text);
        } catch {
          // Nobody is logged in any more, or there is no space: the draft stays as long as the page.
        }
      },
      typing: () => client.typing(conversation),
      last: () => this.timeline.lastOwn(),
      failed: (error) => this.problem.say(errorText(error, 'send')),
    });
    actions(this.timeline.node, {
      at: (position) => this.timeline.at(position),
      react,
      edit: (message) => this.composer.edit(message),
      recall: async (message) => {
        if (await ask(t('recall.sure'), t('recall'))) await tried(client.recall(message));
      },
      report: (message) => openReport(message, client),
    });
    this.heading = el('h2', { 'data-testid': 'title', tabindex: -1 });
    this.line = el('p', { class: 'faint small', 'data-testid': 'presence' });
    this.typingLine = el('p', { class: 'typing faint small', 'data-testid': 'typing' });
    this.picture = el('span', { class: 'sign-place' });
    const mute = () => {
      const done = isMuted(this.talk, Date.now()) ? client.unmuteTalk(conversation) : client.muteTalk(conversation);
      tried(done);
    };
    this.bell = el('span', { class: 'sign-place', 'data-testid': 'bell' });
    this.bell.addEventListener('click', mute);
    this.node = el(
      'section',
      { class: 'talk-view', 'aria-label': titleOf(talk) },
      el(
        'header',
        { class: 'bar' },
        pictureButton('back', t('back'), { class: 'plain square narrow-only', 'data-testid': 'back', onclick: back }),
        this.picture,
        el('div', { class: 'grow' }, this.heading, this.line),
        this.bell,
        pictureButton('search', t('search.here'), { 'data-testid': 'search-here', onclick: search }),
        conversation !== 'g:0' &&
          pictureButton(talk.group ? 'group' : 'info', t(talk.group ? 'members.show' : 'about'), {
            'data-testid': talk.group ? 'members' : 'about',
            onclick: () => details(),
          }),
      ),
      this.timeline.node,
      this.typingLine,
      this.problem,
      this.composer.node,
    );
    this.update(talk);
  }

  async open() {
    const { conversation, group } = this.talk;
    const left = takeDraft(this.#client.me?.id ?? 0, conversation);
    if (left !== null) {
      this.composer.start(left);
      this.composer.keep();
    } else
      this.#client
        .draft(conversation)
        .then((text) => this.composer.start(text))
        .catch(() => {});
    if (group) this.#count();
    await this.timeline.open();
  }

  close() {
    clearTimeout(this.#clock);
    this.composer.keep();
    this.timeline.close();
  }

  /** The page goes away, perhaps for good. */
  leave() {
    leaveDraft(this.#client.me?.id ?? 0, this.talk.conversation, this.composer.draft);
    this.composer.keep();
  }

  /** @param {Talk} talk as it is now */
  update(talk) {
    this.talk = talk;
    this.timeline.talk(talk);
    this.#head();
    this.mute();
  }

  /** Say that one is muted, until one is not. */
  mute() {
    this.composer.mute(mutedWords(this.talk));
  }

  /** @param {Message} message */
  add(message) {
    this.#typing.delete(message.sender.id);
    if (message.kind === 'members') this.#count();
    if (this.#typing.size || this.typingLine.textContent) this.#sayTyping();
    this.timeline.add(message);
  }

  /** @param {number} user */
  types(user) {
    if (user === this.#client.me?.id) return;
    this.#typing.set(user, Date.now() + TYPES);
    this.#sayTyping();
  }

  /** Names or presence changed. */
  renew() {
    this.#head();
    this.timeline.renew();
  }

  head() {
    this.#head();
  }

  /** Ask how many the members are. */
  async #count() {
    try {
      this.#members = (await this.#client.group(this.talk.group)).members;
      this.#head();
    } catch (error) {
      // Who was removed is not told.
      const { code } = /** @type {{ code?: string }} */ (error);
      if (code === 'forbidden' || code === 'not-found')
        this.problem.say(t('group.gone', { title: titleOf(this.talk) }));
    }
  }

  #head() {
    const { talk } = this;
    const title = titleOf(talk);
    if (this.heading.textContent !== title) {
      fill(this.heading, el('bdi', {}, title));
      fill(this.picture, sign(talk.user || talk.group, title));
    }
    const muted = String(isMuted(talk, Date.now()));
    if (this.bell.dataset.muted !== muted) {
      this.bell.dataset.muted = muted;
      const [shown, label] = muted === 'true' ? ['bell-off', 'talk.unmute'] : ['bell', 'talk.mute'];
      fill(this.bell, pictureButton(/** @type {any} */ (shown), t(label), { 'data-testid': 'mute' }));
    }
    const online = talk.user !== 0 && this.#client.isOnline(talk.user);
    const words = talk.user
      ? t(online ? 'online' : 'offline')
      : talk.conversation === 'g:0'
        ? t('everyone.about')
        : this.#members
          ? count('members', this.#members)
          : '';
    // Writing what is there already would have the page laid out anew.
    if (this.line.textContent === words) return;
    this.line.textContent = words;
    this.line.dataset.online = String(online);
  }

  #sayTyping() {
    clearTimeout(this.#clock);
    const now = Date.now();
    for (const [user, until] of this.#typing) if (until <= now) this.#typing.delete(user);
    const who = [...this.#typing.keys()];
    this.typingLine.textContent =
      who.length === 0
        ? ''
        : who.length > 2
          ? count('typing', who.length)
          : who.length === 2
            ? t('typing.two', { one: this.#names.of(who[0]), other: this.#names.of(who[1]) })
            : t('typing.one', { who: this.#names.of(who[0]) });
    if (who.length) this.#clock = window.setTimeout(() => this.#sayTyping(), 1000);
  }
}
