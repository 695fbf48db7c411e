/** One message as it is shown. */

import { el } from '../shared/dom.js';
import { shownName, visibleText } from '../shared/visible.js';
import { errorText } from './errors.js';
import { sign } from './pictures.js';
import { beginning, onlyEmoji, parts } from './rich.js';
import { untilWords } from './muted.js';
import { count, has, number, t } from './texts.js';
import { clock } from './times.js';

/**
 * @typedef {import('../cim/types.js').Message} Message
 * @typedef {import('../cim/types.js').Outgoing} Outgoing
 * @typedef {import('./layout.js').MessageRow} MessageRow
 * @typedef {import('./layout.js').OutgoingRow} OutgoingRow
 * @typedef {import('./layout.js').Mark} Mark
 * @typedef {import('./names.js').Names} Names
 *
 * @typedef {object} Surroundings
 * @property {Names} names
 * @property {number} me
 * @property {boolean} named whether it says who wrote a message
 * @property {(message: Message, text: string) => void} react
 * @property {(clientId: string) => void} again
 * @property {(clientId: string) => void} forget
 */

/** How marks look; what they mean is read out. @type {Record<Mark, string>} */
const MARKS = { waiting: '◷', sent: '↑', stored: '✓', read: '✓✓', refused: '!', '': '' };

/** How many reactions to one message are shown: a crowd of strangers may send any number. */
const REACTIONS = 30;

/**
 * Those of many reactions that are shown: one's own, and those of most people.
 * @param {[string, number[]][]} reactions
 * @param {number} me
 */
export function mostUsed(reactions, me) {
  if (reactions.length <= REACTIONS) return reactions;
  const weight = (/** @type {[string, number[]]} */ [, users]) => (users.includes(me) ? Infinity : users.length);
  return [...reactions].sort((one, other) => weight(other) - weight(one)).slice(0, REACTIONS);
}

/**
 * @param {MessageRow} row
 * @param {Surroundings} around
 * @returns {HTMLElement}
 */
export function messageNode({ message, first, mark }, around) {
  if (message.kind === 'members') return membersNode(message, around);
  const name = shownName(message.sender.name);
  const named = around.named && first && !message.mine;
  const who = message.mine ? t('you') : name;
  const bubble = el(
    'div',
    { class: 'bubble' },
    named && el('bdi', { class: `name hue-${message.sender.id % 8}`, 'data-testid': 'sender' }, name),
    ...content(message),
    foot(message.sentAt, mark, message.edited && !message.recalled),
  );
  const reactions = Object.entries(message.reactions).filter(([, users]) => users.length > 0);
  return el(
    'article',
    {
      class: `message ${message.mine ? 'mine' : 'theirs'} ${first ? 'first' : ''} ${around.named && !message.mine ? 'signed' : ''}`,
      'data-testid': 'message',
      'data-position': message.position,
      'data-client-id': message.clientId,
      'data-mine': message.mine,
      'data-mark': mark,
      'data-edited': message.edited,
      'data-recalled': message.recalled,
      tabindex: -1,
      'aria-label': t('message.by', { who, time: clock(message.sentAt) }),
    },
    named && sign(message.sender.id, name),
    bubble,
    reactions.length > 0 && reactionsNode(message, reactions, around),
  );
}

/**
 * A message that is not stored yet, or was refused.
 * @param {OutgoingRow} row
 * @param {Surroundings} around
 * @returns {HTMLElement}
 */
export function outgoingNode({ outgoing, mark }, around) {
  const refused = outgoing.state === 'refused';
  const { clientId } = outgoing;
  const words = outgoing.kind === 'text' ? '' : t(`refused.${outgoing.kind}`);
  return el(
    'article',
    {
      class: `message mine first ${mark}`,
      'data-testid': 'message',
      'data-client-id': clientId,
      'data-mine': true,
      'data-mark': mark,
      tabindex: -1,
      'aria-label': t('message.by', { who: t('you'), time: clock(outgoing.at) }),
    },
    el(
      'div',
      { class: 'bubble' },
      words && el('p', { class: 'faint' }, words),
      ...textNodes(outgoing.text),
      foot(outgoing.at, mark, false),
    ),
    refused &&
      el(
        'div',
        { class: 'refusal', role: 'alert', 'data-testid': 'refusal' },
        el('span', {}, t('refused', { why: errorText({ code: outgoing.code, message: outgoing.reason }, 'send') })),
        el('button', { type: 'button', 'data-testid': 'again', onclick: () => around.again(clientId) }, t('again')),
        el('button', { type: 'button', 'data-testid': 'forget', onclick: () => around.forget(clientId) }, t('forget')),
      ),
  );
}

/**
 * @param {Message} message
 * @returns {Node[]}
 */
function content(message) {
  const gone = message.byOperator ? 'message.removed' : 'message.recalled';
  if (message.recalled) return [el('p', { class: 'text recalled' }, t(gone))];
  const found = message.text || !message.data ? textNodes(message.text) : [];
  if (message.data) found.push(dataNode(message.data, message.contentType));
  return found;
}

/**
 * What is shown of a text at first, and whether that is not all. What is not shown is not looked at either: a page of
 * long texts, made of characters that need much work, must not hold up the page.
 * @param {string} text
 * @returns {[shown: string, isLong: boolean]}
 */
export function shownAtFirst(text) {
  const start = beginning(text);
  const shown = visibleText(start ?? text);
  const short = beginning(shown);
  return [short ?? shown, start !== null || short !== null];
}

/**
 * @param {string} text
 * @returns {Node[]}
 */
