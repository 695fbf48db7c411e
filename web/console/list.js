/** Lists that come page by page: what is found so far, and a button for what follows; and those that one searches. */

import { el, fill } from '../shared/dom.js';
import { action, button, notice, table } from './parts.js';
import { t } from './texts.js';

/** How many pages without anything are fetched for one press. */
const EMPTY_PAGES = 20;

/**
 * @template T
 * @typedef {{ items: T[], more: string | number | null }} Page
 */

/**
 * `searching` is said when nothing was found yet, though there is more.
 * @template T
 * @typedef {{ title: string, headings: string[], empty: string, searching?: string,
 *   row: (item: T) => import('../shared/dom.js').Child[], page: (after: string | number) => Promise<Page<T>> }} Options
 */

/** What was looked for last in each list, so that coming back finds it. @type {Map<string, string>} */
const looked = new Map();

/**
 * Show a list with a field for what it is searched for.
 * @template T
 * @param {HTMLElement} main
 * @param {AbortSignal} left aborted when the view is left
 * @param {{ what: string, label: string, page: (looked: string, after: string | number) => Promise<Page<T>> } &
 *   Omit<Options<T>, 'page'>} options `what` is found, as a key of `looked` and for tests; `label` is that of the field
 */
export function searchable(main, left, { what, label, page, ...options }) {
  const field = el('input', {
    type: 'search',
    maxlength: 256,
    value: looked.get(what) ?? '',
    'data-testid': `${what}-part`,
  });
  const box = el('div', { class: 'stack' });
  const find = list(box, left, { ...options, page: (after) => page(looked.get(what) ?? '', after) });
  fill(
    main,
    el('h1', { tabindex: -1 }, options.title),
    el(
      'form',
      {
        class: 'row search',
        role: 'search',
        onsubmit: (/** @type {Event} */ event) => {
          event.preventDefault();
          looked.set(what, field.value);
          find();
        },
      },
      el('label', { class: 'field grow' }, el('span', {}, label), field),
      el('button', { class: 'main', 'data-testid': `find-${what}s` }, t('users.find')),
    ),
    box,
  );
  find();
}

/**
 * Show a list, and return what begins it anew.
 * @template T
 * @param {HTMLElement} box
 * @param {AbortSignal} left aborted when the view is left
 * @param {Options<T>} options
 */
export function list(box, left, { title, headings, empty, searching = empty, row, page }) {
  let run = 0;
  return async () => {
    run += 1;
    const mine = run;
    /** @type {import('../shared/dom.js').Child[][]} */
    const rows = [];
    /** @type {string | number | null} */
    let after = '';
    const line = notice();
    const next = async () => {
      const before = rows.length;
      for (let pages = 0; pages < EMPTY_PAGES && after !== null && rows.length === before; pages += 1) {
        const found = /** @type {Page<T>} */ (await page(after));
        if (left.aborted || mine !== run) return;
        rows.push(...found.items.map(row));
        after = found.more;
      }
      draw();
    };
    const more = button(t('more'), action(line, next), { testid: 'more' });
    const draw = () =>
      fill(
        box,
        rows.length ? table(title, headings, rows) : el('p', { class: 'faint' }, after === null ? empty : searching),
        line.line,
        after === null ? null : more,
      );
    fill(box, el('p', { class: 'faint' }, t('loading')));
    try {
      await next();
    } catch (error) {
      if (left.aborted || mine !== run) return;
      fill(box, line.line, more);
      line.bad(error);
    }
  };
}
