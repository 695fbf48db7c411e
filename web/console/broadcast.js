/** Broadcasts: what an operator says as the system user. */

import { el } from '../shared/dom.js';
import { call } from './api.js';
import { ask } from './dialog.js';
import { action, button } from './parts.js';
import { t } from './texts.js';

/**
 * The button that says something as the system user.
 * @param {{ to_user: number } | { to_group: number } | {}} to whom; everyone with neither
 * @param {string} question who is to hear it, in words
 * @param {import('./parts.js').Notice} line
 */
export function broadcastButton(to, question, line) {
  // What was not answered may have been said: the same text is the same message until it is known to be there.
  let tried = { text: '', client_id: '' };
  const run = async () => {
    const field = el('textarea', { name: 'text', rows: 4, required: true, maxlength: 10_000, 'data-testid': 'text' });
    const form = await ask(
      { title: t('broadcast'), yes: t('broadcast.send') },
      el('p', {}, question),
      el('label', { class: 'field' }, el('span', {}, t('text')), field),
    );
    if (!form) return;
    const text = String(form.get('text'));
    if (tried.text !== text) tried = { text, client_id: crypto.randomUUID() };
    await call('POST', '/v1/admin/broadcasts', { ...to, ...tried });
    tried = { text: '', client_id: '' };
    line.good(t('broadcast.done'));
  };
  return button(t('broadcast'), action(line, run), { testid: 'broadcast' });
}
