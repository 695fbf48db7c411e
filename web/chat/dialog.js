/** Windows over the page: the browser keeps the focus in them, and Escape closes them. */

import { el } from '../shared/dom.js';
import { pictureButton } from './pictures.js';
import { t } from './texts.js';

let number = 0;

/**
 * Open a dialog; it is gone when it is closed.
 * @param {string} title
 * @param {{ testid: string, onclose?: () => void }} options
 * @param {...Node} children
 * @returns {HTMLDialogElement}
 */
export function openDialog(title, { testid, onclose }, ...children) {
  number += 1;
  const heading = `dialog-${number}`;
  const dialog = el(
    'dialog',
    { 'aria-labelledby': heading, 'data-testid': testid },
    el(
      'header',
      {},
      el('h2', { id: heading }, title),
      pictureButton('close', t('close'), { 'data-testid': 'close-dialog', onclick: () => dialog.close() }),
    ),
    el('div', { class: 'inside' }, ...children),
  );
  dialog.addEventListener('close', () => {
    dialog.remove();
    onclose?.();
  });
  // A press beside it closes it.
  dialog.addEventListener('pointerdown', (event) => {
    if (event.target === dialog && !inside(dialog, event)) dialog.close();
  });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/**
 * @param {Element} element
 * @param {PointerEvent} event
 */
export function inside(element, { clientX, clientY }) {
  const { left, right, top, bottom } = element.getBoundingClientRect();
  return clientX >= left && clientX <= right && clientY >= top && clientY <= bottom;
}

/**
 * Ask before something that cannot be undone; whether the answer was yes.
 * @param {string} question
 * @param {string} yes what the button says
 * @returns {Promise<boolean>}
 */
export function ask(question, yes) {
  return new Promise((resolve) => {
    let answer = false;
    const choose = () => {
      answer = true;
      dialog.close();
    };
    const dialog = openDialog(
      t('confirm'),
      { testid: 'confirm', onclose: () => resolve(answer) },
      el('p', {}, question),
      el(
        'div',
        { class: 'row' },
        el('button', { type: 'button', class: 'danger', 'data-testid': 'confirm-yes', onclick: choose }, yes),
        el('button', { type: 'button', 'data-testid': 'confirm-no', onclick: () => dialog.close() }, t('cancel')),
      ),
    );
  });
}

/**
 * A line for what went wrong, read out when it appears.
 * @param {string} [testid]
 * @returns {HTMLParagraphElement & { say: (words: string, good?: boolean) => void }}
 */
export function notice(testid = 'problem') {
  const line = el('p', { class: 'notice', role: 'alert', 'data-testid': testid, hidden: true });
  return Object.assign(line, {
    say(/** @type {string} */ words, good = false) {
      line.hidden = !words;
      line.classList.toggle('good', good);
      line.textContent = words;
    },
  });
}

/**
 * Run what a form or a button asks for, once at a time; what goes wrong is said in `line`.
 * @param {HTMLElement} box whose buttons rest meanwhile
 * @param {{ say: (words: string) => void }} line
 * @param {() => Promise<void>} run
 * @param {(error: unknown) => string} words
 */
export async function busy(box, line, run, words) {
  if (box.getAttribute('aria-busy') === 'true') return;
  box.setAttribute('aria-busy', 'true');
  line.say('');
  try {
    await run();
  } catch (error) {
    line.say(words(error));
  } finally {
    box.removeAttribute('aria-busy');
  }
}
