/** Drawings and the round signs of people and groups. */

import { drawing, el } from '../shared/dom.js';

const PATHS = {
  back: 'M15 5l-7 7 7 7',
  bell: 'M6 17v-6a6 6 0 0 1 12 0v6l1.5 2h-15zM10 21h4',
  'bell-off': 'M8 7a6 6 0 0 1 10 4v4M6 11v6l-1.5 2H17M10 21h4M4 4l16 16',
  close: 'M6 6l12 12M18 6L6 18',
  copy: 'M9 9h10v11H9zM5 15V4h10',
  down: 'M12 4v15M5 12l7 7 7-7',
  edit: 'M4 20l1-5L16 4l4 4L9 19zM14 6l4 4',
  everyone: 'M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18M3 12h18M12 3c-5 5-5 13 0 18M12 3c5 5 5 13 0 18',
  flag: 'M6 21V4M6 5h11l-2 4 2 4H6',
  group:
    'M9 11a3 3 0 1 0 0-6 3 3 0 0 0 0 6M3 20c0-4 2.5-6 6-6s6 2 6 6M16 5.3a3 3 0 0 1 0 5.4M17.5 14.4c2.3.8 3.5 2.7 3.5 5.6',
  info: 'M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18M12 11v6M12 7v.5',
  leave: 'M10 4H5v16h5M14 8l4 4-4 4M18 12H9',
  plus: 'M12 5v14M5 12h14',
  recall: 'M9 5L4 10l5 5M4 10h10a6 6 0 0 1 0 12h-3',
  search: 'M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14M16 16l5 5',
  send: 'M4 12L3 4l18 8-18 8zM4 12h9',
  settings: 'M4 7h9M17 7h3M4 17h3M11 17h9M15 4.5v5M9 14.5v5',
  smile: 'M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18M8 14c1 2 2.4 3 4 3s3-1 4-3M9 9v.5M15 9v.5',
};

/** @typedef {keyof typeof PATHS} Picture */

/** @param {Picture} name */
export const picture = (name) => drawing(PATHS[name]);

/**
 * A button of one drawing; `label` is read out, and shown when the pointer rests on it.
 * @param {Picture} name
 * @param {string} label
 * @param {Record<string, unknown>} [attributes]
 * @returns {HTMLButtonElement}
 */
export function pictureButton(name, label, attributes = {}) {
  return el(
    'button',
    { type: 'button', class: 'plain square', 'aria-label': label, title: label, ...attributes },
    picture(name),
  );
}

/**
 * The round sign of somebody or something: its first letter on one of eight colours.
 * @param {number} id of a user or a group; 0 is everyone
 * @param {string} name as it is shown
 * @param {string} [more] classes
 * @returns {HTMLElement}
 */
export function sign(id, name, more = '') {
  const made = el('span', { class: `sign hue-${id % 8} ${more}`, 'aria-hidden': 'true' });
  if (id === 0) made.append(picture('everyone'));
  else made.append(firstLetter(name));
  return made;
}

const LETTERS = new Intl.Segmenter();

/** @param {string} name */
function firstLetter(name) {
  for (const { segment } of LETTERS.segment(name)) {
    if (segment.trim()) return segment.toUpperCase();
  }
  return '?';
}
