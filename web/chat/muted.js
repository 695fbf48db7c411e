/** Until when somebody may not write. */

import { t } from './texts.js';
import { moment } from './times.js';

/**
 * Whether a time has not come.
 * @param {number | null} until ms since 1970, 0 for ever, null for not at all
 */
export const holds = (until) => until === 0 || (until !== null && until > Date.now());

/**
 * Until when, in words.
 * @param {number} until ms since 1970, 0 for ever
 */
export const untilWords = (until) => (until ? t('until', { when: moment(until) }) : t('until.ended'));

/**
 * Until when one may not write in a talk, and why, as words; '' if one may.
 * @param {import('../cim/types.js').Talk} talk
 */
export function mutedWords({ muted, groupMuted, role }) {
  if (holds(muted)) return t('muted.me', { until: untilWords(muted ?? 0) });
  if (role === 'member' && holds(groupMuted)) return t('muted.all', { until: untilWords(groupMuted ?? 0) });
  return '';
}
