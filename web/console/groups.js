/** Finding groups, and what operators do to one. */

import { el, fill } from '../shared/dom.js';
import { call, withQuery } from './api.js';
import { broadcastButton } from './broadcast.js';
import { ask } from './dialog.js';
import { list, searchable } from './list.js';
import { action, amount, button, facts, goTo, load, named, notice, section, sentence } from './parts.js';
import { mayModerate } from './sanctions.js';
import { t } from './texts.js';

/**
 * @typedef {{ id: number, name: string, open: boolean, history: boolean, members: number }} Group
 * @typedef {{ user: { id: number, name: string }, role: string }} Member
 */

/** @param {Group} group */
const entry = ({ open }) => t(open ? 'entry.open' : 'entry.invitation');
/** @param {Group} group */
const reach = ({ history }) => t(history ? 'history.all' : 'history.since');

/**
 * @param {HTMLElement} main
 * @param {import('./main.js').Context} context
 */
export function groups(main, { left }) {
  searchable(
    main,
    left,
    /** @type {Parameters<typeof searchable<Group>>[2]} */ ({
      what: 'group',
      label: t('groups.search'),
      title: t('nav.groups'),
      headings: [t('name'), t('id'), t('members'), t('entry'), t('history')],
      empty: t('groups.empty'),
      searching: t('groups.search-on'),
      row: (one) => [
        el('a', { href: `#/groups/${one.id}`, 'data-testid': 'group' }, named(one.name)),
        `g:${one.id}`,
        amount(one.members),
        entry(one),
        reach(one),
      ],
      page: async (part, after) => {
        const said = await call('GET', withQuery('/v1/admin/groups', { part, after }));
        return { items: said.groups, more: said.more };
      },
    }),
  );
}

/**
 * One group, at `#/groups/<id>`.
 * @param {HTMLElement} main
 * @param {import('./main.js').Context} context
 */
export function group(main, context) {
  const { left, rest, session } = context;
  const path = `/v1/admin/groups/${encodeURIComponent(rest[0])}`;
  const may = session.scopes.includes('groups');
  const line = notice();
  const box = el('div', { class: 'stack' });
  fill(main, el('h1', { tabindex: -1 }, t('group')), line.line, box);
  const show = () =>
    load(box, left, async () => {
      const found = /** @type {Group} */ (await call('GET', path));
      fill(/** @type {Element} */ (main.querySelector('h1')), named(found.name));
      const members = el('div', { class: 'stack' });
      membersOf(members, found, { path, line, show, left, may, reads: session.reads_messages })();
      return [
        section(
          t('group'),
          facts([
            [t('id'), `g:${found.id}`],
            [t('members'), amount(found.members)],
            [t('entry'), entry(found)],
            [t('history'), reach(found)],
          ]),
          el(
            'div',
            { class: 'row actions' },
            el('a', { href: `#/talks/g:${found.id}` }, t('talk')),
            mayModerate(context)
              ? broadcastButton({ to_group: found.id }, sentence('broadcast.group', { group: found.name }), line)
              : null,
            may
              ? button(
                  t('dissolve'),
                  action(line, () => dissolve(found, path, line, left)),
                  { class: 'danger', testid: 'dissolve' },
                )
              : null,
          ),
        ),
        section(t('members'), members),
      ];
    });
  show();
}

/**
 * @param {HTMLElement} box
 * @param {Group} of
 * @param {{ path: string, line: import('./parts.js').Notice, show: () => void, left: AbortSignal,
 *   may: boolean, reads: boolean }} acting whether the key may remove them, and the console shows what they read
 */
function membersOf(box, { id, name: groupName }, { path, line, show, left, may, reads }) {
  return list(
    box,
    left,
    /** @type {Parameters<typeof list<Member>>[2]} */ ({
      title: t('members'),
      headings: [t('name'), t('id'), t('role'), t('actions')],
      empty: t('none'),
      row: ({ user, role }) => [
        el('a', { href: `#/users/${user.id}` }, user.name ? named(user.name) : String(user.id)),
        String(user.id),
        t(`role.${role}`),
        el(
          'span',
          { class: 'row' },
          reads ? el('a', { href: `#/users/${user.id}/g:${id}` }, t('talk')) : null,
          may &&
            button(
              t('member.remove'),
              action(line, async () => {
                const question = sentence('member.remove.ask', { name: user.name, group: groupName });
                if (
                  !(await ask(
                    { title: t('member.remove'), yes: t('member.remove'), danger: true },
                    el('p', {}, question),
                  ))
                )
                  return;
                await call('DELETE', `${path}/members/${user.id}`);
                show();
              }),
              { class: 'small danger' },
            ),
        ),
      ],
      page: async (after) => {
        const said = await call('GET', withQuery(`${path}/members`, { after }));
        return { items: said.members, more: said.more };
      },
    }),
  );
}

/**
 * @param {Group} found
 * @param {string} path
 * @param {import('./parts.js').Notice} line
 * @param {AbortSignal} left
 */
async function dissolve({ name }, path, line, left) {
  const question = sentence('dissolve.ask', { group: name });
  if (!(await ask({ title: t('dissolve'), yes: t('dissolve'), danger: true }, el('p', {}, question)))) return;
  let members = 1;
  while (members) {
    // A call removes some of them: the group is gone with the last one.
    ({ members } = /** @type {{ members: number }} */ (await call('DELETE', path)));
    if (members) line.good(t('dissolve.going', { count: members }));
  }
  if (!left.aborted) goTo('#/groups', sentence('dissolve.done', { group: name }));
}
