// What is stored: databases, a database that is full or forbidden, searching, stretches.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { History, TABLES, joined } from '../history.js';
import { MemoryStorage, memoryDatabases } from '../memory.js';
import { fileDatabases, fileSettings } from '../node_files.js';
import { Browser, System, online } from './world.js';
import { contract } from './storage_contract.js';

const TALK = 'p:100:101';

/** @param {import('node:test').TestContext} t */
function folderOf(t) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'cim-'));
  t.after(() => fs.rmSync(folder, { recursive: true }));
  return folder;
}

test('databases in memory', async () => void (await contract(memoryDatabases(), false)));
test('databases in files', async (t) => void (await contract(fileDatabases(folderOf(t)), true)));

test('a file whose last line was not written whole goes on from the one before', async (t) => {
  const folder = folderOf(t);
  const databases = fileDatabases(folder);
  const tables = { notes: { key: 'name' } };
  const storage = await databases.open('user', 1, tables);
  for (const name of ['one', 'two']) await storage.write(['notes'], (transaction) => transaction.put('notes', { name }));
  storage.close();
  const file = path.join(folder, 'user.journal');
  assert.equal(fs.statSync(file).mode & 0o777, 0o600);
  fs.truncateSync(file, fs.statSync(file).size - 3);
  const again = await databases.open('user', 1, tables);
  assert.deepEqual(await again.read(['notes'], (transaction) => transaction.range('notes', {})), [{ name: 'one' }]);
});

test('settings in a file', (t) => {
  const folder = folderOf(t);
  fileSettings(folder).set('token', 'secret');
  assert.equal(fileSettings(folder).get('token'), 'secret');
  assert.equal(fs.statSync(path.join(folder, 'settings.json')).mode & 0o777, 0o600);
  fileSettings(folder).remove('token');
  assert.equal(fileSettings(folder).get('token'), '');
});

test('stretches that touch become one', () => {
  /** @type {[string, string][]} */
  let known = [];
  for (const [after, upto] of [['', '1-5'], ['1-8', '1-9'], ['1-20', '1-30'], ['1-5', '1-8'], ['1-9', '1-10'], ['1-25', '2-1']]) {
    known = joined(known, after, upto);
  }
  assert.deepEqual(known, [['', '1-10'], ['1-20', '2-1']]);
});

test('a database that is full is left for memory: nothing that waits is lost, and it is said', async () => {
  const system = new System();
  const bob = await online(system, 'bob');
  const browser = new Browser(system);
  const { databases } = browser;
  let full = false;
  browser.databases = {
    ...databases,
    async open(...form) {
      const storage = await databases.open(...form);
      const write = storage.write.bind(storage);
      storage.write = (tables, work) =>
        full ? Promise.reject(Object.assign(new Error('no space'), { name: 'QuotaExceededError' })) : write(tables, work);
      return storage;
    },
  };
  const alice = await online(system, 'alice', browser);
  await alice.client.setDraft(TALK, 'half a th');
  await alice.client.send(TALK, 'before');
  await system.clock.advance(100);
  full = true;
  system.stop();
  await system.clock.advance(100);
  await alice.client.send(TALK, 'no space');
  assert.equal(alice.client.kept, false);
  const [{ kept, reason }] = alice.heard('storage');
  assert.equal(kept, false);
  assert.match(reason, /no space.*QuotaExceededError/);
  assert.equal(await alice.client.draft(TALK), 'half a th');
  system.start();
  await system.clock.advance(5_000);
  await bob.client.send(TALK, 'after');
  await system.clock.advance(100);
  assert.deepEqual(alice.texts(), ['before', 'no space', 'after']);
  assert.deepEqual(bob.texts(), ['before', 'no space', 'after']);
  const asked = alice.client.page(TALK);
  await system.clock.advance(100);
  assert.deepEqual((await asked).messages.map(({ text }) => text), ['before', 'no space', 'after']);
});

