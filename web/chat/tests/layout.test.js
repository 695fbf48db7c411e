import assert from 'node:assert/strict';
import { test } from 'node:test';

import { dayOf, layout } from '../layout.js';
import { ME, message, MORNING, outgoing } from './double.js';

/** @param {import('../layout.js').Row[]} rows */
const keys = (rows) => rows.map((row) => row.key);
const DAY = 24 * 3600 * 1000;

test('a line stands before the first message of each day', () => {
  const rows = layout([message(1), message(2), message(3, { sentAt: MORNING + DAY })], []);
  assert.deepEqual(keys(rows), [`day ${dayOf(MORNING)}`, '1700-1', '1700-2', `day ${dayOf(MORNING + DAY)}`, '1700-3']);
});

test('messages of one sender stand together for five minutes', () => {
  const first = (/** @type {import('../../cim/types.js').Message[]} */ ...messages) =>
    layout(messages, []).flatMap((row) => (row.kind === 'message' ? [row.first] : []));
  assert.deepEqual(first(message(1), message(2)), [true, false]);
  assert.deepEqual(first(message(1), message(2, { sender: ME })), [true, true]);
  assert.deepEqual(first(message(1), message(2, { sentAt: MORNING + 6 * 60_000 })), [true, true]);
  assert.deepEqual(first(message(1), message(2, { sentAt: MORNING + DAY })), [true, true]);
  assert.deepEqual(first(message(1), message(2, { kind: 'members' })), [true, true]);
});

test('the unread line is before the first unread message of another', () => {
  const messages = [message(1), message(2), message(3, { sender: ME }), message(4), message(10)];
  const at = (/** @type {string | null} */ line) => keys(layout(messages, [], { line })).indexOf('unread');
  assert.equal(at(null), -1);
  assert.equal(at(''), 1);
  assert.equal(at('1700-1'), 2);
  assert.equal(at('1700-2'), 4, 'not before one of my own');
  assert.equal(at('1700-4'), 5, 'places are numbers: 10 is after 4');
  assert.equal(at('1700-10'), -1);
  const first = layout(messages, [], { line: '1700-1' }).find((row) => row.key === '1700-2');
  assert.ok(first?.kind === 'message' && first.first, 'behind the line a name is said again');
});

test('marks say what became of one own message', () => {
  const marks = (/** @type {import('../layout.js').Row[]} */ rows) =>
    rows.flatMap((row) => ('mark' in row ? [row.mark] : []));
  const mine = [1, 2, 3].map((n) => message(n, { sender: ME }));
  assert.deepEqual(marks(layout(mine, [], { read: '1700-2' })), ['read', 'read', 'stored']);
  assert.deepEqual(marks(layout([message(1)], [], { read: '1700-2' })), ['']);
  assert.deepEqual(
    marks(
      layout(
        [],
        [outgoing(), outgoing({ clientId: 'o2', state: 'sent' }), outgoing({ clientId: 'o3', state: 'refused' })],
      ),
    ),
    ['waiting', 'sent', 'refused'],
  );
});

test('a message is shown once, whether its storage or itself is heard of first', () => {
  const rows = layout([message(1, { sender: ME, clientId: 'o1' })], [outgoing({ state: 'stored' })]);
  assert.deepEqual(keys(rows).slice(1), ['1700-1']);
});

test('a change that waits is shown at its message, and one that was refused as a row', () => {
  const mine = message(1, { sender: ME });
  const waiting = layout([mine], [outgoing({ kind: 'edit', ref: '1700-1' })]);
  assert.equal(waiting.length, 2);
  assert.ok(waiting[1].kind === 'message' && waiting[1].mark === 'waiting');
  const refused = layout([mine], [outgoing({ kind: 'edit', ref: '1700-1', state: 'refused' })]);
  assert.ok(refused[1].kind === 'message' && refused[1].mark === 'stored');
  assert.equal(refused[2].kind, 'outgoing');
});

test('of many that wait the first are shown', () => {
  const many = Array.from({ length: 100 }, (_, n) => outgoing({ clientId: `o${n}` }));
  const rows = layout([], many);
  assert.equal(rows.length, 30);
  assert.equal(rows[0].key, 'outgoing o0');
});
