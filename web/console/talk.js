/** A conversation: who is in it and since when, and what was said only where the console may show that. */

import { el, fill } from '../shared/dom.js';
import { visibleText } from '../shared/visible.js';
import { call, withQuery } from './api.js';
import { list } from './list.js';
import { amount, facts, load, named, section, sentence, when, button } from './parts.js';
import { t } from './texts.js';

/**
 * @typedef {{ position: string, sender: number, sent_at: number } | null} Mark
 * @typedef {{ conversation: string, users: { id: number, name: string }[],
 *   group: import('./groups.js').Group | null, oldest: Mark, newest: Mark }} Talk
 * @typedef {{ position: string, sender: number, sender_name: string, sent_at: number, text: string,
 *   kind: string }} Message
 */

/**
 * At `#/talks/<conversation>`, or `#/users/<id>/<conversation>` as one of its people may read it.
 * @param {HTMLElement} main
 * @param {import('./main.js').Context} context
 */
export function talk(main, { left, rest, session }) {
  const [reader, conversation] = rest.length > 1 ? rest : ['', rest[0]];
  const box = el('div', { class: 'stack' });
  fill(main, el('h1', { tabindex: -1 }, t('talk'), ' ', el('code', {}, conversation)), box);
  load(box, left, async () => {
    const found = /** @type {Talk} */ (
      await call('GET', `/v1/admin/conversations/${encodeURIComponent(conversation)}`)
    );
    return [section(t('talk'), about(found)), said(reader, conversation, session.reads_messages, left)];
  });
}

/** @param {number} id 0 for what no user said */
const sender = (id) => (id ? el('a', { href: `#/users/${id}` }, String(id)) : t('talk.cluster'));

/** @param {Talk} found */
function about({ users, group, oldest, newest }) {
  /** @param {Mark} mark */
  const told = (mark) =>
    mark
      ? el(
          'span',
          {},
          t('talk.by', { time: when(mark.sent_at), id: '' }),
          sender(mark.sender),
          ' ',
          el('code', {}, mark.position),
        )
      : t('talk.nothing');
  return facts([
    ...(users.length
      ? [
          /** @type {[string, import('../shared/dom.js').Child]} */ ([
            t('talk.between'),
            el(
              'span',
              { class: 'row' },
              ...users.map(({ id, name }) => el('a', { href: `#/users/${id}` }, name ? named(name) : String(id))),
            ),
          ]),
        ]
      : []),
    ...(group
      ? [
          /** @type {[string, import('../shared/dom.js').Child]} */ ([
            t('group'),
            el('a', { href: `#/groups/${group.id}` }, named(group.name)),
          ]),
          /** @type {[string, import('../shared/dom.js').Child]} */ ([t('members'), amount(group.members)]),
        ]
      : []),
    [t('talk.oldest'), told(oldest)],
    [t('talk.newest'), told(newest)],
  ]);
}

/**
 * @param {string} reader
 * @param {string} conversation
 * @param {boolean} may
 * @param {AbortSignal} left
 */
function said(reader, conversation, may, left) {
  if (!may) return el('p', { class: 'faint' }, t('talk.not-read'));
  if (!reader) return '';
  const box = el('div', { class: 'stack' });
  const read = list(
    box,
    left,
    /** @type {Parameters<typeof list<Message>>[2]} */ ({
      title: t('talk'),
      headings: [t('time'), t('user'), t('text')],
      empty: t('talk.nothing'),
      row: (message) => [
        when(message.sent_at),
        named(message.sender_name || String(message.sender)),
        el('span', { class: 'text', dir: 'auto' }, visibleText(message.text) || message.kind),
      ],
      page: async (after) => {
        const found = await call(
          'GET',
          withQuery(`/v1/admin/users/${encodeURIComponent(reader)}/messages`, { conversation, after }),
        );
        return { items: found.messages, more: found.more };
      },
    }),
  );
  fill(box, button(sentence('talk.read', { name: reader }), read, { testid: 'read' }));
  return box;
}
