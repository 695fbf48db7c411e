/**
 * The messages of a talk: a window of at most `MOST` over it, which pages as one scrolls.
 *
 * Whatever arrives is put into the page once a frame. While the end is in sight the window stays there; otherwise what
 * one reads stays where it is, whatever is added above or below it.
 */

import { compare as comparePositions } from '../cim/positions.js';
import { el, perFrame } from '../shared/dom.js';
import { errorText } from './errors.js';
import { layout } from './layout.js';
import { pictureButton } from './pictures.js';
import { Rows } from './rows.js';
import { count, t } from './texts.js';

/**
 * @typedef {import('../cim/types.js').Client} Client
 * @typedef {import('../cim/types.js').Message} Message
 * @typedef {import('../cim/types.js').Outgoing} Outgoing
 * @typedef {import('../cim/types.js').Position} Position
 * @typedef {import('../cim/types.js').Page} Page
 * @typedef {import('../cim/types.js').Talk} Talk
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
  /** The end, another page, or more at an end of the window. @type {'' | 'end' | 'page' | 'before' | 'after'} */
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
  /** @type {Talk} */
  #talk;
  #client;
  #rows;
  #invite;
  #box;
  #down;
  #status;
  #sizes;

  /**
   * @param {Talk} talk
   * @param {Client} client
   * @param {Surroundings} around
   * @param {(() => void) | null} invite what leads to inviting people, where nothing was said yet
   */
  constructor(talk, client, around, invite) {
    this.#talk = talk;
    this.#client = client;
    this.#rows = new Rows(around);
    this.#invite = invite;
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
      this.#rows.node,
    );
    this.#down = pictureButton('down', t('to-newest'), {
      class: 'down',
      'data-testid': 'to-newest',
      onclick: () => this.toEnd(),
    });
    this.#down.append(el('span', { class: 'badge' }));
    this.node = el('div', { class: 'timeline' }, this.#box, this.#status, this.#down);
    this.#box.addEventListener('scroll', () => this.#scrolled(), { passive: true });
    this.#sizes = new ResizeObserver(() => this.#atEnd && this.#toBottom());
    this.#sizes.observe(this.#box);
    this.#sizes.observe(this.#rows.node);
    document.addEventListener('visibilitychange', this.#visibility);
  }

  /** Show what is unread, or the end. */
  async open() {
    const { unread, read, conversation } = this.#talk;
    this.#line = unread > 0 ? read : null;
    this.#outgoing = await this.#client.outgoing(conversation).catch(() => []);
    await this.#load({ ...this.#where(unread, read), limit: PAGE });
    if (this.#line === null) return;
    const line = this.#rows.at('unread');
    if (line) this.#scrollTo(line, 0.2);
  }

  /** @param {number} unread @param {Position} read @returns {{ around?: Position, after?: Position }} */
  #where(unread, read) {
    if (unread <= PAGE / 2) return {};
    if (read) return { around: read };
    // All of a private talk is unread then. In a group that is not said of what was before one joined.
    return this.#talk.user ? { after: '' } : {};
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
    this.schedule();
  }

  /** @param {Message} message that was edited, recalled or reacted to */
  changed(message) {
    const replace = (/** @type {Message} */ one) => (one.position === message.position ? message : one);
    this.#messages = this.#messages.map(replace);
    this.#fresh = this.#fresh.map(replace);
    this.#rows.renew(message.position);
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
    this.#rows.renew();
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
    // The end comes, however often one presses; anything else that comes would take the window away from there.
    if (this.#loading === 'end') return;
    if (this.#after || this.#loading) await this.#load({ limit: PAGE });
    else this.#render();
    this.#toBottom();
  }

  /** Show a message, wherever it is. @param {Position} position */
  async jump(position) {
    if (!this.#rows.at(position)) await this.#load({ around: position, limit: PAGE });
    const node = this.#rows.at(position);
    if (!node) return;
    this.#scrollTo(node, 0.35);
    node.focus({ preventScroll: true });
    node.classList.add('found');
    setTimeout(() => node.classList.remove('found'), 2500);
  }

  /** @param {{ around?: Position, after?: Position, limit: number }} where */
  async #load(where) {
    this.#turn += 1;
    const turn = this.#turn;
    this.#loading = where.around === undefined && where.after === undefined ? 'end' : 'page';
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

  /** Whether another window is being loaded. */
  #loadsWindow() {
    return this.#loading === 'end' || this.#loading === 'page';
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
    if (!this.#fresh.length || this.#loadsWindow() || (this.#after && this.#loading === 'after')) return;
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
    const anchor = this.#atEnd ? null : this.#rows.firstBelow(this.#box.getBoundingClientRect().top);
    const other = this.#talk.user;
    this.#rows.place(
      layout(this.#messages, this.#after ? [] : this.#outgoing, {
        line: this.#lineInside(),
        read: other ? (this.#talk.readBy[other] ?? '') : '',
      }),
    );
    this.#sayStatus();
    if (this.#atEnd) this.#toBottom();
    else if (anchor) {
      const node = this.#rows.at(anchor.key);
      if (node) this.#box.scrollTop += node.getBoundingClientRect().top - anchor.top;
    }
    this.#sayDown();
    this.#mark();
  }

  /** The unread line, unless it is before the window: what is at its top is not the first unread message then. */
  #lineInside() {
    const first = this.#messages.at(0);
    const isBefore = this.#line !== null && this.#before && first && comparePositions(this.#line, first.previous) < 0;
    return isBefore ? null : this.#line;
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
      : this.#loadsWindow() || this.#loading === 'before'
        ? 'loading'
        : this.#messages.length || this.#outgoing.length
          ? ''
          : 'empty';
    if (status.dataset.said === said) return;
    status.dataset.said = said;
    status.hidden = !said;
    status.textContent =
      said === 'failed' ? t('timeline.failed', { why: errorText(this.#failed) }) : said ? t(`timeline.${said}`) : '';
    if (said === 'empty' && this.#invite) {
      const button = el(
        'button',
        { type: 'button', 'data-testid': 'invite-here', onclick: this.#invite },
        t('group.invite.who'),
      );
      status.append(' ', button);
    }
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
    // Who goes away and has read all finds the line before what comes next.
    if (document.visibilityState === 'hidden' && this.#talk.unread === 0) this.#line = null;
    this.schedule();
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
      const node = this.#rows.at(message.position);
      if (node && node.getBoundingClientRect().bottom <= bottom + 4) return message.position;
    }
    return '';
  }
}
