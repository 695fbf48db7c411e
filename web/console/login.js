/** The form in which an API key is exchanged for a cookie. The key stays in its field, and only until it is sent. */

import { el, fill } from '../shared/dom.js';
import { Refused, logIn } from './api.js';
import { said } from './parts.js';
import { t } from './texts.js';

/**
 * @param {HTMLElement} box
 * @param {{ ended: boolean, entered: (session: import('./api.js').Session) => void, controls: Node }} options
 */
export function login(box, { ended, entered, controls }) {
  const field = el('input', {
    id: 'key',
    type: 'password',
    required: true,
    autocomplete: 'off',
    spellcheck: 'false',
    maxlength: 512,
    'aria-describedby': 'about',
    'data-testid': 'key',
  });
  const problem = el(
    'p',
    { class: 'notice wrong', role: 'alert', 'data-testid': 'problem', hidden: !ended },
    ended ? t('login.ended') : '',
  );
  const enter = el('button', { class: 'main', 'data-testid': 'log-in' }, t('login.enter'));
  /** @param {Event} event */
  async function submit(event) {
    event.preventDefault();
    if (enter.disabled) return;
    enter.disabled = true;
    const key = field.value.trim();
    field.value = '';
    try {
      entered(await logIn(key));
      return;
    } catch (error) {
      problem.hidden = false;
      fill(problem, words(error));
    }
    enter.disabled = false;
    field.focus();
  }
  fill(
    box,
    el(
      'main',
      { class: 'login' },
      el('header', { class: 'row' }, el('h1', { class: 'grow' }, t('title')), controls),
      el(
        'form',
        { class: 'card stack', onsubmit: submit, 'data-testid': 'login' },
        el('p', { id: 'about', class: 'faint' }, t('login.about')),
        el('label', { class: 'field' }, el('span', {}, t('login.key')), field),
        problem,
        enter,
      ),
    ),
  );
  field.focus();
}

/** @param {unknown} error */
function words(error) {
  if (error instanceof Refused && error.status === 429) return t('login.wait', { seconds: error.retryAfter });
  if (error instanceof Refused && error.status === 401) return t('login.wrong');
  return said(error);
}