function textNodes(text) {
  const [shown, isLong] = shownAtFirst(text);
  const box = el('div', { class: `text ${onlyEmoji(shown) ? 'large' : ''}`, 'data-testid': 'text' });
  box.append(...words(shown));
  if (!isLong) return [box];
  const more = el(
    'button',
    { type: 'button', class: 'plain more', 'data-testid': 'show-all', tabindex: -1 },
    t('message.all'),
  );
  more.addEventListener('click', () => {
    box.replaceChildren(...words(visibleText(text)));
    for (const one of box.querySelectorAll('a')) one.tabIndex = 0;
    more.remove();
    box.closest('article')?.focus();
  });
  return [box, more];
}

/**
 * @param {string} shown
 * @returns {Node[]}
 */
function words(shown) {
  return parts(shown).map(({ kind, text }) => {
    if (kind === 'link')
      return el('a', { href: text, target: '_blank', rel: 'noopener noreferrer', tabindex: -1 }, text);
    if (kind === 'code') return el('code', {}, text);
    if (kind === 'block') return el('pre', { tabindex: -1 }, el('code', {}, text));
    return document.createTextNode(text);
  });
}

/**
 * Bytes, which can be saved: they are never shown as what they claim to be.
 * @param {Uint8Array} data
 * @param {string} contentType
 */
function dataNode(data, contentType) {
  const save = () => {
    const link = el('a', { download: 'data' });
    link.href = URL.createObjectURL(new Blob([/** @type {BlobPart} */ (data)], { type: 'application/octet-stream' }));
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  };
  return el(
    'div',
    { class: 'row' },
    el(
      'span',
      { class: 'faint' },
      t('message.data', { type: visibleText(contentType) || '?', size: number(data.length) }),
    ),
    el('button', { type: 'button', onclick: save }, t('save')),
  );
}

/**
 * @param {number} moment
 * @param {Mark} mark
 * @param {boolean} edited
 */
function foot(moment, mark, edited) {
  return el(
    'span',
    { class: 'foot' },
    edited && el('span', {}, t('message.edited')),
    el('time', { 'data-testid': 'time', datetime: new Date(moment).toISOString() }, clock(moment)),
    mark && markNode(mark),
  );
}

/** @param {Exclude<Mark, ''>} mark */
function markNode(mark) {
  const words = t(`mark.${mark}`);
  return el('span', { class: `mark ${mark}`, role: 'img', 'aria-label': words, title: words }, MARKS[mark]);
}

/**
 * Show another mark at a message that is shown already, which may have the focus or the pointer.
 * @param {HTMLElement} node
 * @param {Mark} mark
 */
export function setMark(node, mark) {
  node.dataset.mark = mark;
  node.querySelector('.mark')?.remove();
  if (mark) node.querySelector('.foot')?.append(markNode(mark));
}

/**
 * @param {Message} message
 * @param {[string, number[]][]} reactions
 * @param {Surroundings} around
 */
function reactionsNode(message, reactions, { names, me, react }) {
  return el(
    'div',
    { class: 'reactions' },
    ...mostUsed(reactions, me).map(([text, users]) => {
      const own = users.includes(me);
      const who = users.slice(0, 20).map((id) => (id === me ? t('you') : names.of(id)));
      const shown = visibleText(text);
      return el(
        'button',
        {
          type: 'button',
          class: 'reaction',
          tabindex: -1,
          'data-testid': 'reaction',
          'data-reaction': text,
          'data-count': users.length,
          'aria-pressed': String(own),
          title: who.join(', '),
          onclick: () => react(message, own ? '' : text),
        },
        el('span', {}, shown),
        el('span', { class: 'count' }, number(users.length)),
      );
    }),
    reactions.length > REACTIONS && el('span', { class: 'faint small' }, `+${number(reactions.length - REACTIONS)}`),
  );
}

/**
 * @param {Message} message
 * @param {Surroundings} around
 */
function membersNode(message, around) {
  return el(
    'article',
    { class: 'event', 'data-testid': 'event', 'data-position': message.position, tabindex: -1 },
    ...changeLines(message, around).map((line) => el('p', {}, line)),
  );
}

/**
 * What happened in a group, a sentence for each change.
 * @param {Message} message
 * @param {Pick<Surroundings, 'names' | 'me'>} around
 * @returns {string[]}
 */
export function changeLines({ changes }, { names, me }) {
  const lines = changes.slice(0, 10).map((change) => {
    const { what, user, by, text } = change;
    const values = {
      user: user === me ? t('you') : user ? names.of(user) : t('operator'),
      by: by === me ? t('you') : by ? names.of(by) : t('operator'),
      text: what === 'role' ? t(`change.as.${text}`) : what === 'muted' ? untilWords(Number(text)) : shownName(text),
    };
    return t(changeKey(change, me), values);
  });
  if (changes.length > 10) lines.push(count('change.more', changes.length - 10));
  return lines;
}

/** What happened to the group itself: `user` is who did it. */
const OF_GROUP = new Set(['renamed', 'open', 'history', 'dissolved']);

/**
 * The text that says what happened, from where one stands.
 * @param {Message['changes'][number]} change
 * @param {number} me
 */
function changeKey({ what, user, by, text }, me) {
  const kind =
    what === 'open' || what === 'history'
      ? `change.${what}.${text === 'yes' ? 'yes' : 'no'}`
      : `change.${what}${(what === 'muted' || what === 'unmuted') && user === 0 ? '.all' : ''}`;
  const key = `${kind}${user === me && !OF_GROUP.has(what) ? '.me' : by === me ? '.by-me' : ''}`;
  // A later release may tell of something else.
  return has(key) ? key : has(kind) ? kind : 'change.other';
}
