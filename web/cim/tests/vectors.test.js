// The cases that the Python library runs, too (tests/vectors).

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { GapRule } from '../gap.js';
import { Outbox } from '../outbox.js';
import { compare, parse, sortable } from '../positions.js';

/** @param {string} name
 * @returns {any} */
const vectors = (name) => JSON.parse(readFileSync(new URL(`../../../tests/vectors/${name}.json`, import.meta.url), 'utf8'));

test('positions are ordered number by number', () => {
  /** @type {string[]} */
  const ordered = vectors('positions').ordered;
  assert.deepEqual(ordered.map(parse), ordered);
  assert.deepEqual([...ordered].reverse().sort(compare), ordered);
  assert.deepEqual(ordered.map(sortable), ordered.map(sortable).sort());
});

test('what is no position is refused', () => {
  for (const text of vectors('positions').refused) {
    assert.throws(() => parse(text), { code: 'invalid', field: 'position' }, JSON.stringify(text));
  }
});

/** @param {GapRule<any>} rule
 * @param {any} step */
function taken(rule, step) {
  if ('push' in step) return rule.pushed(step.push, step.previous, step.item, step.now);
  if ('synced' in step) return rule.synced(step.after, step.synced, step.more ?? false, step.reset ?? false, step.now);
  if ('ask' in step) return rule.syncDue(step.ask);
  if ('begin' in step) return rule.begin(step.begin, step.now);
  if ('news' in step) rule.news(step.news, step.now);
  else if ('failed' in step) rule.failed(step.failed, step.delay);
  else if ('giveUp' in step) rule.giveUp();
  else assert.fail(JSON.stringify(step));
  return [];
}

for (const { name, held, capacity, steps } of vectors('gap')) {
  test(`gap rule: ${name}`, () => {
    const rule = new GapRule(() => 0.5, held, capacity);
    steps.forEach((/** @type {any} */ step, /** @type {number} */ number) => {
      assert.deepEqual(taken(rule, step), 'gives' in step ? step.gives : [], `step ${number}`);
      if ('held' in step) assert.equal(rule.held, step.held, `step ${number}`);
    });
  });
}

for (const { name, steps } of vectors('outbox')) {
  test(`outbox: ${name}`, () => {
    /** @type {Outbox<string>} */
    const outbox = new Outbox(() => 1);
    let live = false;
    steps.forEach((/** @type {any} */ step, /** @type {number} */ number) => {
      const where = `step ${number}`;
      if (step.do === 'add') for (const id of step.ids) outbox.add(step.lane, id, id);
      else if (step.do === 'begin') live = true;
      else if (step.do === 'ended') {
        outbox.ended();
        live = false;
      } else if (step.do === 'accepted') assert.equal(outbox.take(step.id) !== undefined, step.known, where);
      else if (step.do === 'failed') {
        const waits = outbox.failed(step.id, step.code, step.retryAfter ?? 0, step.now);
        if (!waits) outbox.take(step.id);
        if ('waits' in step) assert.equal(waits, step.waits, where);
      } else if (step.do === 'stuck') assert.equal(outbox.stuck(step.now), step.is, where);
      else assert.equal(step.do, 'wait');
      assert.deepEqual(live ? outbox.ready(step.now) : [], step.writes ?? [], where);
    });
  });
}
