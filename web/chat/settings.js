/** What one can set: language, looks, notifications, password, devices, blocked people; and the way out. */

import { el, fill } from '../shared/dom.js';
import { shownName, visibleText } from '../shared/visible.js';
import { ask, busy, notice, openDialog } from './dialog.js';
import { errorText } from './errors.js';
import { NEW_PASSWORD, passwordField } from './fields.js';
import { setTheme, theme } from './memory.js';
import { sign } from './pictures.js';
import { language, t } from './texts.js';
import { whole } from './times.js';

/** @typedef {import('../cim/types.js').Client} Client */

/**
 * @param {string} label
 * @param {string} testid
 * @param {[string, string][]} options value and words
 * @param {string} chosen
 * @param {(value: string) => void} choose
 */
function choices(label, testid, options, chosen, choose) {
  const select = el(
    'select',
    { 'data-testid': testid },
    ...options.map(([value, words]) => el('option', { value, selected: value === chosen }, words)),
  );
  select.addEventListener('change', () => choose(select.value));
  return el('label', { class: 'field' }, el('span', {}, label), select);
}

/**
 * @param {{ client: Client, speak: (language: string) => void, notifications: { node: Node }, leave: () => Promise<void> }} chat
 */
export function openSettings({ client, speak, notifications, leave }) {
  const problem = notice();
  const me = client.me;
  const name = shownName(me?.name ?? '');
  const out = el('button', { type: 'button', class: 'danger', 'data-testid': 'log-out' }, t('log-out'));
  const dialog = openDialog(
    t('settings'),
    { testid: 'settings-dialog' },
    el(
      'div',
      { class: 'row' },
      sign(me?.id ?? 0, name, 'big'),
      el(
        'div',
        { class: 'grow' },
        el('strong', {}, el('bdi', {}, name)),
        el('p', { class: 'faint small' }, t('person.number', { id: String(me?.id ?? '') })),
      ),
      out,
    ),
    problem,
    el(
      'div',
      { class: 'row' },
      choices(
        t('language'),
        'language',
        [
          ['en', 'English'],
          ['zh', '中文'],
        ],
        language(),
        speak,
      ),
      choices(
        t('theme'),
        'theme',
        [
          ['', t('theme.auto')],
          ['light', t('theme.light')],
          ['dark', t('theme.dark')],
        ],
        theme(),
        setTheme,
      ),
    ),
    part('notifications', notifications.node),
    part('password.change', passwordForm(client)),
    part('devices', devices(client)),
    part('blocked', blocked(client)),
  );
  out.addEventListener('click', async () => {
    const waiting = (await client.outgoing().catch(() => [])).filter((one) => one.state !== 'stored').length;
    if (waiting && !(await ask(t('log-out.unsent'), t('log-out')))) return;
    await busy(
      dialog,
      problem,
      async () => {
        await leave();
        dialog.close();
      },
      errorText,
    );
  });
}

/** @param {string} title @param {Node} content */
function part(title, content) {
  return el('section', { class: 'stack' }, el('h3', {}, t(title)), content);
}

/** @param {Client} client */
function passwordForm(client) {
  const before = passwordField(t('password.now'), { autocomplete: 'current-password', 'data-testid': 'password-now' });
  const after = passwordField(
    t('password.new'),
    { ...NEW_PASSWORD, 'data-testid': 'password-new' },
    t('password.hint'),
  );
  const problem = notice('password-said');
  // Programs that keep passwords want to know whose they are.
  const name = el('input', { autocomplete: 'username', value: client.me?.name ?? '', hidden: true });
  const form = el(
    'form',
    { class: 'stack' },
    name,
    before.node,
    after.node,
    el('p', { class: 'faint small' }, t('password.ends')),
    problem,
    el('div', { class: 'row' }, el('button', { 'data-testid': 'password-change' }, t('password.change'))),
  );
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    busy(
      form,
      problem,
      async () => {
        await client.changePassword(before.input.value, after.input.value);
        form.reset();
        problem.say(t('password.changed'), true);
      },
      (error) => errorText(error, 'password'),
    );
  });
  return form;
}

/** @param {Client} client */
function devices(client) {
  const problem = notice();
  const list = el('ul', { class: 'stack', 'data-testid': 'devices' });
  const box = el('div', { class: 'stack' }, list, problem);
  const read = async () => {
    const sessions = await client.sessions();
    fill(
      list,
      ...sessions.map(({ device, mine, live, since }) => {
        const shown = visibleText(device);
        const end = () =>
          busy(
            box,
            problem,
            async () => {
              await client.endSession(device);
              await read();
            },
            errorText,
          );
        return el(
          'li',
          { class: 'row', 'data-testid': 'device', 'data-device': device },
          el(
            'span',
            { class: 'grow' },
            el('bdi', {}, shown),
            el('br'),
            el(
              'span',
              { class: 'faint small' },
              t(mine ? 'device.mine' : live ? 'device.since' : 'device.opening', { since: whole(since) }),
            ),
          ),
          !mine &&
            el(
              'button',
              {
                type: 'button',
                class: 'danger',
                'data-testid': 'end-session',
                'aria-label': t('device.end.which', { device: shown }),
                onclick: end,
              },
              t('device.end'),
            ),
        );
      }),
    );
  };
  busy(box, problem, read, errorText);
  return box;
}

/** @param {Client} client */
function blocked(client) {
  const problem = notice();
  const list = el('ul', { class: 'stack', 'data-testid': 'blocks' });
  const box = el('div', { class: 'stack' }, list, problem);
  const read = async () => {
    const users = await client.blocks();
    fill(
      list,
      users.length === 0 && el('li', { class: 'faint' }, t('blocked.none')),
      ...users.map((user) => {
        const name = shownName(user.name || String(user.id));
        const end = () =>
          busy(
            box,
            problem,
            async () => {
              await client.unblock(user.id);
              await read();
            },
            errorText,
          );
        return el(
          'li',
          { class: 'row' },
          el('bdi', { class: 'grow' }, name),
          el('button', { type: 'button', 'aria-label': t('unblock.who', { who: name }), onclick: end }, t('unblock')),
        );
      }),
    );
  };
  busy(box, problem, read, errorText);
  return box;
}
