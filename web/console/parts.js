/** The parts that views are made of: names, tables, facts, notices, and what goes wrong in words. */

import { el, fill } from '../shared/dom.js';
import { shownName } from '../shared/visible.js';
import { Refused } from './api.js';
import { language, t } from './texts.js';

/** @typedef {import('../shared/dom.js').Child} Child */

/** A name in its own direction, harmless. @param {string} name */
export const named = (name) => el('bdi', {}, shownName(name));

/**
 * A text with names in it, each harmless and in a direction of its own.
 * @param {string} key
 * @param {Record<string, string>} names
 * @param {Record<string, string | number>} [values] others
 */
export const sentence = (key, names, values = {}) =>
  t(key, {
    ...Object.fromEntries(Object.entries(names).map(([of, name]) => [of, `\u2068${shownName(name)}\u2069`])),
    ...values,
  });

/** @type {Map<string, Intl.DateTimeFormat>} */
const formats = new Map();

/**
 * Day and time.
 * @param {number} moment ms since 1970
 */
export function when(moment) {
  const tag = language() === 'zh' ? 'zh-CN' : 'en-GB';
  let format = formats.get(tag);
  if (!format) {
    format = new Intl.DateTimeFormat(tag, { dateStyle: 'medium', timeStyle: 'medium' });
    formats.set(tag, format);
  }
  return format.format(moment);
}

/**
 * A number in few digits.
 * @param {number} value
 */
export function amount(value) {
  return new Intl.NumberFormat(language() === 'zh' ? 'zh-CN' : 'en-GB', {
    maximumFractionDigits: value !== 0 && Math.abs(value) < 10 ? 2 : 0,
  }).format(value);
}

/**
 * A table that scrolls within itself where the screen is narrow.
 * @param {string} title what it has, for readers of screens
 * @param {string[]} headings
 * @param {Child[][]} rows
 */
export function table(title, headings, rows) {
  return el(
    'div',
    { class: 'scrolling', tabindex: 0, role: 'region', 'aria-label': title },
    el(
      'table',
      {},
      el('thead', {}, el('tr', {}, ...headings.map((heading) => el('th', { scope: 'col' }, heading)))),
      el('tbody', {}, ...rows.map((cells) => el('tr', {}, ...cells.map((cell) => el('td', {}, cell))))),
    ),
  );
}

/**
 * Facts: a term and what it is, each.
 * @param {[string, Child][]} pairs
 */
export const facts = (pairs) =>
  el('dl', { class: 'facts' }, ...pairs.map(([term, value]) => el('div', {}, el('dt', {}, term), el('dd', {}, value))));

/**
 * A part of a page under a heading.
 * @param {string} title
 * @param {...Child} children
 */
export const section = (title, ...children) => el('section', { class: 'card' }, el('h2', {}, title), ...children);

/**
 * A state, by a colour and in words.
 * @param {boolean} good
 * @param {string} words
 */
export const state = (good, words) => el('span', { class: good ? 'state good' : 'state wrong' }, words);

/** What the next view says first. @type {string} */
let word = '';

/**
 * Go to another view, and have it say what was done.
 * @param {string} address
 * @param {string} words
 */
export function goTo(address, words) {
  word = words;
  location.hash = address;
}

/** The line in which a view says what was done before it, if anything was. */
export function saidBefore() {
  const words = word;
  word = '';
  return words ? el('p', { class: 'notice good', role: 'status', 'data-testid': 'notice' }, words) : null;
}

/** A line that says what was done or what went wrong, read out when it appears. */
export function notice() {
  const line = el('p', { class: 'notice', role: 'status', 'data-testid': 'notice', hidden: true });
  return {
    line,
    /** @param {string} words */
    good(words) {
      line.hidden = false;
      line.className = 'notice good';
      line.textContent = words;
    },
    /** @param {unknown} error */
    bad(error) {
      line.hidden = false;
      line.className = 'notice wrong';
      line.textContent = said(error);
    },
  };
}

/** @typedef {ReturnType<typeof notice>} Notice */

/**
 * What went wrong, in words.
 * @param {unknown} error
 */
export function said(error) {
  if (!(error instanceof Refused)) return t('error.unknown', { detail: String(error) });
  if (error.status === 0) return t('error.offline');
  if (error.status === 404) return t('error.not-there');
  const scope = /lacks the scope `(\w+)`/.exec(error.message)?.[1];
  return scope ? t('error.scope', { scope }) : t('error.unknown', { detail: error.message });
}

/**
 * Run what a button asks for, once at a time; what goes wrong is said.
 * @param {Notice} line
 * @param {() => Promise<void>} run
 * @returns {(event: Event) => Promise<void>}
 */
export function action(line, run) {
  let runs = false;
  return async (event) => {
    event.preventDefault();
    if (runs) return;
    runs = true;
    const button = event.currentTarget instanceof Element ? event.currentTarget : null;
    button?.setAttribute('aria-disabled', 'true');
    try {
      await run();
    } catch (error) {
      line.bad(error);
    } finally {
      runs = false;
      button?.removeAttribute('aria-disabled');
    }
  };
}

/**
 * A button.
 * @param {string} words
 * @param {(event: Event) => unknown} onclick
 * @param {{ class?: string, testid?: string }} [look]
 */
export const button = (words, onclick, look = {}) =>
  el('button', { type: 'button', class: look.class, 'data-testid': look.testid, onclick }, words);

/**
 * Show that something is being fetched, then what came of it, or why nothing did and a way to try again.
 * @param {HTMLElement} box
 * @param {AbortSignal} left aborted when the view is left
 * @param {() => Promise<Child[]>} run
 */
export async function load(box, left, run) {
  fill(box, el('p', { class: 'faint' }, t('loading')));
  try {
    const children = await run();
    if (!left.aborted) fill(box, ...children);
  } catch (error) {
    if (left.aborted) return;
    fill(
      box,
      el('p', { class: 'notice wrong', role: 'alert' }, said(error)),
      button(t('again'), () => load(box, left, run)),
    );
  }
}
