import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';

import { count, has, t, TEXTS } from '../texts.js';

const FOLDER = new URL('..', import.meta.url);
const SOURCES = readdirSync(FOLDER)
  .filter((name) => name.endsWith('.js') && name !== 'texts.js')
  .map((name) => readFileSync(new URL(name, FOLDER), 'utf8'));
const SOURCE = SOURCES.join('\n');

/** @param {string} text */
const values = (text) => [...text.matchAll(/\{([a-z]+)\}/g)].map((found) => found[1]).sort();

test('every text is there in both languages, with the same values', () => {
  for (const [key, [english, chinese]] of Object.entries(TEXTS)) {
    assert.ok(english.trim() && chinese.trim(), key);
    if (!key.startsWith('error.')) assert.deepEqual(values(chinese), values(english), key);
    if (/[a-z]{3}/i.test(english.replace(/\{[a-z]+\}/g, ''))) assert.match(chinese, /\p{Script=Han}/u, key);
    assert.doesNotMatch(english, /\p{Script=Han}/u, key);
  }
});

test('what the page says is in the table', () => {
  const said = [...SOURCE.matchAll(/\b(?:t|count|part|has)\(\s*'([^']+)'/g)].map((found) => found[1]);
  assert.ok(said.length > 100);
  for (const key of said) assert.ok(has(key), key);
  for (const [, one, other] of SOURCE.matchAll(/\bt\([^'`()]*\? '([^']+)' : '([^']+)'/g)) {
    assert.ok(has(one) && has(other), `${one}, ${other}`);
  }
});

test('the table has nothing that is never said', () => {
  const built = /^(error|state|change|mark|mute|role|refused|timeline|group\.gone)\.|\.(1|n)$/;
  for (const key of Object.keys(TEXTS)) assert.ok(built.test(key) || SOURCE.includes(`'${key}'`), key);
});

test('what can happen in a group has its sentence, whoever did it', () => {
  for (const what of ['joined', 'accepted', 'added', 'removed', 'left', 'role', 'muted', 'unmuted', 'banned', 'unbanned']) {
    assert.ok(has(`change.${what}`) && has(`change.${what}.me`), what);
  }
  const mine = ['accepted', 'added', 'removed', 'role', 'renamed', 'open.yes', 'open.no', 'history.yes', 'history.no'];
  for (const what of [...mine, 'muted', 'unmuted', 'muted.all', 'unmuted.all', 'banned', 'unbanned', 'dissolved']) {
    assert.ok(has(`change.${what}`) && has(`change.${what}.by-me`), what);
  }
  for (const role of ['member', 'admin', 'owner']) assert.ok(has(`role.${role}`) && has(`change.as.${role}`), role);
});

test('one of something is one', () => {
  assert.equal(count('members', 1), '1 member');
  assert.equal(count('members', 1200), '1,200 members');
});

test('a name that is written from right to left is isolated, and others can be copied as they are', () => {
  assert.equal(t('typing.one', { who: 'bob' }), 'bob is typing…');
  assert.equal(t('typing.one', { who: 'נועה' }), '\u2068נועה\u2069 is typing…');
  assert.equal(t('typing.one', { who: '{who}' }), '{who} is typing…');
});
