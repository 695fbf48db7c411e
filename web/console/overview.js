/** What runs where, how it is, and what happens at this moment. */

import { el, fill } from '../shared/dom.js';
import { broadcastButton } from './broadcast.js';
import { chart } from './chart.js';
import { KEPT, SECONDS, lately, refusals } from './history.js';
import { amount, facts, notice, section, state, table, when } from './parts.js';
import { mayModerate } from './sanctions.js';
import { t } from './texts.js';

/** How long samples are kept. */
const MINUTES = (KEPT * SECONDS) / 60;
/** Facts that people ask for first. */
const FIRST = ['store', 'acknowledged', 'schema'];

/** @param {number} seconds */
const latency = (seconds) => (seconds < 1 ? `${amount(seconds * 1000)} ms` : `${amount(seconds)} s`);
/** @param {number} value */
const aSecond = (value) => `${amount(value)}${t('chart.a-second')}`;

/**
 * @param {HTMLElement} main
 * @param {import('./main.js').Context} context
 */
export function overview(main, context) {
  const { watch, left } = context;
  const line = notice();
  const charts = {
    sessions: chart(t('chart.sessions'), amount),
    logins: chart(t('chart.logins'), aSecond),
    messages: chart(t('chart.messages'), aSecond),
    deliveries: chart(t('chart.deliveries'), aSecond),
    refusals: chart(t('chart.refusals'), aSecond),
    store: chart(t('chart.store'), latency),
    delivery: chart(t('chart.delivery'), latency),
  };
  const health = el('div', { class: 'stack' });
  const about = el('p', { class: 'faint small' });
  const kinds = el('div', {});
  const running = el('div', { class: 'stack' });
  fill(
    main,
    el('h1', { tabindex: -1 }, t('nav.overview')),
    line.line,
    health,
    section(
      t('figures'),
      about,
      el('div', { class: 'charts' }, ...Object.values(charts).map(({ figure }) => figure)),
      kinds,
    ),
    running,
    mayModerate(context)
      ? section(
          t('broadcast.all'),
          el('div', { class: 'row actions' }, broadcastButton({}, t('broadcast.everyone'), line)),
        )
      : null,
  );
  watch.listen(() => {
    const { status, figures, samples, failedSince } = watch.seen;
    fill(
      health,
      failedSince === null
        ? null
        : el('p', { class: 'notice wrong', role: 'alert' }, t('health.stale', { time: when(failedSince) })),
    );
    if (!status || !figures) {
      if (failedSince === null) fill(health, el('p', { class: 'faint' }, t('loading')));
      return;
    }
    health.append(healthOf(status));
    fill(running, ...runningOf(status, figures));
    const daemon = figures['cim_build_info']?.[0]?.labels.daemon ?? '';
    fill(
      about,
      t('figures.of', { daemon, seconds: SECONDS, minutes: MINUTES }),
      daemon === 'route' ? ` ${t('figures.route')}` : '',
    );
    const last = samples.at(-1);
    /** @param {Exclude<keyof import('./history.js').Sample, 'kinds'>} name */
    const of = (name) => samples.map((sample) => sample[name]);
    charts.sessions.show(of('sessions'));
    charts.logins.show(
      of('logins'),
      of('failed'),
      last?.failed ? t('chart.failed', { value: aSecond(last.failed) }) : '',
    );
    charts.messages.show(of('messages'));
    charts.deliveries.show(of('deliveries'));
    charts.deliveries.figure.hidden = daemon === 'route';
    charts.refusals.show(of('refusals'));
    /** @param {number | null | undefined} seconds */
    const p99 = (seconds) => (seconds ? t('chart.p99', { value: latency(seconds) }) : '');
    charts.store.show(of('store'), of('store99'), p99(last?.store99));
    charts.delivery.show(of('delivery'), of('delivery99'), p99(last?.delivery99));
    charts.delivery.figure.hidden = daemon === 'route';
    const refused = refusals(figures);
    fill(
      kinds,
      refused.length
        ? el(
            'details',
            { open: kinds.querySelector('details')?.open ?? false },
            el('summary', {}, t('refusals')),
            table(
              t('refusals'),
              [t('kind'), t('count'), t('count.lately', { minutes: MINUTES })],
              refused.map(([kind, count]) => [el('code', {}, kind), amount(count), amount(lately(samples, kind))]),
            ),
          )
        : null,
    );
  }, left);
}

/** @param {import('./watch.js').Status} status */
function healthOf(status) {
  return el(
    'section',
    {
      class: status.ok ? 'card health good' : 'card health wrong',
      'data-testid': 'health',
      'data-ok': String(status.ok),
    },
    el('h2', {}, status.ok ? t('health.ok') : t('health.failing')),
    el(
      'ul',
      { class: 'parts' },
      ...Object.entries(status.parts).map(([part, how]) =>
        el('li', {}, state(how === 'ok', part), how === 'ok' ? '' : el('span', {}, ` ${how}`)),
      ),
    ),
    el('p', { class: 'faint small' }, t('health.as-known', { route: status.route, version: status.version })),
  );
}

/**
 * @param {import('./watch.js').Status} status
 * @param {import('./history.js').Figures} figures
 */
function runningOf(status, figures) {
  const servers = status.servers.map(({ name, version, linked, listed, sessions }) => [
    el('code', {}, name),
    version ?? t('unknown'),
    el(
      'span',
      { class: 'row' },
      state(linked, linked ? t('linked') : t('not-linked')),
      state(listed, listed ? t('listed') : t('not-listed')),
    ),
    el('a', { href: `#/sessions/${encodeURIComponent(name)}` }, amount(sessions)),
  ]);
  const routes = status.routes.map(({ name, version }) => [
    el('code', {}, name),
    version ?? t('unknown'),
    name === status.route ? t('this-route') : '',
  ]);
  const clocks = (figures['cim_clock_skew_seconds'] ?? []).map(({ labels, value }) => [
    el('code', {}, labels.peer),
    value === null ? t('unknown') : t('clocks.seconds', { value: amount(value) }),
  ]);
  const known = Object.entries(status.facts).sort(([one], [other]) => order(one) - order(other));
  return [
    section(t('servers'), table(t('servers'), [t('name'), t('version'), t('state'), t('sessions')], servers)),
    section(t('routes'), table(t('routes'), [t('name'), t('version'), t('state')], routes)),
    ...(clocks.length ? [section(t('clocks'), table(t('clocks'), [t('name'), t('clocks.ahead')], clocks))] : []),
    section(t('facts'), facts(known.map(([name, value]) => [factName(name), factValue(value)]))),
  ];
}

/** @param {string} name */
const order = (name) => (FIRST.includes(name) ? FIRST.indexOf(name) : FIRST.length);

/** @param {string} name */
function factName(name) {
  const told = t(`fact.${name}`);
  return told === `fact.${name}` ? name.replaceAll('_', ' ') : told;
}

/**
 * @param {unknown} value
 * @returns {string}
 */
function factValue(value) {
  if (value === true) return t('yes');
  if (value === false) return t('no');
  if (value === null || (Array.isArray(value) && value.length === 0)) return t('none');
  if (Array.isArray(value)) return value.map(factValue).join(', ');
  if (typeof value === 'object')
    return (
      Object.entries(value)
        .map(([of, one]) => `${of}: ${factValue(one)}`)
        .join(', ') || t('none')
    );
  return String(value);
}
