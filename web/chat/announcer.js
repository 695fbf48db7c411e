/** Reads new messages of the open talk out, for those who hear the page: few words, and never a flood. */

import { el } from '../shared/dom.js';
import { shownName } from '../shared/visible.js';
import { oneLine } from './talks.js';
import { count, t } from './texts.js';

/** @typedef {import('../cim/types.js').Message} Message */

const PAUSE = 1500;

export class Announcer {
  /** @type {Message | null} */
  #last = null;
  #waiting = 0;
  #clock = 0;

  constructor() {
    this.node = el('p', { class: 'unseen', role: 'status', 'aria-live': 'polite', 'data-testid': 'announced' });
  }

  /** @param {Message} message */
  heard(message) {
    if (message.mine || message.kind !== 'text' || document.visibilityState !== 'visible') return;
    this.#last = message;
    this.#waiting += 1;
    if (!this.#clock) this.#clock = window.setTimeout(() => this.#say(), PAUSE / 5);
  }

  #say() {
    this.#clock = 0;
    const message = this.#last;
    if (!message || !this.#waiting) return;
    this.node.textContent =
      this.#waiting > 2
        ? count('announced', this.#waiting)
        : t('last.by', { who: shownName(message.sender.name), words: oneLine(message.text) });
    this.#waiting = 0;
    this.#clock = window.setTimeout(() => this.#say(), PAUSE);
  }
}
