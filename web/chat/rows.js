/** The rows of a talk in the page. */

import { el } from '../shared/dom.js';
import { roving, settle } from '../shared/roving.js';
import { messageNode, outgoingNode, setMark } from './message.js';
import { dayOf } from './layout.js';
import { t } from './texts.js';
import { dayName } from './times.js';

/**
 * @typedef {import('./layout.js').Row} Row
 * @typedef {import('./message.js').Surroundings} Surroundings
 */

export class Rows {
  /** What is shown under a row's key; without its row it is made anew. @type {Map<string, { node: HTMLElement, row: Row | null }>} */
  #nodes = new Map();
  /** @type {Element | null} */
  #entered = null;
  #around;

  /** @param {Surroundings} around */
  constructor(around) {
    this.#around = around;
    this.node = el('div', { class: 'rows' });
    roving(this.node, 'article');
    this.node.addEventListener('focusin', ({ target }) =>
      this.#enter(/** @type {Element} */ (target).closest('article')),
    );
  }

  /**
   * Links and reactions are in the order of Tab only where the focus is: there may be hundreds of them in a talk.
   * @param {Element | null} article
   */
  #enter(article) {
    if (article === this.#entered) return;
    for (const one of within(this.#entered)) one.tabIndex = -1;
    for (const one of within(article)) one.tabIndex = 0;
    this.#entered = article;
  }

  /**
   * @param {string} key of a row; that of a message is its position
   * @returns {HTMLElement | null}
   */
  at(key) {
    return this.#nodes.get(key)?.node ?? null;
  }

  /**
   * Make a row anew when rows are placed next, or all of them.
   * @param {string} [key]
   */
  renew(key) {
    for (const [one, shown] of this.#nodes) if (key === undefined || one === key) shown.row = null;
  }

  /**
   * The key of the first message that ends below `top`, and where it begins: its node may be made anew meanwhile.
   * @param {number} top
   */
  firstBelow(top) {
    const node = [...this.node.children].find(
      (one) => one.tagName === 'ARTICLE' && one.getBoundingClientRect().bottom > top,
    );
    const found = [...this.#nodes].find(([, shown]) => shown.node === node);
    return node && found ? { key: found[0], top: node.getBoundingClientRect().top } : null;
  }

  /**
   * Show these rows, touching only what is not as it was.
   * @param {Row[]} rows
   */
  place(rows) {
    const focus = /** @type {HTMLElement | null} */ (document.activeElement?.closest('.rows > article') ?? null);
    const wanted = new Set(rows.map((row) => row.key));
    const today = dayOf(Date.now());
    for (const [key, shown] of this.#nodes) {
      if (wanted.has(key)) continue;
      shown.node.remove();
      this.#nodes.delete(key);
    }
    let next = /** @type {Element | null} */ (this.node.firstElementChild);
    for (const row of rows) {
      const shown = this.#nodes.get(row.key);
      if (shown && shown.row && same(shown.row, row) && (row.kind !== 'day' || shown.node.dataset.today === today)) {
        if ('mark' in row && row.mark !== shown.node.dataset.mark) setMark(shown.node, row.mark);
        if (shown.node === next) next = next.nextElementSibling;
        else this.node.insertBefore(shown.node, next);
        continue;
      }
      const node = this.#node(row);
      if (shown) {
        if (shown.node === next) next = next.nextElementSibling;
        shown.node.replaceWith(node);
        if (shown.node === focus) node.focus({ preventScroll: true });
      } else this.node.insertBefore(node, next);
      this.#nodes.set(row.key, { node, row });
    }
    const articles = /** @type {HTMLElement[]} */ ([...this.node.children].filter((one) => one.tagName === 'ARTICLE'));
    // Who comes back by Tab begins at the newest.
    const focused = /** @type {HTMLElement | null} */ (document.activeElement?.closest('.rows > article') ?? null);
    settle(articles, focused ?? articles.at(-1));
  }

  /** @param {Row} row @returns {HTMLElement} */
  #node(row) {
    if (row.kind === 'message') return messageNode(row, this.#around);
    if (row.kind === 'outgoing') return outgoingNode(row, this.#around);
    if (row.kind === 'unread') {
      return el('h3', { class: 'unread', 'data-testid': 'unread-line' }, el('span', {}, t('unread-line')));
    }
    // Tomorrow it is called otherwise.
    const now = Date.now();
    const name = el('span', {}, dayName(row.at, now));
    return el('h3', { class: 'day', 'data-testid': 'day', 'data-today': dayOf(now) }, name);
  }
}

/** Whether a row looks as one that is shown already, but for its mark. @param {Row} one @param {Row} other */
function same(one, other) {
  if (one.kind === 'message' && other.kind === 'message') {
    return one.message === other.message && one.first === other.first;
  }
  if (one.kind === 'outgoing' && other.kind === 'outgoing') return one.outgoing === other.outgoing;
  return one.kind === other.kind && one.kind !== 'message' && one.kind !== 'outgoing';
}

/** @param {Element | null} article @returns {HTMLElement[]} */
function within(article) {
  return article
    ? [...article.querySelectorAll('.text a, .text pre, .reaction, .more')].map(
        (one) => /** @type {HTMLElement} */ (one),
      )
    : [];
}
