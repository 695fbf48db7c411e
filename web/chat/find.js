/** What one looks for: talks, people and messages, by one field above the list of talks. */

import { el, fill } from '../shared/dom.js';
import { roving, settle } from '../shared/roving.js';
import { shownName, visibleText } from '../shared/visible.js';
import { errorText } from './errors.js';
import { pictureButton, sign } from './pictures.js';
import { titleOf } from './talk.js';
import { t } from './texts.js';
import { brief } from './times.js';

/**
 * @typedef {import('../cim/types.js').Client} Client
 * @typedef {import('../cim/types.js').Conversation} Conversation
 * @typedef {import('../cim/types.js').Message} Message
 * @typedef {import('../cim/types.js').Position} Position
 * @typedef {import('../cim/types.js').User} User
 */

/** People are found by so many characters of their names, and the wait after a key, ms. */
const PREFIX = 3;
const WAIT = 350;
const HITS = 30;

/**
 * Who is found by what was typed: by the beginning of names (what is short is taken for a whole name), or where the
 * directory has no beginnings by the whole name.
 * @param {Pick<Client, 'findUsers' | 'userNamed'>} client
 * @param {string} typed
 * @param {string} directory `prefix`, `exact` or `off`
 * @returns {Promise<User[]>}
 */
export async function findPeople(client, typed, directory) {
  const name = typed.trim();
  if (!name || directory === 'off') return [];
  if (directory === 'prefix') return client.findUsers(name);
  try {
    return [await client.userNamed(name)];
  } catch (error) {
    const { code } = /** @type {{ code?: string }} */ (error);
    if (code === 'not-found' || code === 'invalid') return [];
    throw error;
  }
}

/**
 * A text around the first place where it has what was looked for, in three parts.
 * @param {string} text
 * @param {string} sought
 * @returns {[string, string, string]}
 */
export function snippet(text, sought) {
  const line = text.replace(/\s+/g, ' ');
  const word = sought.trim().split(/\s+/)[0] ?? '';
  const at = line.toLowerCase().indexOf(word.toLowerCase());
  // What upper case is longer or shorter than lower case is shown from its beginning.
  if (at < 0 || !word || line.toLowerCase().length !== line.length) return [line.slice(0, 120), '', ''];
  const from = at > 40 ? at - 30 : 0;
  return [
    (from ? '…' : '') + line.slice(from, at),
    line.slice(at, at + word.length),
    line.slice(at + word.length, at + 120),
  ];
}

export class Find {
  /** @type {Conversation} */
  #within = '';
  #turn = 0;
  #clock = 0;
  #chat;