test('a tab whose database is full sends through the leader all the same', async () => {
  const system = new System();
  const bob = await online(system, 'bob');
  const browser = new Browser(system);
  const { databases } = browser;
  let opened = 0;
  browser.databases = {
    ...databases,
    async open(...form) {
      const storage = await databases.open(...form);
      if ((opened += 1) !== 2) return storage;
      const full = () => Promise.reject(Object.assign(new Error('no space'), { name: 'QuotaExceededError' }));
      return { kept: true, read: storage.read.bind(storage), write: full, close() {} };
    },
  };
  await online(system, 'alice', browser);
  const follower = browser.tab();
  void follower.client.resume();
  await system.clock.advance(1_000);
  const sent = follower.client.send(TALK, 'through the other tab');
  await system.clock.advance(500);
  await sent;
  assert.deepEqual([follower.client.leads, follower.client.kept], [false, false]);
  assert.deepEqual(bob.texts(), ['through the other tab']);
});

test('what cannot be taken for another reason is no matter of space', async () => {
  const system = new System();
  const { client, heard } = await online(system, 'alice');
  system.stop();
  await system.clock.advance(100);
  for (let i = 0; i < 1_000; i += 1) await client.send('g:0', `${i}`);
  await assert.rejects(client.send('g:0', 'one too many'), { code: 'rate-limited' });
  assert.deepEqual([client.kept, heard('storage')], [true, []]);
});

test('where storing is forbidden it works from memory, and says so', async () => {
  const system = new System();
  const browser = new Browser(system);
  browser.databases = {
    open: () => Promise.reject(Object.assign(new Error('forbidden'), { name: 'SecurityError' })),
    remove: async () => {},
  };
  const { client, heard } = await online(system, 'alice', browser);
  assert.equal(client.kept, false);
  assert.match(heard('storage')[0].reason, /SecurityError/);
  await client.send('g:0', 'all the same');
  await system.clock.advance(100);
  assert.deepEqual(system.log('g:0').map(({ text }) => text), ['all the same']);
});

test('what came in the last second before a crash comes again', async () => {
  const system = new System();
  const bob = await online(system, 'bob');
  const alice = await online(system, 'alice');
  await bob.client.send(TALK, 'early');
  await system.clock.advance(3_000);
  for (const text of ['late', 'later']) {
    await bob.client.send(TALK, text);
    await system.clock.advance(50);
  }
  assert.deepEqual(alice.texts(), ['early', 'late', 'later']);
  alice.crash();
  const again = alice.browser.tab();
  const resumed = again.client.resume();
  await system.clock.advance(3_000);
  await resumed;
  assert.deepEqual(again.texts(), ['later']);
  assert.equal(again.client.talks[0].unread, 3, 'it counts once');
});

// Searching

const ME = 1;
const WORDS = ['早上', '好', '天气', '会议', '明天', '下午', '三点', '开始', 'lunch', 'meeting', 'report', 'deadline', 'Straße'];

/** A history of many messages, in which every hundredth has its number in words.
 * @param {number} count */
