/** The emoji that one picks: for a reaction, or to put into a text. */

import { el } from '../shared/dom.js';
import { roving, settle } from '../shared/roving.js';
import { inside } from './dialog.js';
import { t } from './texts.js';

const EMOJI = [
  '👍 👎 ❤️ 😂 😮 😢 🙏 🎉',
  '😀 😃 😄 😁 😅 🤣 😊 😉',
  '😍 😘 😋 😎 🤔 🙄 😴 🤯',
  '😡 😭 😱 🥳 🤝 👏 🙌 💪',
  '👀 👌 ✌️ 🤞 👋 ✅ ❌ ❓',
  '🔥 ⭐ 💡 🚀 ☕ 🎂 🌹 🐞',
]
  .join(' ')
  .split(' ');
const COLUMNS = 8;
/** What a reaction may have, bytes (docs/protocol.md, Sending). */
const MOST = 64;

/**
 * Open the picker beside `place`. Any other emoji can be typed into its field.
 * @param {Element} place
 * @param {(emoji: string) => void} picked
 */
export function openPicker(place, picked) {
  const done = (/** @type {string} */ emoji) => {
    dialog.close();
    picked(emoji);
  };
  const other = el('input', {
    'aria-label': t('picker.other'),
    placeholder: t('picker.other'),
    maxlength: 32,
    'data-testid': 'pick-other',
  });
  const form = el('form', { class: 'row' }, other, el('button', { class: 'main' }, t('ok')));
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    const emoji = other.value.trim();
    if (emoji && new TextEncoder().encode(emoji).length <= MOST) done(emoji);
  });
  const grid = el(
    'div',
    { class: 'emoji', role: 'group', 'aria-label': t('picker') },
    ...EMOJI.map((emoji) =>
      el(
        'button',
        { type: 'button', class: 'plain', 'data-testid': 'pick', 'data-reaction': emoji, onclick: () => done(emoji) },
        emoji,
      ),
    ),
  );
  const dialog = el('dialog', { class: 'picker', 'aria-label': t('picker'), 'data-testid': 'picker' }, grid, form);
  roving(grid, 'button', { columns: () => COLUMNS });
  settle(/** @type {HTMLElement[]} */ ([...grid.children]));
  dialog.addEventListener('close', () => dialog.remove());
  dialog.addEventListener('pointerdown', (event) => {
    if (event.target === dialog && !inside(dialog, event)) dialog.close();
  });
  document.body.append(dialog);
  dialog.showModal();
  beside(dialog, place);
  /** @type {HTMLElement} */ (grid.firstElementChild).focus();
}

/**
 * Move a dialog to where `place` is, wholly in sight.
 * @param {HTMLElement} dialog
 * @param {Element} place
 */
function beside(dialog, place) {
  const { left, top, bottom } = place.getBoundingClientRect();
  const { offsetWidth, offsetHeight } = dialog;
  const above = top - offsetHeight - 6;
  const y = above >= 6 ? above : Math.min(bottom + 6, innerHeight - offsetHeight - 6);
  const x = Math.min(left, innerWidth - offsetWidth - 6);
  dialog.style.setProperty('--x', `${Math.max(6, x)}px`);
  dialog.style.setProperty('--y', `${Math.max(6, y)}px`);
}
