/** What one can do with a message: a bar of buttons that goes where the pointer or the focus is. */

import { el } from '../shared/dom.js';
import { pictureButton } from './pictures.js';
import { t } from './texts.js';
import { whole } from './times.js';

/**
 * @typedef {import('../cim/types.js').Message} Message
 * @typedef {import('../cim/types.js').Position} Position
 */

/** How long a message can be edited or taken back, ms (docs/protocol.md, Sending). */
const CHANGEABLE = 24 * 3600 * 1000;

/**
 * @param {HTMLElement} box that holds the messages
 * @param {object} does
 * @param {(position: Position) => Message | null} does.at
 * @param {(message: Message, text: string) => void} does.react
 * @param {(message: Message) => void} does.edit
 * @param {(message: Message) => void} does.recall
 * @param {(message: Message) => void} does.report
 */
export function actions(box, does) {
  /** @type {Message | null} */
  let message = null;
  const act = (/** @type {(message: Message) => unknown} */ run) => () => {
    if (message) run(message);
  };
  const react = pictureButton('smile', t('react'), {
    'data-testid': 'react',
    onclick: act(async (one) => (await import('./picker.js')).openPicker(react, (emoji) => does.react(one, emoji))),
  });
  const copy = pictureButton('copy', t('copy'), { onclick: act((one) => navigator.clipboard.writeText(one.text)) });
  const edit = pictureButton('edit', t('edit'), { 'data-testid': 'edit', onclick: act(does.edit) });
  const recall = pictureButton('recall', t('recall'), { 'data-testid': 'recall', onclick: act(does.recall) });
  const report = pictureButton('flag', t('report'), { 'data-testid': 'report', onclick: act(does.report) });
  const bar = el('div', { class: 'actions', role: 'group', 'aria-label': t('actions') }, react, copy, edit, recall, report);

  /** @param {EventTarget | null} target */
  const move = (target) => {
    const article = target instanceof Element ? target.closest('article.message') : null;
    if (!article || article === bar.parentElement) return;
    const time = article.querySelector('time');
    if (time) time.title = whole(Date.parse(time.dateTime));
    const found = does.at(article.getAttribute('data-position') ?? '');
    if (!found || found.recalled || found.kind !== 'text') return;
    message = found;
    const own = found.mine && Date.now() - found.sentAt < CHANGEABLE;
    edit.hidden = !own || found.data !== null;
    recall.hidden = !own;
    report.hidden = found.mine;
    // A page without a secure context has no clipboard.
    copy.hidden = !navigator.clipboard || !found.text;
    article.append(bar);
  };
  box.addEventListener('pointerover', (event) => {
    // Never away from under the focus.
    if (!bar.contains(document.activeElement)) move(event.target);
  });
  box.addEventListener('focusin', (event) => move(event.target));
  box.addEventListener('pointerdown', (event) => event.pointerType === 'touch' && move(event.target));
}
