// What the charts show of counters that are fetched again and again.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { path } from '../chart.js';
import { KEPT, between, kept, lately, quantile, refusals, total } from '../history.js';

/**
 * Counters as `/v1/admin/figures` has them.
 * @param {Record<string, number>} values by name, with a label behind a slash: `cim_logins_total/outcome=ok`
 * @returns {import('../history.js').Figures}
 */
function figures(values) {
  /** @type {import('../history.js').Figures} */
  const made = {};
  for (const [key, value] of Object.entries(values)) {
    const [name, label] = key.split('/');
    const [of, is] = (label ?? '').split('=');
    (made[name] ??= []).push({ labels: of ? { [of]: is } : {}, value });
  }
  return made;
}

const NONE = figures({});

test('rates are what was counted, by the seconds between', () => {
  const before = figures({
    'cim_logins_total/outcome=ok': 10,
    'cim_logins_total/outcome=Unauthorized': 5,
    'cim_messages_total/direction=in': 100,
    'cim_messages_total/direction=out': 300,
  });
  const now = figures({
    'cim_logins_total/outcome=ok': 20,
    'cim_logins_total/outcome=Unauthorized': 6,
    'cim_messages_total/direction=in': 110,
    'cim_messages_total/direction=out': 400,
    'cim_refused_total/kind=http-host': 4,
  });
  const sample = between({ at: 100, figures: before }, { at: 105, figures: now }, 7);
  assert.deepEqual(sample, {
    ...{ at: 105, sessions: 7, logins: 2, failed: 0.2, messages: 2, deliveries: 20, refusals: 0.8 },
    ...{ store: null, store99: null, delivery: null, delivery99: null, kinds: { 'http-host': 4 } },
  });
});

test('a process that began anew has no rates yet', () => {
  const before = figures({ 'cim_http_requests_total/status=200': 1000, 'cim_messages_total/direction=in': 100 });
  const now = figures({ 'cim_http_requests_total/status=200': 3, 'cim_messages_total/direction=in': 2 });
  const sample = between({ at: 0, figures: before }, { at: 5, figures: now }, null);
  assert.equal(sample.messages, null);
  assert.equal(sample.store99, null);
});

test('no time between two looks is no rate', () => {
  assert.equal(between({ at: 3, figures: NONE }, { at: 3, figures: NONE }, 0).logins, null);
});

test('how long store calls took is of those between two looks', () => {
  const before = figures({
    'cim_store_seconds_bucket/le=0.001': 100,
    'cim_store_seconds_bucket/le=0.01': 100,
    'cim_store_seconds_bucket/le=+Inf': 100,
    cim_store_seconds_count: 100,
    cim_store_seconds_sum: 0.1,
  });
  const now = figures({
    'cim_store_seconds_bucket/le=0.001': 198,
    'cim_store_seconds_bucket/le=0.01': 199,
    'cim_store_seconds_bucket/le=+Inf': 200,
    cim_store_seconds_count: 200,
    cim_store_seconds_sum: 2.1,
  });
  assert.equal(quantile('cim_store_seconds', before, now, 0.5), 0.001);
  assert.equal(quantile('cim_store_seconds', before, now, 0.99), 0.01);
  // Longer than the last bound is told as that.
  assert.equal(quantile('cim_store_seconds', before, now, 1), 0.01);
  assert.equal(quantile('cim_store_seconds', now, now, 0.99), null);
  assert.equal(quantile('cim_store_seconds', NONE, NONE, 0.99), null);
  assert.equal(between({ at: 0, figures: before }, { at: 1, figures: now }, 0).store, 0.02);
  assert.equal(between({ at: 0, figures: before }, { at: 1, figures: now }, 0).delivery, null);
});

test('sums over labels, and refusals with the most first', () => {
  const some = figures({ 'cim_refused_total/kind=a': 1, 'cim_refused_total/kind=c': 5, 'cim_refused_total/kind=b': 1 });
  assert.equal(total(some, 'cim_refused_total'), 7);
  assert.equal(
    total(some, 'cim_refused_total', ({ kind }) => kind === 'b'),
    1,
  );
  assert.equal(total(some, 'no_such'), 0);
  assert.deepEqual(refusals(some), [
    ['c', 5],
    ['a', 1],
    ['b', 1],
  ]);
});

test('what was refused lately, by kind', () => {
  const looks = [1, 4, 4, 9].map((count) =>
    figures({ 'cim_refused_total/kind=a': count, 'cim_refused_total/kind=b': 7 }),
  );
  const samples = looks.slice(1).map((now, at) => between({ at, figures: looks[at] }, { at: at + 1, figures: now }, 0));
  assert.equal(lately(samples, 'a'), 8);
  assert.equal(lately(samples, 'b'), 0);
  // All that a process has counted that began anew.
  const anew = between(
    { at: 0, figures: figures({ 'cim_http_requests_total/status=200': 9, 'cim_refused_total/kind=a': 5 }) },
    { at: 1, figures: figures({ 'cim_refused_total/kind=a': 2 }) },
    0,
  );
  assert.deepEqual(anew.kinds, { a: 2 });
});

test('as many samples are kept as are drawn', () => {
  /** @type {import('../history.js').Sample[]} */
  let samples = [];
  for (let at = 0; at < KEPT + 3; at += 1)
    samples = kept(samples, between({ at: at - 1, figures: NONE }, { at, figures: NONE }, at));
  assert.equal(samples.length, KEPT);
  assert.equal(samples[0].sessions, 3);
});

test('a line ends at the right, and is broken where nothing is known', () => {
  assert.equal(path([], 0), '');
  assert.equal(path([0, 10], 10), 'M238.0 54.0h0.1L240.0 2.0');
  assert.equal(path([5, null, 5], 10), 'M236.0 28.0h0.1M240.0 28.0h0.1');
  assert.equal(path([null, null], 0), '');
});
