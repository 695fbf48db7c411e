/**
 * The messages of a talk: a window of at most `MOST` over it, which pages as one scrolls.
 *
 * Whatever arrives is put into the page once a frame. While the end is in sight the window stays there; otherwise what
 * one reads stays where it is, whatever is added above or below it.
 */

import { compare as comparePositions } from '../cim/positions.js';
import { el, perFrame } from '../shared/dom.js';
import { roving, settle } from '../shared/roving.js';
import { errorText } from './errors.js';
import { layout } from './layout.js';
import { messageNode, outgoingNode, setMark } from './message.js';
import { pictureButton } from './pictures.js';
import { count, t } from './texts.js';
import { dayName } from './times.js';

/**
 * @typedef {import('../cim/types.js').Client} Client
 * @typedef {import('../cim/types.js').Message} Message
 * @typedef {import('../cim/types.js').Outgoing} Outgoing
 * @typedef {import('../cim/types.js').Position} Position
 * @typedef {import('../cim/types.js').Page} Page
 * @typedef {import('../cim/types.js').Talk} Talk
 * @typedef {import('./layout.js').Row} Row
 * @typedef {import('./message.js').Surroundings} Surroundings
 */

/** The most messages in the page, and how many come at once. */
const MOST = 120;
const PAGE = 50;
/** In a flood the page changes so often, ms: nobody reads faster, and the device has other things to do. */
const PAUSE = 60;
/** So near an end, in pixels, the next page is fetched; so near the last line counts as at the end. */
const NEAR = 700;
const AT_END = 40;

export class Timeline {
  /** @type {Message[]} */
  #messages = [];
  /** @type {Message[]} */
  #fresh = [];
  /** @type {Outgoing[]} */
  #outgoing = [];
  #before = false;
  #after = false;
  #atEnd = true;
  #arrived = 0;
  /** @type {'' | 'page' | 'before' | 'after'} */
  #loading = '';
  /** What was asked for last; an older answer is dropped. */
  #turn = 0;
  /** @type {unknown} */
  #failed = null;
  /** @type {Position | null} */
  #line = null;
  /** @type {Position} */
  #marked = '';
  #marking = 0;
  #gone = false;
  /** @type {Map<string, { node: HTMLElement, row: Row | null }>} */
  #nodes = new Map();
  /** @type {Talk} */
  #talk;
  #client;
  #around;
  #rows = el('div', { class: 'rows' });
  #box;
  #down;
  #status;
  #sizes;

