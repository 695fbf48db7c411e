/** Finding users. */

import { el, fill } from '../shared/dom.js';
import { call, withQuery } from './api.js';
import { list } from './list.js';
import { named, state } from './parts.js';
import { t } from './texts.js';

/** @typedef {{ id: number, name: string, password: boolean, suspended: boolean, online: boolean }} ListedUser */

/** What kind of account it is. @param {{ password: boolean, suspended: boolean }} user */
export const kind = ({ password, suspended }) =>
  suspended ? state(false, t('account.suspended')) : t(password ? 'account.password' : 'account.guest');

/** What was looked for last, so that coming back finds it. */
let looked = '';

/**
 * @param {HTMLElement} main
 * @param {import('./main.js').Context} context
 */
export function users(main, { left }) {
  const field = el('input', { type: 'search', maxlength: 256, value: looked, 'data-testid': 'user-prefix' });
  const box = el('div', { class: 'stack' });
  const find = list(
    box,
    left,
    /** @type {Parameters<typeof list<ListedUser>>[2]} */ ({
      title: t('nav.users'),
      headings: [t('name'), t('id'), t('account'), t('online')],
      empty: t('users.empty'),
      searching: t('users.search-on'),
      row: (user) => [
        el('a', { href: `#/users/${user.id}`, 'data-testid': 'user' }, named(user.name)),
        String(user.id),
        kind(user),
        user.online ? state(true, t('yes')) : t('no'),
      ],
      page: async (after) => {
        const said = await call('GET', withQuery('/v1/admin/users', { prefix: looked, after }));
        return { items: said.users, more: said.more };
      },
    }),
  );
  fill(
    main,
    el('h1', { tabindex: -1 }, t('nav.users')),
    el(
      'form',
      {
        class: 'row search',
        role: 'search',
        onsubmit: (/** @type {Event} */ event) => {
          event.preventDefault();
          looked = field.value;
          find();
        },
      },
      el('label', { class: 'field grow' }, el('span', {}, t('users.search')), field),
      el('button', { class: 'main', 'data-testid': 'find-users' }, t('users.find')),
    ),
    box,
  );
  find();
}
