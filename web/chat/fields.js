/** Fields of forms, each with its label. */

import { el } from '../shared/dom.js';
import { t } from './texts.js';

/**
 * A field with its label.
 * @param {string} label
 * @param {Record<string, unknown>} attributes
 * @param {string} [hint]
 */
export function field(label, attributes, hint = '') {
  const input = el('input', attributes);
  return {
    input,
    node: el('label', { class: 'field' }, el('span', {}, label), input, hint && el('small', { class: 'faint' }, hint)),
  };
}

/**
 * A password, with a button that shows it.
 * @param {string} label
 * @param {Record<string, unknown>} attributes
 * @param {string} [hint]
 */
export function passwordField(label, attributes, hint = '') {
  const { input, node } = field(label, { type: 'password', required: true, ...attributes }, hint);
  const show = el('button', { type: 'button', class: 'plain show', 'aria-pressed': 'false' }, t('password.show'));
  show.addEventListener('click', () => {
    const shown = input.type === 'password';
    input.type = shown ? 'text' : 'password';
    show.setAttribute('aria-pressed', String(shown));
    show.textContent = t(shown ? 'password.hide' : 'password.show');
  });
  return { input, node: el('div', { class: 'password' }, node, show) };
}

/** What a new password must have. */
export const NEW_PASSWORD = { autocomplete: 'new-password', minlength: 8, maxlength: 1024 };
