/** What operators do to a user. Whatever takes something away asks again. */

import { el } from '../shared/dom.js';
import { call } from './api.js';
import { broadcastButton } from './broadcast.js';
import { ask } from './dialog.js';
import { action, button, goTo, sentence, when } from './parts.js';
import { mayModerate, sanctionButtons } from './sanctions.js';
import { t } from './texts.js';

/**
 * @typedef {import('./user.js').Stored} Stored
 * @typedef {import('./user.js').Acting} Acting
 */

/** Whether the key may change accounts. @param {import('./main.js').Context} context */
export const mayChange = ({ session }) => session.scopes.includes('users');

/**
 * Its buttons.
 * @param {Stored} stored
 * @param {Acting} acting
 */
export function actions(stored, { path, line, show, context }) {
  const { name } = stored;
  /**
   * @param {() => Promise<string>} run returns what was done, empty for nothing
   * @param {(done: string) => void} [after]
   */
  const doing = (run, after = show) =>
    action(line, async () => {
      const done = await run();
      if (!done) return;
      line.good(done);
      after(done);
    });
  /**
   * @param {string} words
   * @param {() => Promise<string>} run returns what was done, empty for nothing
   * @param {{ class?: string, testid: string, after?: (done: string) => void }} look
   */
  const one = (words, run, { after, ...look }) => button(words, doing(run, after), look);
  const saying = () => broadcastButton({ to_user: stored.id }, sentence('broadcast.user', { name }), line);
  const moderating = mayModerate(context) ? [saying(), ...sanctionButtons(stored, doing)] : [];
  if (!mayChange(context)) return moderating;
  return [
    ...moderating,
    one(
      t('kick'),
      async () => {
        if (!(await ask({ title: t('kick'), yes: t('kick') }, el('p', {}, sentence('kick.ask', { name }))))) return '';
        await call('POST', `${path}/logout`);
        return sentence('kick.done', { name });
      },
      { testid: 'kick' },
    ),
    one(t('password'), () => newPassword(path, name), { testid: 'password' }),
    one(t('reset-code'), () => resetCode(path, name), { testid: 'reset-code' }),
    mayModerate(context)
      ? null
      : stored.suspended
      ? one(
          t('resume'),
          async () => {
            await call('DELETE', `${path}/suspension`);
            return sentence('resume.done', { name });
          },
          { testid: 'resume' },
        )
      : stored.password
        ? one(
            t('suspend'),
            async () => {
              if (
                !(await ask(
                  { title: t('suspend'), yes: t('suspend'), danger: true },
                  el('p', {}, sentence('suspend.ask', { name })),
                ))
              )
                return '';
              await call('PUT', `${path}/suspension`);
              return sentence('suspend.done', { name });
            },
            { testid: 'suspend', class: 'danger' },
          )
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
  const field = el('input', {
    type: 'text',
    name: 'password',
    required: true,
    minlength: 8,
    maxlength: 1024,
    autocomplete: 'off',
    spellcheck: 'false',
  });
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
    el(
      'label',
      { class: 'choice' },
      el('input', { type: 'checkbox', name: 'erase' }),
      el('span', {}, sentence('delete.erase', { name })),
    ),
  );
  if (!form) return '';
  if (form.get('erase')) {
    /** @type {string | null} */
    let after = '';
    let count = 0;
    while (after !== null) {
      const said = /** @type {{ messages: number, more: string | null }} */ (
        await call('POST', `${path}/erase`, { after })
      );
      count += said.messages;
      after = said.more;
      line.good(t('delete.erasing', { count }));
    }
  } else {
    await call('DELETE', path);
  }
  return sentence('delete.done', { name });
}