  /**
   * @param {{ client: Client, directory: () => string, open: (conversation: Conversation, position?: Position) => void, found: (showing: boolean) => void, back: () => void }} chat
   */
  constructor(chat) {
    this.#chat = chat;
    this.field = el('input', {
      type: 'search',
      'data-testid': 'find',
      'aria-label': t('find'),
      placeholder: t('find'),
      autocomplete: 'off',
      spellcheck: 'false',
      maxlength: 200,
      enterkeyhint: 'search',
    });
    this.scope = el('div', { class: 'scope row', hidden: true, 'data-testid': 'find-scope' });
    this.results = el('div', { class: 'results', hidden: true, 'data-testid': 'results' });
    this.status = el('p', { class: 'unseen', role: 'status' });
    this.node = el('search', { class: 'find' }, this.field, this.scope, this.status);
    this.field.addEventListener('input', () => this.#typed());
    this.field.addEventListener('keydown', (event) => this.#key(event));
    this.results.addEventListener('keydown', (event) => event.key === 'Escape' && this.clear());
    roving(this.results, '.hit');
  }

  /** Look within one talk. @param {Conversation} conversation @param {string} title */
  within(conversation, title) {
    this.#within = conversation;
    fill(
      this.scope,
      el('span', { class: 'grow small' }, t('find.within', { title })),
      pictureButton('close', t('find.everywhere'), { onclick: () => this.#everywhere() }),
    );
    this.scope.hidden = false;
    this.field.focus();
    this.field.select();
    this.#typed();
  }

  clear() {
    this.field.value = '';
    this.#within = '';
    this.scope.hidden = true;
    this.#show(false);
    this.field.focus();
  }

  #everywhere() {
    this.#within = '';
    this.scope.hidden = true;
    this.field.focus();
    this.#typed();
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.key === 'Escape' && (this.field.value || this.#within)) {
      event.preventDefault();
      this.clear();
    } else if (event.key === 'Enter') {
      this.#look();
    } else if (event.key === 'ArrowDown') {
      event.preventDefault();
      if (this.results.hidden) this.#chat.back();
      else /** @type {HTMLElement | null} */ (this.results.querySelector('.hit'))?.focus();
    }
  }

  #typed() {
    clearTimeout(this.#clock);
    this.#clock = window.setTimeout(() => this.#look(), WAIT);
  }

  /** @param {boolean} showing */
  #show(showing) {
    this.results.hidden = !showing;
    if (!showing) {
      clearTimeout(this.#clock);
      this.#turn += 1;
      this.status.textContent = '';
      fill(this.results);
    }
    this.#chat.found(showing);
  }

  async #look() {
    clearTimeout(this.#clock);
    const typed = this.field.value.trim();
    if (!typed) return this.#show(false);
    this.#turn += 1;
    const turn = this.#turn;
    const { client } = this.#chat;
    const within = this.#within;
    const [people, messages] = await Promise.allSettled([
      within ? Promise.resolve([]) : findPeople(client, typed, this.#chat.directory()),
      client.search(typed, within ? { conversation: within, limit: HITS } : { limit: HITS }),
    ]);
    if (turn !== this.#turn) return;
    const small = typed.toLowerCase();
    const talks = within ? [] : client.talks.filter((talk) => titleOf(talk).toLowerCase().includes(small)).slice(0, 10);
    const known = new Set(talks.map((talk) => talk.user));
    const others =
      people.status === 'fulfilled'
        ? people.value.filter((user) => !known.has(user.id) && user.id !== client.me?.id)
        : [];
    const found = messages.status === 'fulfilled' ? messages.value : [];
    const failed = [people, messages]
      .filter((one) => one.status === 'rejected')
      .map((one) => errorText(/** @type {PromiseRejectedResult} */ (one).reason, 'find'));
    const groups = [
      this.#group(
        t('find.talks'),
        talks.map((talk) =>
          this.#hit(talk.user || talk.group, titleOf(talk), '', 'found-talk', () => this.#open(talk.conversation)),
        ),
      ),
      this.#group(
        t('find.people'),
        others.map((user) =>
          this.#hit(user.id, shownName(user.name), '', 'found', () => this.#open(client.conversationWith(user.id))),
        ),
      ),
      this.#group(
        t('find.messages'),
        found.map((message) => this.#message(message, typed)),
      ),
    ];
    const total = talks.length + others.length + found.length;
    const hint = this.#hint(typed, within);
    fill(
      this.results,
      ...groups,
      total === 0 && el('p', { class: 'faint' }, t('find.nothing')),
      hint && el('p', { class: 'faint small' }, hint),
      ...failed.map((words) => el('p', { class: 'notice', role: 'alert' }, words)),
    );
    settle(/** @type {HTMLElement[]} */ ([...this.results.querySelectorAll('.hit')]));
    this.status.textContent = total ? t('find.count', { number: total }) : t('find.nothing');
    this.#show(true);
  }

  /** @param {string} typed @param {Conversation} within */
  #hint(typed, within) {
    if (within) return '';
    const directory = this.#chat.directory();
    if (directory === 'off') return t('find.off');
    if (directory !== 'prefix') return t('find.whole-name');
    return [...typed].length < PREFIX ? t('find.longer') : '';
  }

  /** @param {string} title @param {Node[]} hits */
  #group(title, hits) {
    return hits.length > 0 && el('section', {}, el('h2', {}, title), el('ul', {}, ...hits));
  }

  /**
   * @param {number} id
   * @param {string} name
   * @param {string} time
   * @param {string} testid
   * @param {() => void} open
   * @param {...Node} lower
   */
  #hit(id, name, time, testid, open, ...lower) {
    return el(
      'li',
      {},
      el(
        'button',
        { type: 'button', class: 'talk hit', 'data-testid': testid, 'data-user': id, tabindex: -1, onclick: open },
        sign(id, name),
        el(
          'span',
          { class: 'two' },
          el(
            'span',
            { class: 'upper' },
            el('bdi', { class: 'talk-title' }, name),
            el('span', { class: 'talk-time' }, time),
          ),
          ...lower,
        ),
      ),
    );
  }

  /** @param {Message} message @param {string} typed */
  #message(message, typed) {
    const talk = this.#chat.client.talks.find((one) => one.conversation === message.conversation);
    const [before, hit, after] = snippet(visibleText(message.text), typed);
    const where = talk ? titleOf(talk) : message.conversation;
    const by = message.mine
      ? t('last.mine', { words: '' })
      : talk?.user
        ? ''
        : t('last.by', { who: shownName(message.sender.name), words: '' });
    return this.#hit(
      talk ? talk.user || talk.group : 1,
      where,
      brief(message.sentAt, Date.now()),
      'found-message',
      () => this.#open(message.conversation, message.position),
      el('span', { class: 'found-text small', dir: 'auto' }, by, before, hit && el('mark', {}, hit), after),
    );
  }

  /** @param {Conversation} conversation @param {Position} [position] */
  #open(conversation, position) {
    // The hits stay for the next one, unless they were to find a talk.
    if (!position) {
      this.field.value = '';
      this.#show(false);
    }
    this.#chat.open(conversation, position);
  }
}
