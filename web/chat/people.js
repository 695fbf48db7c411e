/** A person: online or not, blocked or not. */

import { el, fill } from '../shared/dom.js';
import { busy, notice, openDialog } from './dialog.js';
import { errorText } from './errors.js';
import { sign } from './pictures.js';
import { t } from './texts.js';

/** @typedef {import('../cim/types.js').Client} Client */

/**
 * @param {Client} client
 * @param {number} user
 * @param {string} name as it is shown
 */
export async function aboutPerson(client, user, name) {
  const problem = notice();
  const buttons = el('div', { class: 'row' });
  const about = el(
    'div',
    { class: 'stack' },
    el(
      'div',
      { class: 'row' },
      sign(user, name, 'big'),
      el(
        'div',
        {},
        el('strong', {}, el('bdi', {}, name)),
        el('p', { class: 'faint small' }, t(client.isOnline(user) ? 'online' : 'offline')),
        el('p', { class: 'faint small' }, t('person.number', { id: String(user) })),
      ),
    ),
    el('p', { class: 'faint' }, t('block.what')),
    buttons,
    problem,
  );
  openDialog(t('about'), { testid: 'person' }, about);
  const draw = async () => {
    const blocked = (await client.blocks()).some((one) => one.id === user);
    const turn = () =>
      busy(
        about,
        problem,
        async () => {
          await (blocked ? client.unblock(user) : client.block(user));
          await draw();
        },
        errorText,
      );
    fill(
      buttons,
      el(
        'button',
        { type: 'button', class: blocked ? '' : 'danger', 'data-testid': blocked ? 'unblock' : 'block', onclick: turn },
        t(blocked ? 'unblock' : 'block'),
      ),
    );
  };
  await busy(about, problem, draw, errorText);
}
