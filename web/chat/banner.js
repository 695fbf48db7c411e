/** What the connection is like, in one line above all: nothing while all is well. */

import { el } from '../shared/dom.js';
import { errorText } from './errors.js';
import { has, t } from './texts.js';
import { clock } from './times.js';
import { visibleText } from '../shared/visible.js';

/**
 * @typedef {import('../cim/types.js').Client} Client
 * @typedef {import('../cim/types.js').State} State
 */

/** A connection that is made within this, ms, is not worth a word. */
const PATIENCE = 1500;

export class Banner {
  #client;
  #clock = 0;
  #said = '';
  /** Since when there was no connection. */
  #since = 0;

  /**
   * @param {Client} client
   * @param {() => void} logIn what to do when the session is over
   */
  constructor(client, logIn) {
    this.#client = client;
    this.words = el('span', { class: 'grow', role: 'status' });
    this.count = el('span', { class: 'small countdown', 'aria-hidden': 'true' });
    this.button = el('button', { type: 'button', 'data-testid': 'retry' });
    this.button.addEventListener('click', () => {
      const { name, code } = this.#client.state;
      if (name === 'ended' && code !== 'replaced') logIn();
      else this.#client.retry();
    });
    this.node = el(
      'div',
      { class: 'banner', 'data-testid': 'state', 'data-state': client.state.name, hidden: true },
      this.words,
      this.count,
      this.button,
    );
    this.update();
  }

  update() {
    clearTimeout(this.#clock);
    const { state } = this.#client;
    this.node.dataset.state = state.name;
    this.node.dataset.code = state.code ?? '';
    const now = Date.now();
    if (state.name === 'online' || state.name === 'idle') this.#since = 0;
    else if (!this.#since) this.#since = Math.min(state.since, now);
    const words = this.#words(state, now);
    this.node.hidden = !words;
    this.node.classList.toggle('over', state.name === 'ended');
    if (words !== this.#said) {
      this.#said = words;
      this.words.textContent = words;
    }
    const wait = state.name === 'waiting' && state.retryAt ? Math.max(0, Math.ceil((state.retryAt - now) / 1000)) : 0;
    this.count.textContent = wait ? t('banner.next', { seconds: wait }) : '';
    this.button.hidden = !words || state.name === 'connecting';
    this.button.textContent = t(
      state.name !== 'ended' ? 'banner.retry' : state.code === 'replaced' ? 'banner.here' : 'log-in',
    );
    if (this.#since && state.name !== 'ended')
      this.#clock = window.setTimeout(() => this.update(), state.name === 'connecting' ? PATIENCE : 1000);
  }

  /** @param {State} state @param {number} now */
  #words(state, now) {
    if (!this.#since) return '';
    const since = clock(this.#since);
    if (state.name === 'ended') return this.#why(state) || t('banner.ended');
    if (state.name === 'connecting') return now - this.#since < PATIENCE ? '' : t('banner.connecting', { since });
    return `${t('banner.waiting', { since })} ${this.#why(state)}`.trim();
  }

  /** @param {State} state */
  #why({ code = '', reason = '' }) {
    if (reason && (code === 'banned' || code === 'suspended')) return errorText({ code, message: reason });
    return has(`state.${code}`) ? t(`state.${code}`) : visibleText(reason);
  }
}
