/** Finding users. */

import { el } from '../shared/dom.js';
import { call, withQuery } from './api.js';
import { searchable } from './list.js';
import { named, state } from './parts.js';
import { t } from './texts.js';

/** @typedef {{ id: number, name: string, password: boolean, suspended: boolean, mute: object | null,
 *   online: boolean }} ListedUser */

/** What kind of account it is. @param {{ password: boolean, suspended: boolean, mute: object | null }} user */
export const kind = ({ password, suspended, mute }) =>
  suspended || mute
    ? state(false, t(suspended ? 'account.suspended' : 'account.muted'))
    : t(password ? 'account.password' : 'account.guest');

/**
 * @param {HTMLElement} main
 * @param {import('./main.js').Context} context
 */
export function users(main, { left }) {
  searchable(
    main,
    left,
    /** @type {Parameters<typeof searchable<ListedUser>>[2]} */ ({
      what: 'user',
      label: t('users.search'),
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
      page: async (prefix, after) => {
        const said = await call('GET', withQuery('/v1/admin/users', { prefix, after }));
        return { items: said.users, more: said.more };
      },
    }),
  );
}