async function library(count) {
  const storage = new MemoryStorage(TABLES);
  let read = 0;
  const counting = /** @type {import('../ports.js').Storage} */ ({
    kept: true,
    read: (tables, work) =>
      storage.read(tables, (transaction) =>
        work({
          ...transaction,
          async range(table, range) {
            const found = await transaction.range(table, range);
            if (table === 'messages') read += found.length;
            return found;
          },
        }),
      ),
    write: (tables, work) => storage.write(tables, work),
    close() {},
  });
  const history = new History(counting, ME);
  let random = 1;
  const next = (/** @type {number} */ below) => (random = (random * 48271) % 2147483647) % below;
  for (let from = 0; from < count; from += 200) {
    const rows = Array.from({ length: 200 }, (_, i) => {
      const n = from + i + 1;
      const text = Array.from({ length: 8 }, () => WORDS[next(WORDS.length)]).join(n % 2 ? '' : ' ');
      return {
        conversation: n % 10 ? TALK : 'g:7',
        position: `1-${n}`,
        previous: n > 1 ? `1-${n - 1}` : '',
        sender: { id: 100, name: 'alice' },
        sentAt: n * 1000,
        clientId: `c${n}`,
        kind: /** @type {const} */ ('text'),
        text: n % 1000 ? text : `${text} 第${n}号档案 file-${n}`,
        data: null,
        contentType: '',
        ref: '',
        edited: false,
        byOperator: false,
        changes: [],
      };
    });
    for (const conversation of [TALK, 'g:7']) {
      const its = rows.filter((row) => row.conversation === conversation);
      await history.add([{ conversation, after: its[0].previous, upto: its[its.length - 1].position, rows: its }]);
    }
  }
  return {
    history,
    /** How many messages a search looked at. @param {() => Promise<any>} search */
    async cost(search) {
      read = 0;
      await search();
      return read;
    },
  };
}

test('a search finds what is there and nothing else, the newest first, and looks at few messages for it', async () => {
  const { history, cost } = await library(10_000);
  const found = async (/** @type {string} */ text, where = {}) => (await history.search(text, where)).map(({ position }) => position);
  assert.deepEqual(await found('7000号档'), ['1-7000']);
  assert.deepEqual(await found('FILE-10000'), ['1-10000']);
  assert.deepEqual(await found('号档案'), Array.from({ length: 10 }, (_, i) => `1-${10_000 - i * 1000}`));
  assert.deepEqual(await found('号档案', { limit: 2 }), ['1-10000', '1-9000']);
  assert.deepEqual(await found('号档案', { limit: 2, before: { sentAt: 9_000_000 } }), ['1-8000', '1-7000']);
  assert.deepEqual(await found('档案', { conversation: TALK }), []);
  assert.deepEqual(await found('档案', { conversation: 'g:7', limit: 1 }), ['1-10000']);
  assert.deepEqual(await found('', {}), []);
  assert.deepEqual(await found('nowhere'), []);
  assert.equal((await found('档', {})).length, 10, 'one character will do');
  assert.equal((await found('STRASSE')).length, 0);
  assert.equal((await found('straße', { limit: 7 })).length, 7);
  // 10,000 messages are 79 blocks of 128.
  assert(await cost(() => history.search('7000号档', {})) <= 5 * 128);
  assert(await cost(() => history.search('deadline', { limit: 20 })) <= 2 * 128);
  assert(await cost(() => history.search('xyzzy', {})) <= 2 * 128);
});

test('settings of a browser are those that all tabs see, and last as long as the page where it keeps none', async () => {
  const { browserPorts } = await import('../browser.js');
  Object.assign(globalThis, { location: { origin: 'http://cim' } });
  const { settings } = browserPorts();
  Reflect.deleteProperty(globalThis, 'location');
  /** @type {Map<string, string>} */
  const stored = new Map();
  let full = false;
  const localStorage = {
    getItem: (/** @type {string} */ key) => stored.get(key) ?? null,
    setItem(/** @type {string} */ key, /** @type {string} */ value) {
      if (full) throw new Error('QuotaExceededError');
      stored.set(key, value);
    },
    removeItem: (/** @type {string} */ key) => void stored.delete(key),
  };
  Object.assign(globalThis, { localStorage });
  settings.set('user', 'alice');
  assert.equal(settings.get('user'), 'alice');
  stored.clear(); // another tab
  assert.equal(settings.get('user'), '');
  full = true;
  settings.set('user', 'bob');
  assert.equal(settings.get('user'), 'bob');
  settings.remove('user');
  assert.equal(settings.get('user'), '');
  Reflect.deleteProperty(globalThis, 'localStorage');
  settings.set('user', 'carol');
  assert.equal(settings.get('user'), 'carol');
});
