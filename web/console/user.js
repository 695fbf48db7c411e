/** One user: the account, where it is logged in, its groups, and with whom it talks. */

import { el, fill } from '../shared/dom.js';
import { call, withQuery } from './api.js';
import { ask } from './dialog.js';
import { list } from './list.js';
import { action, button, facts, load, named, notice, section, sentence, state, table, when } from './parts.js';
import { t } from './texts.js';
import { actions, mayChange } from './actions.js';
import { sanctionText } from './sanctions.js';
import { kind } from './users.js';

/**
 * @typedef {{ device: string, live: boolean, since: number, server: string }} DeviceSession
 * @typedef {{ id: number, name: string, password: boolean, suspended: boolean,
 *   groups: { group: number, role: string }[], invitations: { group: number, by: number, at: number }[],
 *   blocked: number[], sessions: DeviceSession[], ban: import('./sanctions.js').Sanction | null,
 *   mute: import('./sanctions.js').Sanction | null }} Stored
 */

/** Of how many groups of a user the names are shown. */
const NAMED_GROUPS = 50;

/**
 * One user, at `#/users/<id>`.
 * @param {HTMLElement} main
 * @param {import('./main.js').Context} context
 */
export function user(main, context) {
  const { left, rest } = context;
  const path = `/v1/admin/users/${encodeURIComponent(rest[0])}`;
  const line = notice();
  const box = el('div', { class: 'stack' });
  fill(main, el('h1', { tabindex: -1 }, t('user')), line.line, box);
  const show = () =>
    load(box, left, async () => {
      const stored = /** @type {Stored} */ (await call('GET', `${path}/stored`));
      const names = await groupNames(stored.groups.map(({ group }) => group));
      fill(/** @type {Element} */ (main.querySelector('h1')), named(stored.name));
      return parts(stored, names, { path, line, show, context });
    });
  show();
}

/**
 * What its buttons need.
 * @typedef {{ path: string, line: import('./parts.js').Notice, show: () => void,
 *   context: import('./main.js').Context }} Acting
 */

/**
 * The names of some groups, as far as there are few of them and the key may see groups.
 * @param {number[]} ids
 * @returns {Promise<Map<number, string>>}
 */
async function groupNames(ids) {
  const found = await Promise.allSettled(ids.slice(0, NAMED_GROUPS).map((id) => call('GET', `/v1/admin/groups/${id}`)));
  return new Map(found.flatMap((one) => (one.status === 'fulfilled' ? [[one.value.id, one.value.name]] : [])));
}

/**
 * @param {Stored} stored
 * @param {Map<number, string>} names of groups
 * @param {Acting} acting
 */
function parts(stored, names, acting) {
  return [
    section(
      t('account'),
      facts([
        [t('id'), String(stored.id)],
        [t('account'), kind(stored)],
        [t('banned'), sanctionText(stored.ban)],
        [t('muted'), sanctionText(stored.mute)],
      ]),
      el('div', { class: 'row actions' }, ...actions(stored, acting)),
    ),
    section(t('sessions'), sessionsOf(stored, acting)),
    section(
      t('member-of'),
      stored.groups.length
        ? table(
            t('member-of'),
            [t('group'), t('id'), t('role')],
            stored.groups.map(({ group, role }) => [
              groupLink(group, names.get(group)),
              `g:${group}`,
              t(`role.${role}`),
            ]),
          )
        : el('p', { class: 'faint' }, t('none')),
      facts([
        [t('invited-to'), linked(stored.invitations.map(({ group }) => groupLink(group)))],
        [t('blocks'), linked(stored.blocked.map((id) => el('a', { href: `#/users/${id}` }, String(id))))],
      ]),
    ),
    talksOf(stored, acting),
  ];
}

/** @param {Node[]} links */
const linked = (links) => (links.length ? el('span', { class: 'row' }, ...links) : t('none'));

/**
 * @param {number} id
 * @param {string} [name]
 */
const groupLink = (id, name) => el('a', { href: `#/groups/${id}` }, name ? named(name) : `g:${id}`);

/**
 * @param {Stored} stored
 * @param {Acting} acting
 */
function sessionsOf({ id, name, sessions }, { line, show, context }) {
  if (!sessions.length) return el('p', { class: 'faint' }, t('no-sessions'));
  /** @param {string} device */
  const endButton = (device) =>
    button(
      t('end-session'),
      action(line, async () => {
        const question = sentence('end-session.ask', { name, device });
        if (!(await ask({ title: t('end-session'), yes: t('end-session') }, el('p', {}, question)))) return;
        await call('DELETE', `/v1/admin/sessions/${id}/${encodeURIComponent(device)}`);
        show();
      }),
      { class: 'small' },
    );
  return table(
    t('sessions'),
    [t('device'), t('state'), t('since'), t('server'), ...(mayChange(context) ? [t('actions')] : [])],
    sessions.map(({ device, live, since, server }) => [
      named(device),
      live ? state(true, t('live')) : t('reserved'),
      when(since),
      el('code', {}, server),
      ...(mayChange(context) ? [endButton(device)] : []),
    ]),
  );
}

/**
 * The user's conversations, by name alone: whom with, and which groups.
 * @param {Stored} stored
 * @param {Acting} acting
 */
function talksOf({ id }, { path, context }) {
  const box = el('div', { class: 'stack' });
  const find = list(
    box,
    context.left,
    /** @type {Parameters<typeof list<string>>[2]} */ ({
      title: t('talks'),
      headings: [t('talk')],
      empty: t('talks.empty'),
      searching: t('users.search-on'),
      row: (talk) => [el('a', { href: `#/users/${id}/${encodeURIComponent(talk)}` }, talk)],
      page: async (after) => {
        const said = await call('GET', withQuery(`${path}/conversations`, { after }));
        return { items: said.conversations, more: said.more };
      },
    }),
  );
  fill(box, button(t('talks.find'), find, { testid: 'talks' }));
  return section(t('talks'), box);
}
