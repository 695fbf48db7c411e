/** Bans and mutes: the buttons, and the window that asks for how long and why. */

import { el } from '../shared/dom.js';
import { call } from './api.js';
import { ask } from './dialog.js';
import { button, sentence, when } from './parts.js';
import { t } from './texts.js';

/** @typedef {{ until: number | null, reason: string, since: number }} Sanction */
/** @typedef {{ id: number, name: string, password: boolean, ban: Sanction | null, mute: Sanction | null }} Person */

/** For how long, in seconds; 0 for good. */
const TIMES = { hour: 3600, day: 86400, week: 604800, month: 2592000, good: 0 };

/** Whether the key may moderate. @param {import('./main.js').Context} context */
export const mayModerate = ({ session }) => session.scopes.includes('moderate');

/** What a sanction says. @param {Sanction | null} sanction */
export function sanctionText(sanction) {
  if (!sanction) return t('no');
  const ends = sanction.until ? t('until', { time: when(sanction.until) }) : t('for-good');
  return sanction.reason ? `${ends}: ${sanction.reason}` : ends;
}

/**
 * Ask for how long and why, and do it; return what was done, empty for nothing.
 * @param {'ban' | 'mute'} what
 * @param {{ id: number, name: string }} user
 */
export async function sanction(what, { id, name }) {
  const form = await ask(
    { title: t(what), yes: t(what), danger: true },
    el('p', {}, sentence(`${what}.ask`, { name })),
    el(
      'label',
      { class: 'field' },
      el('span', {}, t('for-how-long')),
      el(
        'select',
        { name: 'seconds', 'data-testid': 'seconds' },
        ...Object.entries(TIMES).map(([key, seconds]) => el('option', { value: seconds }, t(`time.${key}`))),
      ),
    ),
    el(
      'label',
      { class: 'field' },
      el('span', {}, t('reason.told')),
      el('input', { type: 'text', name: 'reason', maxlength: 100, autocomplete: 'off', 'data-testid': 'reason' }),
    ),
  );
  if (!form) return '';
  const seconds = Number(form.get('seconds'));
  const reason = String(form.get('reason') ?? '');
  await call('PUT', `/v1/admin/users/${id}/${what}`, { reason, ...(seconds ? { seconds } : {}) });
  return sentence(`${what}.done`, { name });
}

/**
 * The buttons that ban and mute a user, and end that.
 * @param {Person} user
 * @param {(run: () => Promise<string>) => (event: Event) => Promise<void>} doing runs one, and says what was done
 */
export function sanctionButtons(user, doing) {
  const { id, name } = user;
  /** @param {'ban' | 'mute'} what */
  const one = (what) =>
    user[what]
      ? button(
          t(`un${what}`),
          doing(async () => {
            await call('DELETE', `/v1/admin/users/${id}/${what}`);
            return sentence(`un${what}.done`, { name });
          }),
          { testid: `un${what}` },
        )
      : button(t(what), doing(() => sanction(what, user)), { testid: what, class: 'danger' });
  return [one('mute'), ...(user.password || user.ban ? [one('ban')] : [])];
}
