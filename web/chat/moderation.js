/** How those who lead a group keep it in order: who may join and read, who is muted or banned, and its end. */

import { el, fill } from '../shared/dom.js';
import { shownName } from '../shared/visible.js';
import { ask } from './dialog.js';
import { holds, untilWords } from './muted.js';
import { t } from './texts.js';
import { moment } from './times.js';

/**
 * @typedef {import('../cim/types.js').Client} Client
 * @typedef {import('../cim/types.js').GroupInfo} GroupInfo
 * @typedef {import('../cim/types.js').Member} Member
 * @typedef {(run: () => Promise<unknown>, again?: boolean) => Promise<void>} Tried does something, and shows how the
 *   group is then if `again`
 */

/** For how long somebody is muted, seconds; 0 until somebody ends it. */
const TIMES = [600, 3600, 86_400, 604_800, 0];

/**
 * The choice of a time for which somebody may write nothing, or the end of that.
 * @param {string} label
 * @param {number | null} until
 * @param {(seconds: number | null | undefined) => void} chosen null to end it, undefined for ever
 * @param {string} testid
 * @param {string} [not] what is said of whom nobody mutes
 */
function mute(label, until, chosen, testid, not = t('muted.not')) {
  const now = holds(until);
  const select = el(
    'select',
    { 'aria-label': label, 'data-testid': testid, 'data-muted': now },
    el('option', { value: '' }, now ? t('muted.until', { until: untilWords(until ?? 0) }) : not),
    now && el('option', { value: 'end' }, t('unmute')),
    ...TIMES.map((seconds) => el('option', { value: String(seconds) }, t(`mute.${seconds}`))),
  );
  select.addEventListener('change', () => {
    if (select.value) chosen(select.value === 'end' ? null : Number(select.value) || undefined);
  });
  return select;
}

/**
 * What those who lead can do with a member.
 * @param {Client} client
 * @param {number} group
 * @param {Member} member
 * @param {Tried} tried
 * @returns {Node[]}
 */
export function memberControls(client, group, { user, name, muted }, tried) {
  const who = shownName(name || String(user));
  const set = (/** @type {number | null | undefined} */ seconds) =>
    tried(() => (seconds === null ? client.unmute(group, user) : client.mute(group, user, seconds)), true);
  const ban = async () => {
    if (await ask(t('ban.sure', { who }), t('ban'))) await tried(() => client.ban(group, user), true);
  };
  return [
    mute(t('mute.who', { who }), muted, set, 'mute'),
    el(
      'button',
      { type: 'button', class: 'danger', 'data-testid': 'ban', 'aria-label': t('ban.who', { who }), onclick: ban },
      t('ban'),
    ),
  ];
}

/**
 * What those who lead can do with the group itself.
 * @param {Client} client
 * @param {GroupInfo} group
 * @param {boolean} owns
 * @param {Tried} tried
 * @param {{ open: boolean, done: () => void, failed: (error: unknown) => void }} panel `open`: whether it is, also when it
 *   is made anew; `done`: the group is dissolved
 * @returns {Node}
 */
export function groupControls(client, group, owns, tried, panel) {
  const { id } = group;
  const flag = (/** @type {'open' | 'history'} */ name) => {
    const input = el('input', { type: 'checkbox', checked: group[name], 'data-testid': `set-${name}` });
    input.addEventListener('change', () => tried(() => client.editGroup(id, { [name]: input.checked }), true));
    return el('label', { class: 'choice' }, input, el('span', {}, t(`group.${name}`)));
  };
  const set = (/** @type {number | null | undefined} */ seconds) =>
    tried(() => (seconds === null ? client.unmute(id, 0) : client.mute(id, 0, seconds)), true);
  const all = mute(t('mute.all'), group.muted, set, 'mute-all', t('muted.nobody'));
  const bans = el('ul', { class: 'members', 'data-testid': 'bans' });
  const dissolve = async () => {
    if (!(await ask(t('dissolve.sure', { name: shownName(group.name) }), t('dissolve')))) return;
    await tried(async () => {
      await client.dissolve(id);
      panel.done();
    });
  };
  const toggled = () => {
    panel.open = details.open;
    if (panel.open) showBans(client, id, bans, tried).catch(panel.failed);
  };
  const details = el(
    'details',
    { 'data-testid': 'moderation', open: panel.open, ontoggle: toggled },
    el('summary', {}, t('moderation')),
    el(
      'div',
      { class: 'stack' },
      flag('open'),
      flag('history'),
      el('p', { class: 'faint small' }, t('group.history.later')),
      el('label', { class: 'field' }, el('span', {}, t('mute.all')), all),
      el('h3', {}, t('bans')),
      bans,
      owns &&
        el('button', { type: 'button', class: 'danger', 'data-testid': 'dissolve', onclick: dissolve }, t('dissolve')),
    ),
  );
  return details;
}

/** @param {Client} client @param {number} group @param {HTMLElement} list @param {Tried} tried */
async function showBans(client, group, list, tried) {
  const found = await client.bans(group);
  fill(
    list,
    ...found.map(({ user, by, at }) => {
      const who = shownName(user.name || String(user.id));
      const unban = () =>
        tried(async () => {
          await client.unban(group, user.id);
          await showBans(client, group, list, tried);
        });
      const whom = by ? shownName(by.name || String(by.id)) : t('operator');
      return el(
        'li',
        { class: 'row', 'data-testid': 'banned', 'data-user': user.id },
        el(
          'span',
          { class: 'grow' },
          el('bdi', {}, who),
          el('span', { class: 'faint small' }, ` ${t('banned.by', { by: whom, when: moment(at) })}`),
        ),
        el('button', { type: 'button', 'aria-label': t('unban.who', { who }), onclick: unban }, t('unban')),
      );
    }),
    !found.length && el('li', { class: 'faint small' }, t('bans.none')),
  );
}
