import assert from 'node:assert/strict';
import { test } from 'node:test';

import { nextPlace } from '../../shared/roving.js';
import { bytes, MOST } from '../composer.js';
import { errorText } from '../errors.js';
import { findPeople, snippet } from '../find.js';
import { changeLines, mostUsed, shownAtFirst } from '../message.js';
import { Double, message } from './double.js';

test('of very many reactions those of most people are shown, and that of oneself', () => {
  /** @type {[string, number[]][]} */
  const many = Array.from({ length: 10_000 }, (_, i) => [`${i}`, i === 77 ? [1] : i === 9_000 ? [2, 3, 4] : i === 3 ? [] : [5, 6]]);
  const shown = mostUsed(many, 1);
  assert.deepEqual([shown.length, shown[0][0], shown[1][0], shown[2][0]], [30, '77', '9000', '0']);
  assert.equal(mostUsed(many.slice(0, 30), 1).length, 30);
});

test('of a long text the beginning is shown, however long it gets when it is made visible', () => {
  assert.deepEqual(shownAtFirst('short \u202e'), ['short <U+202E>', false]);
  for (const one of ['\u202e', '\u{E0041}', 'x', '\ud800']) {
    const [shown, isLong] = shownAtFirst(one.repeat(16_000));
    assert.deepEqual([shown.length <= 3000, isLong], [true, true]);
  }
  assert.deepEqual(shownAtFirst('\u202e'.repeat(2000))[1], true);
});

test('the size of a text is that of its bytes', () => {
  assert.equal(bytes('x'.repeat(MOST)), 49_152);
  assert.equal(bytes('界'.repeat(16_384)), 49_152);
  assert.ok(bytes('界'.repeat(16_385)) > MOST);
  assert.ok(bytes('😀'.repeat(12_289)) > MOST);
  assert.ok(bytes('a'.repeat(MOST + 1)) > MOST);
});

test('people are found by a beginning, or by the whole name where there are no beginnings', async () => {
  const double = new Double();
  for (const [id, name] of /** @type {[number, string][]} */ ([
    [2, 'bob'],
    [3, 'bobby'],
    [4, 'Bo'],
    [5, '林小雨'],
  ]))
    double.users.set(id, { id, name });
  const found = async (/** @type {string} */ typed, directory = 'prefix') =>
    (await findPeople(double, typed, directory)).map((user) => user.name);
  assert.deepEqual(await found(' bob '), ['bob', 'bobby']);
  assert.deepEqual(await found('bob', 'exact'), ['bob']);
  assert.deepEqual(await found('bo', 'exact'), []);
  assert.deepEqual(await found('林小雨', 'exact'), ['林小雨']);
  assert.deepEqual(await found('bob', 'off'), []);
  assert.deepEqual(await found('   '), []);
  double.userNamed = async () => {
    throw Object.assign(new Error('away'), { code: 'unreachable' });
  };
  await assert.rejects(found('bo', 'exact'), { code: 'unreachable' });
});

test('a hit is shown with what is around it', () => {
  assert.deepEqual(snippet('We meet at Noon\ntoday', 'noon'), ['We meet at ', 'Noon', ' today']);
  const [before, hit, after] = snippet(`${'a '.repeat(100)}needle${' b'.repeat(200)}`, 'needle');
  assert.ok(before.startsWith('…') && before.length < 40);
  assert.equal(hit, 'needle');
  assert.ok(after.length < 130);
  assert.deepEqual(snippet('nothing of it', 'xyz'), ['nothing of it', '', '']);
  assert.deepEqual(snippet('İ needle', 'needle'), ['İ needle', '', ''], 'lower case is longer there');
});

test('an error is a sentence that says what to do', () => {
  assert.equal(
    errorText({ code: 'unauthorized', message: 'x' }, 'login'),
    'The name or the password is wrong. Check both, then try again.',
  );
  assert.equal(
    errorText({ code: 'invalid', message: 'invalid argument: name must not be empty' }),
    'Name must not be empty.',
  );
  assert.equal(
    errorText({ code: 'rate-limited', message: '', retryAfter: 4.2 }),
    'That was too much at once. Wait 5 s, then try again.',
  );
  assert.equal(
    errorText({ code: 'weird', message: '' }),
    'Something went wrong. Try again; if it stays so, tell an operator.',
  );
  assert.equal(errorText(undefined), 'Something went wrong. Try again; if it stays so, tell an operator.');
  assert.equal(errorText({ code: 'forbidden', message: 'no\u202E' }), 'No<U+202E>.');
});

test('arrows lead to what is next', () => {
  assert.equal(nextPlace('ArrowDown', 0, 3), 1);
  assert.equal(nextPlace('ArrowDown', 2, 3), -1);
  assert.equal(nextPlace('ArrowUp', 0, 3), -1);
  assert.equal(nextPlace('ArrowUp', 1, 3), 0);
  assert.equal(nextPlace('End', 0, 3), 2);
  assert.equal(nextPlace('PageUp', 4, 20), 0);
  assert.equal(nextPlace('ArrowRight', 0, 3), -1);
  assert.equal(nextPlace('ArrowDown', 1, 20, 8), 9);
  assert.equal(nextPlace('a', 1, 20), -1);
});

test('what happened in a group is said from where one stands', () => {
  const names = /** @type {any} */ ({ of: (/** @type {number} */ id) => `user${id}` });
  const lines = (/** @type {any[]} */ ...changes) =>
    changeLines(message(1, { kind: 'members', changes }), { names, me: 1 });
  assert.deepEqual(lines({ what: 'added', user: 2, by: 3, text: '' }), ['user3 added user2']);
  assert.deepEqual(lines({ what: 'added', user: 1, by: 0, text: '' }), ['An operator added you']);
  assert.deepEqual(lines({ what: 'role', user: 2, by: 1, text: 'admin' }), ['You made user2 an admin']);
  assert.deepEqual(lines({ what: 'renamed', user: 0, by: 1, text: 'a\u200Bb' }), ['You named the group a<U+200B>b']);
  assert.deepEqual(lines({ what: 'muted', user: 1, by: 3, text: '0' }), ['user3 muted you until an admin ends it']);
  assert.deepEqual(lines({ what: 'muted', user: 0, by: 1, text: '0' }), ['You muted all but admins until an admin ends it']);
  assert.deepEqual(lines({ what: 'unmuted', user: 0, by: 0, text: '' }), ['An operator let everybody write again']);
  assert.deepEqual(lines({ what: 'open', user: 1, by: 1, text: 'yes' }), ['You let anyone join']);
  assert.deepEqual(lines({ what: 'history', user: 3, by: 3, text: 'no' }), [
    'user3 no longer lets new members read what was said before',
  ]);
  assert.deepEqual(lines({ what: 'banned', user: 2, by: 3, text: '' }), ['user3 banned user2']);
  assert.deepEqual(lines({ what: 'something new', user: 2, by: 3, text: '' }), ['user3 changed something']);
  const many = Array.from({ length: 14 }, (_, n) => ({ what: 'left', user: n + 2, by: n + 2, text: '' }));
  assert.deepEqual(lines(...many).slice(-1), ['and 4 more changes']);
});