  /** @param {Talk} talk @param {Client} client @param {Surroundings} around */
  constructor(talk, client, around) {
    this.#talk = talk;
    this.#client = client;
    this.#around = around;
    this.schedule = perFrame(() => this.#render(), PAUSE);
    this.#status = el('p', {
      class: 'faint small status',
      role: 'status',
      'data-testid': 'timeline-status',
      hidden: true,
    });
    this.#box = el(
      'div',
      { class: 'scroll', role: 'log', 'aria-live': 'off', 'aria-label': t('messages'), 'data-testid': 'messages' },
      this.#rows,
    );
    this.#down = pictureButton('down', t('to-newest'), {
      class: 'down',
      'data-testid': 'to-newest',
      onclick: () => this.toEnd(),
    });
    this.#down.append(el('span', { class: 'badge' }));
    this.node = el('div', { class: 'timeline' }, this.#box, this.#status, this.#down);
    this.#box.addEventListener('scroll', () => this.#scrolled(), { passive: true });
    roving(this.#rows, 'article');
    this.#sizes = new ResizeObserver(() => this.#atEnd && this.#toBottom());
    this.#sizes.observe(this.#box);
    this.#sizes.observe(this.#rows);
    document.addEventListener('visibilitychange', this.#visibility);
  }

  /** Show what is unread, or the end. */
  async open() {
    const { unread, read, conversation } = this.#talk;
    this.#line = unread > 0 ? read : null;
    this.#outgoing = await this.#client.outgoing(conversation).catch(() => []);
    await this.#load(unread > PAGE / 2 && read ? { around: read, limit: PAGE } : { limit: PAGE });
    if (this.#line === null) return;
    const line = this.#rows.querySelector('.unread');
    if (line) this.#scrollTo(line, 0.2);
  }

  close() {
    this.#gone = true;
    this.#turn += 1;
    this.#sizes.disconnect();
    clearTimeout(this.#marking);
    document.removeEventListener('visibilitychange', this.#visibility);
  }

  /** @param {Message} message */
  add(message) {
    if (!this.#looking() && this.#line === null && !message.mine)
      this.#line = this.#messages.at(-1)?.position ?? this.#talk.read;
    this.#fresh.push(message);
    // A page that nobody looks at gets no frames: what would leave the window at once is not kept for it.
    if (this.#fresh.length > 2 * MOST) this.#fresh.splice(0, this.#fresh.length - MOST, ...this.#skip());
    this.schedule();
  }

  /** What is in the window is no longer next to what comes. @returns {Message[]} */
  #skip() {
    if (this.#loading || this.#after) return [];
    this.#before = true;
    this.#messages = [];
    return [];
  }

  /** @param {Message} message that was edited, recalled or reacted to */
  changed(message) {
    const replace = (/** @type {Message} */ one) => (one.position === message.position ? message : one);
    this.#messages = this.#messages.map(replace);
    this.#fresh = this.#fresh.map(replace);
    const shown = this.#nodes.get(message.position);
    if (shown) shown.row = null;
    this.schedule();
  }

  /** @param {Outgoing} item */
  outgoing(item) {
    const at = this.#outgoing.findIndex((one) => one.clientId === item.clientId);
    if (at < 0) this.#outgoing.push(item);
    else this.#outgoing[at] = item;
    // Its message shows a text that is stored; the change that something else made has come by then, too.
    if (item.state === 'stored') this.#outgoing = this.#outgoing.filter((one) => one !== item || this.#awaits(item));
    this.schedule();
  }

  /** Whether a stored text is not in the window yet, though it will be. @param {Outgoing} item */
  #awaits(item) {
    return (
      item.kind === 'text' && !this.#after && !this.#messages.some((one) => one.mine && one.clientId === item.clientId)
    );
  }

  /** @param {string} clientId of what was forgotten, or goes again under another one */
  forgotten(clientId) {
    this.#outgoing = this.#outgoing.filter((one) => one.clientId !== clientId);
    this.schedule();
  }

  /** @param {Talk} talk as it is now */
  talk(talk) {
    this.#talk = talk;
    this.schedule();
  }

  /** What is stored was replaced: read it anew. */
  async reset() {
    await this.#load({ limit: PAGE });
  }

  /** Names are known that were not. */
  renew() {
    for (const shown of this.#nodes.values()) shown.row = null;
    this.schedule();
  }

  /** The last message of one's own that can be edited. @returns {Message | null} */
  lastOwn() {
    return (
      this.#messages
        .slice()
        .reverse()
        .find((one) => one.mine && one.kind === 'text' && !one.recalled && !one.data) ?? null
    );
  }

  /** @param {Position} position @returns {Message | null} */
  at(position) {
    return this.#messages.find((one) => one.position === position) ?? null;
  }

  /** @param {boolean} [answered] whether the user said something, so that all above is read */
  async toEnd(answered = false) {
    if (answered) this.#line = null;
    this.#arrived = 0;
    this.#atEnd = true;
    if (this.#after) await this.#load({ limit: PAGE });
    else this.#render();
    this.#toBottom();
  }

  /** Show a message, wherever it is. @param {Position} position */
  async jump(position) {
    if (!this.#nodes.has(position)) await this.#load({ around: position, limit: PAGE });
    const node = this.#nodes.get(position)?.node;
    if (!node) return;
    this.#scrollTo(node, 0.35);
    node.focus({ preventScroll: true });
    node.classList.add('found');
    setTimeout(() => node.classList.remove('found'), 2500);
  }

  /** @param {{ around?: Position, limit: number }} where */
  async #load(where) {
    this.#turn += 1;
    const turn = this.#turn;
    this.#loading = 'page';
    this.#sayStatus();
    try {
      const page = await this.#client.page(this.#talk.conversation, where);
      if (turn !== this.#turn) return;
      this.#messages = page.messages.slice(-MOST);
      this.#before = page.before;
      this.#after = page.after;
      this.#atEnd = !page.after;
      this.#failed = null;
    } catch (error) {
      if (turn !== this.#turn) return;
      this.#failed = error;
    }
    this.#loading = '';
    this.#render();
  }

  /** Fetch the page before or after the window. @param {'before' | 'after'} side */
  async #more(side) {
    if (this.#loading || this.#failed || !(side === 'before' ? this.#before : this.#after) || !this.#messages.length)
      return;
    const turn = this.#turn;
    this.#loading = side;
    this.#sayStatus();
    const edge = side === 'before' ? this.#messages[0].position : this.#messages[this.#messages.length - 1].position;
    try {
      const page = await this.#client.page(this.#talk.conversation, { [side]: edge, limit: PAGE });
      if (turn !== this.#turn) return;
      this.#join(page, side);
    } catch (error) {
      if (turn !== this.#turn) return;
      this.#failed = error;
    }
    this.#loading = '';
    this.#render();
    this.#ends();
  }

  /** @param {Page} page @param {'before' | 'after'} side */
  #join(page, side) {
    if (side === 'before') {
      const first = this.#messages[0].position;
      this.#messages.unshift(...page.messages.filter((one) => comparePositions(one.position, first) < 0));
      this.#before = page.before;
      if (this.#messages.length > MOST) {
        this.#messages.length = MOST;
        this.#after = true;
      }
    } else {
      const last = this.#messages[this.#messages.length - 1].position;
      this.#messages.push(...page.messages.filter((one) => comparePositions(one.position, last) > 0));
      this.#after = page.after;
      if (this.#messages.length > MOST) {
        this.#messages.splice(0, this.#messages.length - MOST);
        this.#before = true;
      }
    }
  }

  /** Put what arrived into the window, as far as it belongs there. */
  #take() {
    if (!this.#fresh.length || this.#loading === 'page' || (this.#after && this.#loading === 'after')) return;
    const fresh = this.#fresh;
    this.#fresh = [];
    if (!this.#atEnd) this.#arrived += fresh.filter((one) => !one.mine && one.kind === 'text').length;
    if (this.#after) return;
    let last = this.#messages.at(-1)?.position ?? '';
    for (const message of fresh) {
      if (comparePositions(message.position, last) <= 0) continue;
      this.#messages.push(message);
      last = message.position;
    }
    const ids = new Set(fresh.filter((one) => one.mine).map((one) => one.clientId));
    if (ids.size) this.#outgoing = this.#outgoing.filter((one) => one.kind !== 'text' || !ids.has(one.clientId));
    const over = this.#messages.length - MOST;
    if (over <= 0) return;
    if (this.#atEnd) {
      this.#messages.splice(0, over);
      this.#before = true;
    } else {
      this.#messages.length = MOST;
      this.#after = true;
    }
  }

  #render() {
    if (this.#gone) return;
    this.#take();
    const anchor = this.#atEnd ? null : this.#anchor();
    const other = this.#talk.user;
    this.#place(
      layout(this.#messages, this.#after ? [] : this.#outgoing, {
        line: this.#line,
        read: other ? (this.#talk.readBy[other] ?? '') : '',
      }),
    );
    this.#sayStatus();
    if (this.#atEnd) this.#toBottom();
    else if (anchor?.node.isConnected) this.#box.scrollTop += anchor.node.getBoundingClientRect().top - anchor.top;
    this.#sayDown();
    this.#mark();
  }

  /** Make the page show these rows, touching only what is not as it was. @param {Row[]} rows */
  #place(rows) {
    const focus = /** @type {HTMLElement | null} */ (document.activeElement?.closest('.rows > article') ?? null);
    const wanted = new Set(rows.map((row) => row.key));
    for (const [key, shown] of this.#nodes) {
      if (wanted.has(key)) continue;
      shown.node.remove();
      this.#nodes.delete(key);
    }
    let next = /** @type {Element | null} */ (this.#rows.firstElementChild);
    for (const row of rows) {
      const shown = this.#nodes.get(row.key);
      if (shown && shown.row && same(shown.row, row)) {
        if ('mark' in row && row.mark !== shown.node.dataset.mark) setMark(shown.node, row.mark);
        if (shown.node === next) next = next.nextElementSibling;
        else this.#rows.insertBefore(shown.node, next);
        continue;
      }
      const node = this.#node(row);
      if (shown) {
        if (shown.node === next) next = next.nextElementSibling;
        shown.node.replaceWith(node);
        if (shown.node === focus) node.focus({ preventScroll: true });
      } else this.#rows.insertBefore(node, next);
      this.#nodes.set(row.key, { node, row });
    }
    const articles = /** @type {HTMLElement[]} */ ([...this.#rows.children].filter((one) => one.tagName === 'ARTICLE'));
    settle(articles, articles.find((one) => one.tabIndex === 0) ?? articles.at(-1));
  }

  /** @param {Row} row @returns {HTMLElement} */
  #node(row) {
    if (row.kind === 'message') return messageNode(row, this.#around);
    if (row.kind === 'outgoing') return outgoingNode(row, this.#around);
    const words = row.kind === 'day' ? dayName(row.at, Date.now()) : t('unread-line');
    return el(
      'h3',
      { class: row.kind, 'data-testid': row.kind === 'day' ? 'day' : 'unread-line' },
      el('span', {}, words),
    );
  }

  /** The first message in sight, and where it is. */
  #anchor() {
    const { top } = this.#box.getBoundingClientRect();
    for (const node of this.#rows.children) {
      const place = node.getBoundingClientRect();
      if (place.bottom > top && node.tagName === 'ARTICLE') return { node, top: place.top };
    }
    return null;
  }

  /** @param {Element} node @param {number} share of the height above it */
  #scrollTo(node, share) {
    this.#atEnd = false;
    const place = node.getBoundingClientRect().top - this.#box.getBoundingClientRect().top;
    this.#box.scrollTop += place - this.#box.clientHeight * share;
    this.#scrolled();
  }

  #toBottom() {
    this.#box.scrollTop = this.#box.scrollHeight;
  }

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.#box;
    this.#atEnd = !this.#after && scrollHeight - scrollTop - clientHeight < AT_END;
    if (this.#atEnd) this.#arrived = 0;
    this.#sayDown();
    this.#ends();
    this.#mark();
  }

  /** Fetch more where an end of the window is near. */
  #ends() {
    const { scrollTop, scrollHeight, clientHeight } = this.#box;
    if (scrollTop < NEAR && this.#before) this.#more('before');
    else if (scrollHeight - scrollTop - clientHeight < NEAR && this.#after) this.#more('after');
  }

  #sayDown() {
    this.#down.hidden = this.#atEnd;
    const badge = /** @type {HTMLElement} */ (this.#down.lastElementChild);
    badge.hidden = this.#arrived === 0;
    badge.textContent = this.#arrived > 99 ? '99+' : String(this.#arrived);
    this.#down.setAttribute('aria-label', this.#arrived ? count('to-newest', this.#arrived) : t('to-newest'));
  }

  #sayStatus() {
    const status = this.#status;
    const said = this.#failed
      ? 'failed'
      : this.#loading === 'page' || this.#loading === 'before'
        ? 'loading'
        : this.#messages.length || this.#outgoing.length
          ? ''
          : 'empty';
    if (status.dataset.said === said) return;
    status.dataset.said = said;
    status.hidden = !said;
    status.textContent =
      said === 'failed' ? t('timeline.failed', { why: errorText(this.#failed) }) : said ? t(`timeline.${said}`) : '';
    if (said === 'failed') {
      const again = () => {
        this.#failed = null;
        if (this.#messages.length) this.#ends();
        else this.reset();
      };
      status.append(' ', el('button', { type: 'button', onclick: again }, t('again')));
    }
  }

  #looking() {
    return document.visibilityState === 'visible' && this.#atEnd;
  }

  #visibility = () => {
    if (document.visibilityState === 'visible') this.schedule();
  };

  /** Say how far the user has read: to the last message that was wholly in sight. */
  #mark() {
    if (this.#marking || this.#talk.unread === 0 || document.visibilityState !== 'visible') return;
    this.#marking = window.setTimeout(() => {
      this.#marking = 0;
      if (this.#gone || document.visibilityState !== 'visible') return;
      const position = this.#lastSeen();
      if (
        !position ||
        comparePositions(position, this.#marked) <= 0 ||
        comparePositions(position, this.#talk.read) <= 0
      )
        return;
      this.#marked = position;
      this.#client.markRead(this.#talk.conversation, position).catch(() => {
        this.#marked = '';
      });
    }, 300);
  }

  /** @returns {Position} */
  #lastSeen() {
    if (this.#atEnd) return this.#messages.at(-1)?.position ?? '';
    const { bottom } = this.#box.getBoundingClientRect();
    for (const message of this.#messages.slice().reverse()) {
      const node = this.#nodes.get(message.position)?.node;
      if (node && node.getBoundingClientRect().bottom <= bottom + 4) return message.position;
    }
    return '';
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
