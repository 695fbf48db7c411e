/** What went wrong, as a sentence in the language of the page. */

import { has, language, t } from './texts.js';
import { visibleText } from '../shared/visible.js';

/** These say what exactly was wrong, so the server's words are shown. */
const SPECIFIC = new Set(['invalid', 'muted', 'suspended', 'banned', 'conflict', 'forbidden', 'refused', 'not-found', 'invitation-needed', 'accounts-closed']);

/**
 * @param {unknown} error as a promise of the client is rejected with
 * @param {string} [where] what was done, if the same code means something else there
 * @returns {string}
 */
export function errorText(error, where = '') {
  const { code = '', message = '' } = /** @type {{ code?: string, message?: string }} */ (error ?? {});
  if (has(`error.${where}.${code}`)) return t(`error.${where}.${code}`);
  const words = sentence(visibleText(message));
  if (SPECIFIC.has(code) && words) return language() === 'en' ? words : t('error.words', { words });
  if (has(`error.${code}`)) return t(`error.${code}`, { seconds: seconds(error) });
  return words || t('error.unknown');
}

/** @param {unknown} error */
function seconds(error) {
  const { retryAfter } = /** @type {{ retryAfter?: number }} */ (error ?? {});
  return Math.max(1, Math.ceil(retryAfter ?? 1));
}

/** @param {string} words */
function sentence(words) {
  const text = words.replace(/^invalid argument: /, '').trim();
  if (!text) return '';
  return `${text[0].toUpperCase()}${text.slice(1)}${/[.!?。]$/.test(text) ? '' : '.'}`;
}
