// Every text is there in both languages, and is used.

import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
import { keys, language, switchLanguage, t } from '../texts.js';

const FOLDER = new URL('..', import.meta.url);
const SOURCE = readdirSync(FOLDER)
  .filter((name) => name.endsWith('.js') && name !== 'texts.js')
  .map((name) => readFileSync(new URL(name, FOLDER), 'utf8'))
  .join('\n');
/** Those whose keys are put together where they are used. */
const JOINED = ['role.', 'nav.', 'fact.', 'time.', 'reports.', 'ban', 'mute', 'unban', 'unmute'];

/** @param {string} text */
const places = (text) => [...text.matchAll(/\{\w+\}/g)].map(String).sort();

test('both languages say the same of the same', () => {
  for (const [key, [english, chinese]] of keys()) {
    assert.ok(english && chinese, key);
    assert.deepEqual(places(chinese), places(english), key);
    if (key !== 'language' && key !== 'chart.p99') assert.match(chinese, /\p{Script=Han}/u, key);
  }
});

test('what is shown is in the table, and the other way round', () => {
  const known = new Set(keys().map(([key]) => key));
  const used = new Set([...SOURCE.matchAll(/\b(?:t|sentence)\(\s*'([\w.-]+)'/g)].map((found) => found[1]));
  for (const key of used) assert.ok(known.has(key), key);
  for (const key of known) {
    if (!JOINED.some((start) => key.startsWith(start))) assert.ok(SOURCE.includes(`'${key}'`), `${key} is not used`);
  }
});

test('values are put into a text once, whatever they say', () => {
  assert.equal(language(), 'en');
  assert.equal(
    t('kick.ask', { name: '{name} {other}' }),
    'Log {name} {other} out on all devices? All tokens become void.',
  );
  switchLanguage();
  assert.equal(t('log-out'), '退出');
  switchLanguage();
});
