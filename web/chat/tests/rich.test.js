import assert from 'node:assert/strict';
import { test } from 'node:test';

import { address, beginning, onlyEmoji, parts } from '../rich.js';

/** @param {string} text */
const short = (text) => parts(text).map(({ kind, text: words }) => `${kind}:${words}`);

test('addresses of http and https are links, and nothing else is', () => {
  assert.deepEqual(short('see https://example.com/a?b=c#d now'), [
    'words:see ',
    'link:https://example.com/a?b=c#d',
    'words: now',
  ]);
  assert.deepEqual(short('HTTP://Example.com'), ['link:HTTP://Example.com']);
  for (const text of [
    'javascript:alert(1)',
    'data:text/html,x',
    'file:///etc/passwd',
    'ftp://example.com',
    'https://',
    'http:// x',
    'www.example.com',
  ]) {
    assert.deepEqual(short(text), [`words:${text}`]);
  }
});

test('an address is one of http or https, whoever asks', () => {
  for (const text of ['javascript:alert(1)', 'ftp://example.com', 'data:,x', 'https://']) assert.equal(address(text), '');
});

test('what pretends to be an address of another host is no link', () => {
  for (const address of ['bank.example@elsewhere.example/', 'bank.example:443@elsewhere.example', ':x@elsewhere.example']) {
    const text = `https://${address}`;
    assert.deepEqual(short(text), [`words:${text}`]);
  }
  assert.equal(address('https://example.com/@alice?mail=a@b'), 'https://example.com/@alice?mail=a@b');
});

test('signs that end the sentence are no part of an address', () => {
  assert.equal(address('https://example.com/a).'), 'https://example.com/a');
  assert.equal(address('https://example.com/wiki/Paris_(France),'), 'https://example.com/wiki/Paris_(France)');
  assert.equal(address('https://example.com/?!?'), 'https://example.com/');
  assert.deepEqual(short('请看https://example.com/会议。谢谢'), [
    'words:请看',
    'link:https://example.com/会议',
    'words:。谢谢',
  ]);
  assert.deepEqual(short('<https://example.com>'), ['words:<', 'link:https://example.com', 'words:>']);
});

test('code keeps what it is made of', () => {
  assert.deepEqual(short('use `a < b` here'), ['words:use ', 'code:a < b', 'words: here']);
  assert.deepEqual(short('```python\nif a:\n    b\n```\nafter'), ['block:if a:\n    b', 'words:after']);
  assert.deepEqual(short('`https://example.com`'), ['code:https://example.com']);
  assert.deepEqual(short('a ` b'), ['words:a ` b']);
  assert.deepEqual(short('``` open'), ['words:``` open']);
});

test('markup is words', () => {
  const text = '<img src=x onerror=alert(1)> **b** [a](javascript:x) &lt;';
  assert.deepEqual(short(text), [`words:${text}`]);
});

test('nothing of a text is lost, whatever it is', () => {
  for (const text of [
    '',
    '\n\n',
    '`',
    'x'.repeat(50_000),
    ')'.repeat(2000),
    `https://a.b/${')'.repeat(49_000)}`,
    '`a\n`b`',
  ]) {
    assert.equal(
      parts(text)
        .map((one) => one.text)
        .join('')
        .replaceAll('`', ''),
      text.replaceAll('`', ''),
    );
  }
});

test('a hostile text of full length is read quickly', () => {
  const began = process.cpuUsage();
  for (const one of ['https://a(', 'http://a)', '```', '`', 'https://', '``` `'])
    parts(one.repeat(Math.ceil(49_152 / one.length)));
  assert.ok(process.cpuUsage(began).user < 1_000_000);
});

test('up to three emoji are shown large', () => {
  for (const text of ['👋', '👨‍👩‍👧‍👦 ❤️', '🎉🎉🎉']) assert.ok(onlyEmoji(text), text);
  for (const text of ['', 'a 👋', '👋👋👋👋', '1', '5️', '👋 ok']) assert.ok(!onlyEmoji(text), text);
});

test('a long text begins with whole lines', () => {
  assert.equal(beginning('short'), null);
  assert.equal(beginning('a\nb\nc', 100, 2), 'a\nb');
  assert.equal(beginning('x'.repeat(11), 10), 'x'.repeat(10));
  assert.equal(beginning(`${'x'.repeat(9)}😀`, 10), 'x'.repeat(9), 'not half a character');
});
