/** Finding users, and what operators do to one. */

import { el, fill } from '../shared/dom.js';
import { call, withQuery } from './api.js';
import { ask } from './dialog.js';
import { list } from './list.js';
import { action, button, facts, goTo, load, named, notice, section, sentence, state, table, when } from './parts.js';
import { t } from './texts.js';

/**
 * @typedef {{ id: number, name: string, password: boolean, suspended: boolean, online: boolean }} ListedUser
 * @typedef {{ device: string, live: boolean, since: number, server: string }} DeviceSession
 * @typedef {{ id: number, name: string, password: boolean, suspended: boolean,
 *   groups: { group: number, role: string }[], invitations: { group: number, by: number, at: number }[],
 *   blocked: number[], sessions: DeviceSession[] }} Stored
 */

/** @param {{ password: boolean, suspended: boolean }} user */
const kind = ({ password, suspended }) =>
  suspended ? state(false, t('account.suspended')) : t(password ? 'account.password' : 'account.guest');

/** Of how many groups of a user the names are shown. */
const NAMED_GROUPS = 50;
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

/**
 * One user, at `#/users/<id>`.
 * @param {HTMLElement} main
 * @param {import('./main.js').Context} context
 */
export function user(main, context) {
  const { left, session, rest } = context;
  const path = `/v1/admin/users/${encodeURIComponent(rest[0])}`;
  const line = notice();
  const box = el('div', { class: 'stack' });
  fill(main, el('h1', { tabindex: -1 }, t('user')), line.line, box);
  const show = () =>
    load(box, left, async () => {
      // With the scope `read` alone, it is the name and where the user is logged in.
      if (!session.scopes.includes('admin')) throw new Error(t('needs-admin'));
      const stored = /** @type {Stored} */ (await call('GET', `${path}/stored`));
      const names = await groupNames(stored.groups.map(({ group }) => group));
      fill(/** @type {Element} */ (main.querySelector('h1')), named(stored.name));
      return parts(stored, names, { path, line, show, context });
    });
  show();
}

/** @typedef {{ path: string, line: import('./parts.js').Notice, show: () => void, context: import('./main.js').Context }} Acting */

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
      facts([[t('id'), String(stored.id)], [t('account'), kind(stored)]]),
      el('div', { class: 'row actions' }, ...actions(stored, acting)),
    ),
    section(t('sessions'), sessionsOf(stored, acting)),
    section(
      t('member-of'),
      stored.groups.length
        ? table(
            t('member-of'),
            [t('group'), t('id'), t('role')],
            stored.groups.map(({ group, role }) => [groupLink(group, names.get(group)), `g:${group}`, t(`role.${role}`)]),
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
 * The buttons, each of which asks again.
 * @param {Stored} stored
 * @param {Acting} acting
 */
function actions(stored, { path, line, show, context }) {
  const { name } = stored;
  /**
   * @param {string} words
   * @param {() => Promise<string>} run returns what was done, empty for nothing
   * @param {{ class?: string, testid: string, after?: (done: string) => void }} look
   */
  const one = (words, run, { after = show, ...look }) =>
    button(
      words,
      action(line, async () => {
        const done = await run();
        if (!done) return;
        line.good(done);
        after(done);
      }),
      look,
    );
  return [
    one(t('kick'), async () => {
      if (!(await ask({ title: t('kick'), yes: t('kick') }, el('p', {}, sentence('kick.ask', { name }))))) return '';
      await call('POST', `${path}/logout`);
      return sentence('kick.done', { name });
    }, { testid: 'kick' }),
    one(t('password'), () => newPassword(path, name), { testid: 'password' }),
    one(t('reset-code'), () => resetCode(path, name), { testid: 'reset-code' }),
    stored.suspended
      ? one(t('resume'), async () => {
          await call('DELETE', `${path}/suspension`);
          return sentence('resume.done', { name });
        }, { testid: 'resume' })
      : stored.password
        ? one(t('suspend'), async () => {
            if (!(await ask({ title: t('suspend'), yes: t('suspend'), danger: true }, el('p', {}, sentence('suspend.ask', { name }))))) return '';
            await call('PUT', `${path}/suspension`);
            return sentence('suspend.done', { name });
          }, { testid: 'suspend', class: 'danger' })
        : null,
    one(t('delete'), () => remove(path, name, line), {
      testid: 'delete',
      class: 'danger',
      after: (done) => {
        if (!context.left.aborted) goTo('#/users', done);
      },
    }),
  ];
}

/**
 * @param {string} path
 * @param {string} name
 */
async function newPassword(path, name) {
  const field = el('input', { type: 'text', name: 'password', required: true, minlength: 8, maxlength: 1024, autocomplete: 'off', spellcheck: 'false' });
  const form = await ask(
    { title: t('password'), yes: t('password.set') },
    el('p', {}, sentence('password.about', { name })),
    el('label', { class: 'field' }, el('span', {}, t('password')), field),
  );
  if (!form) return '';
  await call('PUT', `${path}/password`, { password: String(form.get('password')) });
  return sentence('password.done', { name });
}

/**
 * @param {string} path
 * @param {string} name
 */
async function resetCode(path, name) {
  const { code, expires } = await call('POST', `${path}/reset-code`);
  await ask(
    { title: t('reset-code') },
    el('p', {}, sentence('reset-code.about', { name }, { time: when(expires) })),
    el('p', {}, el('code', { class: 'secret', 'data-testid': 'code' }, code)),
  );
  return '';
}

/**
 * @param {string} path
 * @param {string} name
 * @param {import('./parts.js').Notice} line
 */
async function remove(path, name, line) {
  const form = await ask(
    { title: t('delete'), yes: t('delete'), danger: true },
    el('p', {}, sentence('delete.ask', { name })),
    el('label', { class: 'choice' }, el('input', { type: 'checkbox', name: 'erase' }), el('span', {}, sentence('delete.erase', { name }))),
  );
  if (!form) return '';
  if (form.get('erase')) {
    /** @type {string | null} */
    let after = '';
    let count = 0;
    while (after !== null) {
      const said = /** @type {{ messages: number, more: string | null }} */ (await call('POST', `${path}/erase`, { after }));
      count += said.messages;
      after = said.more;
      line.good(t('delete.erasing', { count }));
    }
  } else {
    await call('DELETE', path);
  }
  return sentence('delete.done', { name });
}

/**
 * @param {Stored} stored
 * @param {Acting} acting
 */
function sessionsOf({ id, name, sessions }, { line, show }) {
  if (!sessions.length) return el('p', { class: 'faint' }, t('no-sessions'));
  return table(
    t('sessions'),
    [t('device'), t('state'), t('since'), t('server'), t('actions')],
    sessions.map(({ device, live, since, server }) => [
      named(device),
      live ? state(true, t('live')) : t('reserved'),
      when(since),
      el('code', {}, server),
      button(
        t('end-session'),
        action(line, async () => {
          const question = sentence('end-session.ask', { name, device });
          if (!(await ask({ title: t('end-session'), yes: t('end-session') }, el('p', {}, question)))) return;
          await call('DELETE', `/v1/admin/sessions/${id}/${encodeURIComponent(device)}`);
          show();
        }),
        { class: 'small' },
      ),
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
