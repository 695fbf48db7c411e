/** Reporting a message to the operators. */

import { el } from '../shared/dom.js';
import { visibleText } from '../shared/visible.js';
import { busy, notice, openDialog } from './dialog.js';
import { errorText } from './errors.js';
import { t } from './texts.js';

/** How much of the message is shown, characters. */
const SHOWN = 200;

/**
 * Ask why, and report it.
 * @param {import('../cim/types.js').Message} message
 * @param {import('../cim/types.js').Client} client
 */
export function openReport(message, client) {
  const reason = el('input', { type: 'text', maxlength: 160, autocomplete: 'off', 'data-testid': 'report-reason' });
  const line = notice('report-said');
  const form = el(
    'form',
    {
      class: 'stack',
      onsubmit: (/** @type {Event} */ event) => {
        event.preventDefault();
        const send = async () => {
          const isNew = await client.report(message, reason.value.trim());
          form.replaceChildren(line);
          line.say(t(isNew ? 'report.done' : 'report.again'), true);
        };
        busy(form, line, send, (error) => errorText(error, 'report'));
      },
    },
    el('p', { class: 'faint', dir: 'auto' }, visibleText(message.text.slice(0, SHOWN))),
    el('p', {}, t('report.about')),
    el('label', { class: 'field' }, el('span', {}, t('report.why')), reason),
    line,
    el('button', { class: 'danger', 'data-testid': 'report-send' }, t('report.send')),
  );
  openDialog(t('report'), { testid: 'report-dialog' }, form);
  reason.focus();
}
