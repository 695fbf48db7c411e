/** Windows over the page that ask again before something is done. The browser keeps the focus in them. */

import { el } from '../shared/dom.js';
import { t } from './texts.js';

/** @typedef {import('../shared/dom.js').Child} Child */

let number = 0;

/**
 * Ask, and return what the form says once it is agreed to, null when it is not. What would be done is not what Enter
 * does at once: the focus is on the way out, unless there is something to fill in.
 * @param {{ title: string, yes?: string, danger?: boolean }} words
 * @param {...Child} children texts and fields
 * @returns {Promise<FormData | null>}
 */
export function ask({ title, yes, danger = false }, ...children) {
  number += 1;
  const heading = `dialog-${number}`;
  return new Promise((resolve) => {
    /** @type {FormData | null} */
    let answer = null;
    const no = el(
      'button',
      { type: 'button', 'data-testid': 'dialog-no', onclick: () => dialog.close() },
      t(yes ? 'cancel' : 'close'),
    );
    const form = el(
      'form',
      {
        class: 'stack',
        onsubmit: (/** @type {Event} */ event) => {
          event.preventDefault();
          answer = new FormData(form);
          dialog.close();
        },
      },
      ...children,
      el(
        'div',
        { class: 'row' },
        yes
          ? el('button', { type: 'submit', class: danger ? 'danger' : 'main', 'data-testid': 'dialog-yes' }, yes)
          : null,
        no,
      ),
    );
    const dialog = el(
      'dialog',
      { 'aria-labelledby': heading, 'data-testid': 'dialog' },
      el('header', {}, el('h2', { id: heading }, title)),
      el('div', { class: 'inside' }, form),
    );
    dialog.addEventListener('close', () => {
      dialog.remove();
      resolve(answer);
    });
    document.body.append(dialog);
    dialog.showModal();
    const field = form.querySelector('input:not([type="checkbox"]), textarea');
    if (field instanceof HTMLElement) field.focus();
    else no.focus();
  });
}
