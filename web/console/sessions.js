/** Who is online, and where. */

import { el, fill } from '../shared/dom.js';
import { call, withQuery } from './api.js';
import { list } from './list.js';
import { named } from './parts.js';
import { t } from './texts.js';

/** @typedef {{ user: { id: number, name: string }, device: string, server: string }} LiveSession */

/**
 * @param {HTMLElement} main
 * @param {import('./main.js').Context} context `rest` may have the name of a server
 */
export function sessions(main, { left, rest: [server = ''] }) {
  const box = el('div', { class: 'stack' });
  fill(main, el('h1', { tabindex: -1 }, t('sessions'), server ? ' ' : '', server ? el('code', {}, server) : ''), box);
  list(
    box,
    left,
    /** @type {Parameters<typeof list<LiveSession>>[2]} */ ({
      title: t('sessions'),
      headings: [t('user'), t('id'), t('device'), t('server')],
      empty: t('no-sessions'),
      row: ({ user, device, server: at }) => [
        el('a', { href: `#/users/${user.id}` }, named(user.name)),
        String(user.id),
        named(device),
        el('code', {}, at),
      ],
      page: async (after) => {
        const said = await call('GET', withQuery('/v1/admin/sessions', { server, after }));
        return { items: said.sessions, more: said.more };
      },
    }),
  )();
}
