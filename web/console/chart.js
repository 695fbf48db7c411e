/** Small charts: one line each, or two, over the samples that are kept. Drawn in SVG by a few lines of our own. */

import { el, fill } from '../shared/dom.js';
import { KEPT } from './history.js';
import { t } from './texts.js';

const SVG = 'http://www.w3.org/2000/svg';
const WIDTH = 240;
const HEIGHT = 56;

/**
 * The points of a line, as SVG's path has them; where a value is not known, the line is broken. Pure.
 * @param {(number | null)[]} values the last ones at the right
 * @param {number} most what the height stands for
 */
export function path(values, most) {
  const step = WIDTH / (KEPT - 1);
  const first = KEPT - values.length;
  let drawing = '';
  let pen = 'M';
  values.forEach((value, number) => {
    if (value === null) {
      pen = 'M';
      return;
    }
    const x = ((first + number) * step).toFixed(1);
    const y = (HEIGHT - 2 - (most > 0 ? value / most : 0) * (HEIGHT - 4)).toFixed(1);
    // A point alone is a short line, which one can see.
    drawing += `${pen}${x} ${y}${pen === 'M' ? 'h0.1' : ''}`;
    pen = 'L';
  });
  return drawing;
}

/**
 * A chart under its title, with the present value in letters.
 * @param {string} title
 * @param {(value: number) => string} words a value with its unit
 */
export function chart(title, words) {
  const value = el('strong', { class: 'value' }, '–');
  const beside = el('span', { class: 'faint small' });
  const picture = document.createElementNS(SVG, 'svg');
  picture.setAttribute('viewBox', `0 0 ${WIDTH} ${HEIGHT}`);
  picture.setAttribute('preserveAspectRatio', 'none');
  picture.setAttribute('class', 'chart');
  picture.setAttribute('role', 'img');
  const lines = ['line second', 'line'].map((name) => {
    const line = document.createElementNS(SVG, 'path');
    line.setAttribute('class', name);
    picture.append(line);
    return line;
  });
  const most = el('span', { class: 'most faint small' });
  const figure = el(
    'figure',
    {},
    el('figcaption', {}, title),
    el('p', {}, value, ' ', beside),
    el('div', { class: 'drawn' }, picture, most),
  );
  return {
    figure,
    /**
     * @param {(number | null)[]} values
     * @param {(number | null)[]} [second] behind it
     * @param {string} [note] beside the present value
     */
    show(values, second = [], note = '') {
      const known = [...values, ...second].filter((one) => one !== null);
      const highest = Math.max(0, ...known);
      const now = values.at(-1) ?? null;
      fill(value, now === null ? '–' : words(now));
      fill(beside, note);
      fill(most, known.length ? t('chart.most', { value: words(highest) }) : '');
      lines[0].setAttribute('d', path(second, highest));
      lines[1].setAttribute('d', path(values, highest));
      picture.setAttribute(
        'aria-label',
        known.length
          ? t('chart.reading', { title, now: now === null ? t('unknown') : words(now), most: words(highest) })
          : `${title}: ${t('chart.waiting')}`,
      );
    },
  };
}
