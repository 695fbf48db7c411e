/** Times and days as people write them, in the language of the page. */

import { language, t } from './texts.js';
import { dayOf } from './layout.js';

/** Making one of these is slow, so each is made once. @type {Map<string, Intl.DateTimeFormat>} */
const formats = new Map();

/**
 * @param {Intl.DateTimeFormatOptions} options
 * @returns {Intl.DateTimeFormat}
 */
function format(options) {
  const key = `${language()} ${JSON.stringify(options)}`;
  let made = formats.get(key);
  if (!made) {
    made = new Intl.DateTimeFormat(language() === 'zh' ? 'zh-CN' : navigator.language, options);
    formats.set(key, made);
  }
  return made;
}

/** The time of day. @param {number} moment */
export const clock = (moment) => format({ hour: '2-digit', minute: '2-digit' }).format(moment);

/** Day and time in full. @param {number} moment */
export const whole = (moment) => format({ dateStyle: 'full', timeStyle: 'medium' }).format(moment);

/** Day and time in few letters. @param {number} at */
export const moment = (at) => format({ dateStyle: 'medium', timeStyle: 'short' }).format(at);

/**
 * A day: today, yesterday, or its date.
 * @param {number} moment
 * @param {number} now
 */
export function dayName(moment, now) {
  const day = dayOf(moment);
  if (day === dayOf(now)) return t('day.today');
  const date = new Date(now);
  if (day === dayOf(new Date(date.getFullYear(), date.getMonth(), date.getDate() - 1).getTime()))
    return t('day.yesterday');
  const year = new Date(moment).getFullYear() === date.getFullYear() ? undefined : 'numeric';
  return format({ weekday: 'long', day: 'numeric', month: 'long', year }).format(moment);
}

/**
 * A moment in few letters: the time if it is today, otherwise the day.
 * @param {number} moment
 * @param {number} now
 */
export function brief(moment, now) {
  if (dayOf(moment) === dayOf(now)) return clock(moment);
  const year = new Date(moment).getFullYear() === new Date(now).getFullYear() ? undefined : '2-digit';
  return format({ day: 'numeric', month: 'short', year }).format(moment);
}
