/** The list of talks at the left, and the invitations above it. */

import { el, fill, perFrame } from '../shared/dom.js';
import { roving, settle } from '../shared/roving.js';
import { shownName, visibleText } from '../shared/visible.js';
import { changeLines } from './message.js';
import { picture, sign } from './pictures.js';
import { isMuted, titleOf } from './talk.js';
import { count, number, t } from './texts.js';
import { brief } from './times.js';

/**
 * @typedef {import('../cim/types.js').Client} Client
 * @typedef {import('../cim/types.js').Conversation} Conversation
 * @typedef {import('../cim/types.js').Talk} Talk
 * @typedef {import('./names.js').Names} Names
 */

/** How many talks are shown, and how many more each time. */
const SHOWN = 100;
/** The list changes so often at most, ms. */
const PAUSE = 100;

export class Talks {
  /** @type {Map<Conversation, { node: HTMLElement, looks: string }>} */
  #nodes = new Map();
  /** @type {Map<Conversation, string>} */
  #drafts = new Map();
  /** @type {Conversation} */
  #chosen = '';
  #shown = SHOWN;
  #client;
  #names;
  #open;

  /** @param {{ client: Client, names: Names, open: (conversation: Conversation) => void }} chat */
  constructor({ client, names, open }) {
    this.#client = client;
    this.#names = names;
    this.#open = open;
    this.schedule = perFrame(() => this.#render(), PAUSE);
    this.list = el('ul', { class: 'talks', 'aria-label': t('talks'), 'data-testid': 'talks' });
    this.more = el('button', { type: 'button', class: 'plain', hidden: true }, t('talks.more'));
    this.more.addEventListener('click', () => {
      this.#shown += SHOWN;
      this.schedule();
    });
    this.node = el('div', { class: 'talks-box' }, this.list, this.more);
    roving(this.list, 'button');
    this.list.addEventListener('click', (event) => {
      const button = event.target instanceof Element ? event.target.closest('button') : null;
      if (button) this.#open(button.dataset.conversation ?? '');
    });
  }

  /** @param {Conversation} conversation which is open, or '' */
  choose(conversation) {
    this.#chosen = conversation;
    this.#render();
  }

  /** @param {Conversation} conversation @param {string} text */
  draft(conversation, text) {
    if ((this.#drafts.get(conversation) ?? '') === text) return;
    this.#drafts.set(conversation, text);
    this.schedule();
  }

  /** Where one goes on by the keyboard. */
  focus() {
    /** @type {HTMLElement | null} */ (
      this.list.querySelector('[aria-current]') ?? this.list.querySelector('button')
    )?.focus();
  }

  #render() {
    const talks = this.#client.talks.slice(0, this.#shown);
    this.more.hidden = this.#client.talks.length <= this.#shown;
    const wanted = new Set(talks.map((talk) => talk.conversation));
    for (const [conversation, { node }] of this.#nodes) {
      if (wanted.has(conversation)) continue;
      node.remove();
      this.#nodes.delete(conversation);
    }
    const now = Date.now();
    let next = this.list.firstElementChild;
    for (const talk of talks) {
      let shown = this.#nodes.get(talk.conversation);
      if (!shown) {
        const button = el('button', {
          type: 'button',
          class: 'talk',
          'data-testid': 'talk',
          'data-conversation': talk.conversation,
          tabindex: -1,
        });
        shown = { node: el('li', {}, button), looks: '' };
        this.#nodes.set(talk.conversation, shown);
      }
      this.#draw(talk, shown, now);
      if (shown.node === next) next = next.nextElementSibling;
      else {
        const focused = document.activeElement;
        this.list.insertBefore(shown.node, next);
        if (focused instanceof HTMLElement && focused !== document.activeElement && shown.node.contains(focused))
          focused.focus();
      }
    }
    const buttons = /** @type {HTMLElement[]} */ ([...this.list.querySelectorAll('button')]);
    settle(
      buttons,
      /** @type {HTMLElement | null} */ (this.list.contains(document.activeElement) ? document.activeElement : null),
    );
  }

  /** @param {Talk} talk @param {{ node: HTMLElement, looks: string }} shown @param {number} now */
  #draw(talk, shown, now) {
    const title = titleOf(talk);
    const chosen = talk.conversation === this.#chosen;
    const draft = chosen ? '' : (this.#drafts.get(talk.conversation) ?? '').trim();
    const last = draft ? oneLine(draft) : this.#last(talk);
    const time = talk.last ? brief(talk.last.sentAt, now) : '';
    const online = talk.user !== 0 && this.#client.isOnline(talk.user);
    const muted = isMuted(talk, now);
    const looks = [title, chosen, draft !== '', last, time, online, muted, talk.unread].join('\0');
    if (looks === shown.looks) return;
    shown.looks = looks;
    const button = /** @type {HTMLElement} */ (shown.node.firstElementChild);
    if (chosen) button.setAttribute('aria-current', 'true');
    else button.removeAttribute('aria-current');
    button.dataset.unread = String(talk.unread);
    fill(
      button,
      el('span', { class: `sign-place ${online ? 'online' : ''}` }, sign(talk.user || talk.group, title)),
      el(
        'span',
        { class: 'two' },
        el(
          'span',
          { class: 'upper' },
          el('bdi', { class: 'talk-title', 'data-testid': 'talk-title' }, title),
          el('span', { class: 'talk-time' }, time),
        ),
        el(
          'span',
          { class: 'lower' },
          draft && el('span', { class: 'draft' }, t('draft')),
          el('span', { class: 'talk-last', dir: 'auto', 'data-testid': 'talk-last' }, last),
          online && el('span', { class: 'unseen' }, `, ${t('online')}`),
          muted && el('span', { class: 'talk-muted', 'data-testid': 'talk-muted' }, picture('bell-off')),
          muted && el('span', { class: 'unseen' }, `, ${t('talk.muted')}`),
          talk.unread > 0 &&
            el(
              'span',
              { class: muted ? 'badge quiet' : 'badge', 'data-testid': 'talk-unread', 'aria-label': count('unread', talk.unread) },
              talk.unread >= 999 ? '999+' : number(talk.unread),
            ),
        ),
      ),
    );
  }

  /** @param {Talk} talk */
  #last({ last, user }) {
    if (!last) return '';
    if (last.kind === 'members')
      return changeLines(last, { names: this.#names, me: this.#client.me?.id ?? 0 })[0] ?? '';
    const words = last.recalled ? t('message.recalled') : last.text ? oneLine(last.text) : t('message.bytes');
    if (last.mine) return t('last.mine', { words });
    return user ? words : t('last.by', { who: shownName(last.sender.name), words });
  }
}

/** @param {string} text */
export function oneLine(text) {
  return visibleText(text.slice(0, 160)).replace(/\s+/g, ' ').trim();
}
