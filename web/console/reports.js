/** What users reported, and what operators do about it. */

import { el, fill } from '../shared/dom.js';
import { visibleText } from '../shared/visible.js';
import { call, withQuery } from './api.js';
import { ask } from './dialog.js';
import { list } from './list.js';
import { action, button, facts, load, named, notice, section, sentence, when } from './parts.js';
import { sanction } from './sanctions.js';
import { t } from './texts.js';

/**
 * @typedef {{ id: number, name: string }} Person
 * @typedef {{ id: number, reporter: Person, sender: Person, conversation: string, position: string, sent_at: number,
 *   text: string, cut: boolean, content_type: string, size: number, reason: string, at: number, closed: number | null,
 *   by: string, note: string }} Report
 */

/** Which of them were looked at last, so that coming back finds them. */
let state = 'open';

/**
 * The list, at `#/reports`.
 * @param {HTMLElement} main
 * @param {import('./main.js').Context} context
 */
export function reports(main, { left }) {
  const box = el('div', { class: 'stack' });
  const find = list(
    box,
    left,
    /** @type {Parameters<typeof list<Report>>[2]} */ ({
      title: t('nav.reports'),
      headings: [t('report'), t('reported-by'), t('said-by'), t('reason'), t('text')],
      empty: t('reports.empty'),
      row: (report) => [
        el('a', { href: `#/reports/${report.id}`, 'data-testid': 'report' }, when(report.at)),
        person(report.reporter),
        person(report.sender),
        visibleText(report.reason),
        el('span', { class: 'text', dir: 'auto' }, visibleText(report.text.slice(0, 200)) || t('no-text')),
      ],
      page: async (after) => {
        const said = await call('GET', withQuery('/v1/admin/reports', { state, after }));
        return { items: said.reports, more: said.more };
      },
    }),
  );
  const select = el(
    'select',
    { name: 'state', 'data-testid': 'reports-state' },
    ...['open', 'closed'].map((one) => el('option', { value: one, selected: one === state }, t(`reports.${one}`))),
  );
  select.addEventListener('change', () => {
    state = select.value;
    find();
  });
  fill(
    main,
    el('h1', { tabindex: -1 }, t('nav.reports')),
    el('label', { class: 'field' }, el('span', {}, t('state')), select),
    box,
  );
  find();
}

/** @param {Person} one */
const person = ({ id, name }) => el('a', { href: `#/users/${id}` }, name ? named(name) : String(id));

/**
 * One report, at `#/reports/<id>`, with the actions next to it.
 * @param {HTMLElement} main
 * @param {import('./main.js').Context} context
 */
export function report(main, { left, rest }) {
  const path = `/v1/admin/reports/${encodeURIComponent(rest[0])}`;
  const line = notice();
  const box = el('div', { class: 'stack' });
  fill(main, el('h1', { tabindex: -1 }, t('report')), line.line, box);
  const show = () => load(box, left, async () => parts(await call('GET', path), { path, line, show }));
  show();
}

/**
 * @param {Report} report
 * @param {{ path: string, line: import('./parts.js').Notice, show: () => void }} acting
 */
function parts(report, { path, line, show }) {
  /** @param {() => Promise<string>} run returns what was done, empty for nothing */
  const doing = (run) =>
    action(line, async () => {
      const done = await run();
      if (!done) return;
      line.good(done);
      show();
    });
  return [
    section(
      t('report'),
      facts([
        [t('reported-by'), person(report.reporter)],
        [t('time'), when(report.at)],
        [t('reason'), visibleText(report.reason) || t('none')],
        ...(report.closed
          ? [
              /** @type {[string, string]} */ ([t('reports.closed'), `${when(report.closed)} (${report.by})`]),
              /** @type {[string, string]} */ ([t('note'), visibleText(report.note) || t('none')]),
            ]
          : []),
      ]),
    ),
    section(
      t('said'),
      facts([
        [t('said-by'), person(report.sender)],
        [t('time'), when(report.sent_at)],
        [t('talk'), el('a', { href: `#/talks/${encodeURIComponent(report.conversation)}` }, report.conversation)],
        ...(report.size
          ? [/** @type {[string, string]} */ ([t('data'), `${report.size} B ${report.content_type}`])]
          : []),
      ]),
      el(
        'p',
        { class: 'text', dir: 'auto', 'data-testid': 'copy' },
        visibleText(report.text) || t('no-text'),
        report.cut ? ' …' : '',
      ),
      el(
        'div',
        { class: 'row actions' },
        button(t('delete-message'), doing(() => deleted(report)), { testid: 'delete-message', class: 'danger' }),
        button(t('mute'), doing(() => sanction('mute', report.sender)), { testid: 'mute', class: 'danger' }),
        button(t('ban'), doing(() => sanction('ban', report.sender)), { testid: 'ban', class: 'danger' }),
        report.closed ? null : button(t('close-report'), doing(() => closed(path)), { testid: 'close-report' }),
      ),
    ),
  ];
}

/** @param {Report} report */
async function deleted({ conversation, position, sender: { name } }) {
  const question = sentence('delete-message.ask', { name });
  if (!(await ask({ title: t('delete-message'), yes: t('delete'), danger: true }, el('p', {}, question)))) return '';
  await call('DELETE', `/v1/admin/conversations/${encodeURIComponent(conversation)}/messages/${position}`);
  return t('delete-message.done');
}

/** @param {string} path */
async function closed(path) {
  const form = await ask(
    { title: t('close-report'), yes: t('close-report') },
    el(
      'label',
      { class: 'field' },
      el('span', {}, t('note.about')),
      el('input', { type: 'text', name: 'note', maxlength: 160, autocomplete: 'off', 'data-testid': 'note' }),
    ),
  );
  if (!form) return '';
  await call('POST', `${path}/close`, { note: String(form.get('note') ?? '') });
  return t('close-report.done');
}
