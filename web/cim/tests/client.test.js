// The client, whole, against a double of the system.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { History, TABLES, fold, messageOf } from '../history.js';
import { Marks } from '../marks.js';
import { MemoryStorage } from '../memory.js';
import { Talks } from '../talks.js';
import { Browser, System, online } from './world.js';

const TALK = 'p:100:101';
/** @type {import('../packets.js').Row} */
const ROW = {
  conversation: TALK,
  position: '',
  previous: '',
  sender: { id: 100, name: 'alice' },
  sentAt: 0,
  clientId: '',
  kind: 'text',
  text: 'x',
  data: null,
  contentType: '',
  ref: '',
  edited: false,
  byOperator: false,
  changes: [],
};

/** Alice and Bob, online. */
async function two() {
  const system = new System();
  const alice = await online(system, 'alice');
  const bob = await online(system, 'bob');
  return { system, clock: system.clock, alice, bob };
}

test('a message is written, sent, stored, and heard', async () => {
  const { clock, alice, bob } = await two();
  const written = await alice.client.send(TALK, 'hello, Bob');
  assert.equal(written.state, 'waiting');
  await clock.advance(100);
  assert.deepEqual(alice.heard('outgoing').map(({ state }) => state), ['waiting', 'sent', 'stored']);
  assert.deepEqual(bob.texts(), ['hello, Bob']);
  assert.deepEqual(alice.texts(), ['hello, Bob']);
  const [message] = bob.heard('message');
  assert.deepEqual([message.mine, message.sender.name, message.clientId], [false, 'alice', written.clientId]);
  assert.deepEqual(await alice.client.outgoing(), []);
  const [talk] = bob.client.talks;
  assert.deepEqual([talk.conversation, talk.title, talk.unread, talk.last?.text], [TALK, 'alice', 1, 'hello, Bob']);
});

test('a message that a policy changed is shown as it is stored, also to whoever sent it', async () => {
  const { system, clock, alice, bob } = await two();
  system.changes = (text) => text.replace('damn', '****');
  for (const text of ['hello', 'damn it', 'bye']) await alice.client.send(TALK, text);
  await clock.advance(100);
  assert.deepEqual(alice.texts(), ['hello', '**** it', 'bye']);
  assert.deepEqual(bob.texts(), ['hello', '**** it', 'bye']);
  assert.deepEqual(await alice.client.outgoing(), []);
  const { messages } = await alice.client.page(TALK, { limit: 10 });
  assert.deepEqual(messages.map(({ text }) => text), ['hello', '**** it', 'bye']);
  const found = await alice.client.search('damn');
  assert.deepEqual(found, []);
});

test('what a policy refuses is refused for good, with its reason', async () => {
  const { system, clock, alice, bob } = await two();
  system.refuses = ({ text }) => text === 'spam' && { code: 'refused', message: 'no advertising here' };
  for (const text of ['one', 'spam', 'two']) await alice.client.send(TALK, text);
  await clock.advance(100);
  assert.deepEqual(bob.texts(), ['one', 'two']);
  const [refused] = await alice.client.outgoing();
  assert.deepEqual([refused.state, refused.code, refused.reason], ['refused', 'refused', 'no advertising here']);
});

test('what is received is acknowledged at most once a second, or for 100 messages', async () => {
  const { system, clock, alice, bob } = await two();
  for (let i = 0; i < 10; i += 1) {
    await alice.client.send(TALK, `${i}`);
    await clock.advance(100);
  }
  const received = () => system.socketOf('bob').said.filter((packet) => packet.received).map((packet) => packet.received.position);
  await clock.advance(1_000);
  assert.equal(received().length, 2);
  assert.match(received()[1], /-10$/);
  for (let i = 0; i < 100; i += 1) system.store(TALK, 100, { text: 'more', clientId: `m${i}` });
  await clock.advance(50);
  assert.equal(received().length, 3, 'at once');
  assert.equal(bob.texts().length, 110);
});

test('a receipt that was lost is sent again', async () => {
  const { system, clock, alice, bob } = await two();
  await alice.client.send(TALK, 'one');
  await clock.advance(10_000);
  const [name] = [...system.received.keys()].filter((one) => one.startsWith(`${TALK} 101`));
  const { position } = system.log(TALK)[0];
  assert.equal(system.received.get(name), position);
  system.received.clear();
  system.socketOf('bob').end();
  await clock.advance(10_000);
  assert.equal(system.received.get(name), position);
  assert.deepEqual(bob.texts(), ['one']);
});

test('messages of a conversation are shown once and in order, whatever is lost, repeated or overtaken', async () => {
  const { system, clock, bob } = await two();
  let lost = 0;
  system.loses = () => (lost += 1) % 3 === 0;
  for (let i = 1; i <= 40; i += 1) {
    const row = system.store(TALK, 100, { text: `${i}`, clientId: `c${i}` });
    if (i % 5 === 0) clock.later(30, () => system.push(row));
    await clock.advance(7);
  }
  await clock.advance(30_000);
  assert.deepEqual(bob.texts(), Array.from({ length: 40 }, (_, i) => `${i + 1}`));
});

test('after a stop of the system nothing is lost or doubled, and the order holds', async () => {
  const { system, clock, alice, bob } = await two();
  // Stored, but the answer is lost.
  await alice.client.send(TALK, 'one');
  await clock.advance(6);
  system.socketOf('alice').dead = true;
  system.stop();
  await clock.advance(20);
  assert.equal(system.log(TALK).length, 1);
  assert.equal(alice.client.state.name, 'waiting');
  await alice.client.send(TALK, 'two');
  await alice.client.send(TALK, 'three');
  assert.deepEqual((await alice.client.outgoing(TALK)).map(({ text }) => text), ['one', 'two', 'three']);
  await clock.advance(20_000);
  system.start();
  await clock.advance(5_000);
  assert.deepEqual([alice.client.state.name, bob.client.state.name], ['online', 'online']);
  for (const { texts } of [alice, bob]) assert.deepEqual(texts(), ['one', 'two', 'three']);
  assert.deepEqual(system.log(TALK).map(({ text }) => text), ['one', 'two', 'three']);
  assert.deepEqual(await alice.client.outgoing(), []);
});

test('what was not sent outlasts the page', async () => {
  const { system, clock, alice } = await two();
  system.stop();
  await clock.advance(100);
  await alice.client.send(TALK, 'written offline');
  await alice.client.setDraft(TALK, 'and half a th');
  alice.crash();
  const again = alice.browser.tab();
  const resumed = again.client.resume();
  await clock.advance(1_000);
  assert.deepEqual(await resumed, { id: 100, name: 'alice' });
  assert.deepEqual((await again.client.outgoing()).map(({ text }) => text), ['written offline']);
  assert.equal(await again.client.draft(TALK), 'and half a th');
  system.start();
  await clock.advance(5_000);
  assert.deepEqual(system.log(TALK).map(({ text }) => text), ['written offline']);
  assert.deepEqual(await again.client.outgoing(), []);
});

test('failures that pass are tried again in order; refusals are told, tried anew, or forgotten', async () => {
  const { system, clock, alice, bob } = await two();
  let busy = true;
  system.refuses = ({ text }) =>
    text === 'bad' ? { code: 'forbidden', message: 'you may not' } : busy ? { code: 'rate-limited', retryAfterSeconds: 2 } : null;
  for (const text of ['one', 'bad', 'two']) await alice.client.send(TALK, text);
  await clock.advance(1_000);
  busy = false;
  await clock.advance(5_000);
  assert.deepEqual(bob.texts(), ['one', 'two']);
  const [refused] = await alice.client.outgoing();
  assert.deepEqual([refused.text, refused.state, refused.code, refused.reason], ['bad', 'refused', 'forbidden', 'you may not']);
  system.refuses = () => null;
  const anew = await alice.client.again(refused.clientId);
  assert.notEqual(anew.clientId, refused.clientId);
  await clock.advance(100);
  assert.deepEqual(bob.texts(), ['one', 'two', 'bad']);
  system.refuses = () => ({ code: 'not-found', message: 'nobody' });
  const other = await alice.client.send(TALK, 'lost');
  await clock.advance(100);
  await alice.client.forget(other.clientId);
  assert.deepEqual(await alice.client.outgoing(), []);
});

test('what can never be sent is refused at once', async () => {
  const { alice } = await two();
  await assert.rejects(alice.client.send(TALK, ''), { code: 'invalid', field: 'text' });
  await assert.rejects(alice.client.send(TALK, '字'.repeat(16_385)), { code: 'too-large' });
  await assert.rejects(alice.client.send('p:1:2', 'x'), { code: 'invalid', field: 'conversation' });
  await alice.client.send(TALK, '字'.repeat(16_384));
});

test('somebody without a name is called by the number', async () => {
  const { system, clock, bob } = await two();
  system.users.push({ id: 102, name: '', password: '' });
  system.store('p:101:102', 102, { text: 'who am I?', clientId: 'nameless' });
  await clock.advance(2_000);
  assert.equal(bob.client.talks[0].title, '102');
});

test('many who are asked for in one moment are looked up together', async () => {
  const { system, clock, bob } = await two();
  const ids = Array.from({ length: 250 }, (_, i) => 1000 + i);
  const before = system.requests.length;
  const all = Promise.all([...ids, 100].map((id) => bob.client.user(id)));
  await clock.advance(1_000);
  const names = (await all).map(({ name }) => name);
  assert.deepEqual([names[0], names[249], names[250]], ['user 1000', 'user 1249', 'alice']);
  assert.deepEqual(system.requests.slice(before).map(({ path }) => path.split('?')[0]), Array(3).fill('/v1/users'));
});

test('of what became of a message only the last of each kind by each user is kept', async () => {
  const { clock, alice, bob } = await two();
  await alice.client.send(TALK, 'one');
  await clock.advance(100);
  const [message] = bob.heard('message');
  for (let i = 0; i < 20; i += 1) {
    await bob.client.react(message, i % 2 ? '' : `r${i}`);
    if (i % 5 === 0) await alice.client.edit(message, `edit ${i}`);
    await clock.advance(1_000);
  }
  await bob.client.react(message, 'last');
  await clock.advance(1_000);
  const { text, reactions } = (await alice.client.page(TALK)).messages[0];
  assert.deepEqual([text, reactions], ['edit 15', { last: [101] }]);
  const storage = await alice.browser.databases.open('cim-100', 1, {});
  const kept = await storage.read(['revisions'], (transaction) => transaction.range('revisions', {}));
  assert.deepEqual(kept.map(({ kind, text }) => [kind, text]), [['edit', 'edit 15'], ['reaction', 'last']]);
});

test('edits, recalls and reactions change the message', async () => {
  const { clock, alice, bob } = await two();
  await alice.client.send(TALK, 'helo');
  await alice.client.send(TALK, 'secret');
  await clock.advance(100);
  const [first, second] = bob.heard('message');
  await alice.client.edit(first, 'hello');
  await alice.client.recall(second);
  await bob.client.react(first, '👍');
  await clock.advance(100);
  for (const { client } of [alice, bob]) {
    const { messages } = await client.page(TALK);
    assert.deepEqual(messages.map(({ text, edited, recalled }) => [text, edited, recalled]), [['hello', true, false], ['', false, true]]);
    assert.deepEqual(messages[0].reactions, { '👍': [101] });
  }
  assert.equal(bob.heard('changed').length, 3);
  await bob.client.react(first, '');
  await clock.advance(100);
  assert.deepEqual((await alice.client.page(TALK)).messages[0].reactions, {});
  assert.equal(bob.client.talks[0].unread, 1, 'a recalled message is not unread');
  assert.deepEqual(await bob.client.search('secret'), []);
  await alice.client.send(TALK, 'harmless');
  await clock.advance(100);
  const third = bob.heard('message')[2];
  await alice.client.edit(third, 'secret as well');
  await clock.advance(100);
  await alice.client.recall(third);
  await clock.advance(100);
  const storage = await bob.browser.databases.open('cim-101', 1, {});
  for (const table of ['messages', 'revisions', 'talks']) {
    const all = await storage.read([table], (transaction) => transaction.range(table, {}));
    assert.doesNotMatch(JSON.stringify(all), /secret/, table);
  }
  assert.deepEqual((await bob.client.search('HELLO')).map(({ position }) => position), [first.position]);
});

test('texts that mean something to JavaScript are texts', async () => {
  const { system, clock, alice, bob } = await two();
  await alice.client.send(TALK, '__proto__');
  await clock.advance(100);
  const [message] = bob.heard('message');
  const reactions = ['__proto__', 'constructor', 'toString'];
  for (const [i, text] of reactions.entries()) {
    system.store(TALK, 200 + i, { kind: 'REACTION', text, ref: message.position, clientId: text });
  }
  await clock.advance(100);
  const { messages } = await bob.client.page(TALK);
  assert.deepEqual(Object.entries(messages[0].reactions), reactions.map((text, i) => [text, [200 + i]]));
  assert.deepEqual((await bob.client.search('__proto__')).length, 1);
});

test('scrolling back pages from the servers once, and from what is stored then', async () => {
  const system = new System();
  for (const name of ['alice', 'bob']) system.user(name);
  for (let i = 1; i <= 120; i += 1) system.store(TALK, 100, { text: `${i}`, clientId: `c${i}` });
  system.reads.set(`${TALK} 101`, system.log(TALK)[109].position);
  const bob = await online(system, 'bob');
  const { clock } = system;
  const texts = Array.from({ length: 120 }, (_, i) => `${i + 1}`);
  assert.deepEqual(bob.texts(), texts.slice(110), 'what was not read');
  const read = async () => {
    /** @type {string[]} */
    let all = [];
    /** @type {string | undefined} */
    let before;
    for (;;) {
      const asked = bob.client.page(TALK, { before, limit: 50 });
      await clock.advance(1_000);
      const page = await asked;
      all = [...page.messages.map(({ text }) => text), ...all];
      if (!page.before) return all;
      before = page.messages[0].position;
    }
  };
  assert.deepEqual(await read(), texts);
  const asked = system.requests.length;
  assert.deepEqual(await read(), texts);
  assert.equal(system.requests.length, asked, 'all of it is stored');
  const around = await bob.client.page(TALK, { around: system.log(TALK)[59].position, limit: 10 });
  assert.deepEqual(around.messages.map(({ text }) => text), texts.slice(54, 65));
  assert.deepEqual([around.before, around.after], [true, true]);
  const after = await bob.client.page(TALK, { after: system.log(TALK)[99].position, limit: 50 });
  assert.deepEqual([after.messages.map(({ text }) => text), after.after], [texts.slice(100), false]);
});

test('a page behind many edits is found in the end', async () => {
  const system = new System();
  for (const name of ['alice', 'bob']) system.user(name);
  for (const talk of [TALK, 'g:0']) {
    const { position } = system.store(talk, 100, { text: 'hesitant', clientId: 'c' });
    for (let i = 0; i < 70; i += 1) system.store(talk, 100, { kind: 'EDIT', text: `edit ${i}`, ref: position, clientId: `e${i}` });
  }
  system.reads.set(`${TALK} 101`, system.log(TALK)[70].position);
  const bob = await online(system, 'bob');
  for (const talk of [TALK, 'g:0']) {
    let page = { messages: /** @type {any[]} */ ([]), before: true };
    for (let i = 0; page.before && i < 10; i += 1) {
      const asked = bob.client.page(talk, { limit: 5 });
      await system.clock.advance(500);
      page = await asked;
    }
    assert.deepEqual(page.messages.map(({ text }) => text), ['edit 69'], talk);
  }
});

test('a page behind many reactions is found in the end', async () => {
  const system = new System();
  for (const name of ['alice', 'bob']) system.user(name);
  const { position } = system.store(TALK, 100, { text: 'popular', clientId: 'c' });
  for (let i = 0; i < 700; i += 1) system.store(TALK, 1_000 + i, { kind: 'REACTION', text: '👍', ref: position, clientId: `r${i}` });
  system.reads.set(`${TALK} 101`, system.log(TALK)[700].position);
  const bob = await online(system, 'bob');
  let page = { messages: /** @type {any[]} */ ([]), before: true };
  for (let i = 0; page.before && i < 10; i += 1) {
    const asked = bob.client.page(TALK, { limit: 50 });
    await system.clock.advance(500);
    page = await asked;
  }
  assert.deepEqual([page.messages.length, page.messages[0]?.reactions['👍'].length], [1, 700]);
});

test('without a network pages come from what is stored', async () => {
  const { system, clock, alice, bob } = await two();
  await alice.client.send(TALK, 'here');
  await clock.advance(100);
  system.stop();
  await clock.advance(100);
  const asked = bob.client.page(TALK);
  await clock.advance(100);
  assert.deepEqual((await asked).messages.map(({ text }) => text), ['here']);
});

test('without a network a page has what is stored, although more is missing', async () => {
  const system = new System();
  for (const name of ['alice', 'bob']) system.user(name);
  for (let i = 1; i <= 30; i += 1) system.store(TALK, 100, { text: `${i}`, clientId: `c${i}` });
  system.reads.set(`${TALK} 101`, system.log(TALK)[19].position);
  const bob = await online(system, 'bob');
  system.stop();
  for (const where of [{}, { after: system.log(TALK)[4].position }, { around: system.log(TALK)[25].position, limit: 20 }]) {
    const asked = bob.client.page(TALK, where);
    await system.clock.advance(100);
    assert.deepEqual((await asked).messages.map(({ text }) => Number(text)), [21, 22, 23, 24, 25, 26, 27, 28, 29, 30]);
  }
});

test('heads come in pages, and each conversation begins where it was received or read', async () => {
  const system = new System();
  system.heads = 2;
  system.user('alice');
  for (let i = 1; i <= 7; i += 1) {
    system.user(`friend ${i}`);
    for (const text of ['old', `new of ${i}`]) system.store(`p:100:${100 + i}`, 100 + i, { text, clientId: text });
    system.reads.set(`p:100:${100 + i} 100`, system.log(`p:100:${100 + i}`)[0].position);
  }
  const alice = await online(system, 'alice');
  await system.clock.advance(2_000);
  assert.deepEqual(alice.texts().sort(), Array.from({ length: 7 }, (_, i) => `new of ${i + 1}`));
  assert.deepEqual(alice.client.talks.filter(({ user }) => user).map(({ unread, title }) => [unread, title]).sort(), Array.from({ length: 7 }, (_, i) => [1, `friend ${i + 1}`]));
});

test('on a new device the talks have their last lines, although nothing of them is new', async () => {
  const system = new System();
  for (const name of ['alice', 'bob', 'carol']) system.user(name);
  for (const talk of [TALK, 'p:101:102']) {
    const { position } = system.store(talk, 101, { text: `last of ${talk}`, clientId: talk });
    system.store(talk, 100, { kind: 'REACTION', text: '👍', ref: position, clientId: `r${talk}` });
    system.reads.set(`${talk} 101`, position);
    // Everything was received by a device of this name, so no head names it.
    for (const { position: end } of system.log(talk).slice(-1)) system.received.set(`${talk} 101 web-000001ab`, end);
  }
  const bob = await online(system, 'bob', new Browser(system));
  await system.clock.advance(2_000);
  assert.deepEqual(bob.client.talks.map(({ last }) => last?.text ?? ''), [`last of ${TALK}`, 'last of p:101:102', '']);
  assert.deepEqual(bob.client.talks[0].last?.reactions, { '👍': [100] });
});

test('a list that nobody asked for does not end the one that is asked for', async () => {
  const { system, clock, alice } = await two();
  system.user('carol');
  system.loses = () => true;
  system.store('p:100:102', 102, { text: 'missed', clientId: 'x' });
  system.socketOf('alice').say({ news: { unasked: true, heads: [system.head('p:100:102', 100, 'x')] } });
  await clock.advance(1_000);
  assert.deepEqual(alice.texts(), ['missed']);
});

test('what was read is told, counted, and the same on all devices', async () => {
  const { system, clock, alice, bob } = await two();
  const phone = await online(system, 'bob');
  for (const text of ['one', 'two', 'three']) await alice.client.send(TALK, text);
  await clock.advance(100);
  assert.equal(phone.client.talks[0].unread, 3);
  const [, second] = bob.heard('message');
  await bob.client.markRead(TALK, second.position);
  await clock.advance(100);
  assert.deepEqual([bob.client.talks[0].unread, phone.client.talks[0].unread], [1, 1]);
  assert.equal(alice.client.talks[0].readBy[101], second.position);
  assert.deepEqual(alice.heard('read'), [{ conversation: TALK, user: 101, position: second.position }]);
  // A mark that is set offline is told later.
  system.stop();
  await clock.advance(100);
  await bob.client.markRead(TALK);
  assert.equal(bob.client.talks[0].unread, 0);
  system.start();
  await clock.advance(5_000);
  assert.equal(phone.client.talks[0].unread, 0);
  assert.equal(alice.client.talks[0].readBy[101], system.log(TALK)[2].position);
});

test('a mark that is set when the system dies is told later, and what comes then is unread', async () => {
  const { system, clock, alice, bob } = await two();
  await alice.client.send(TALK, 'one');
  await clock.advance(100);
  system.socketOf('bob').dead = true;
  await bob.client.markRead(TALK);
  system.stop();
  await clock.advance(1_000);
  for (const text of ['two', 'three']) await alice.client.send(TALK, text);
  system.start();
  await clock.advance(5_000);
  assert.deepEqual(bob.texts(), ['one', 'two', 'three']);
  assert.equal(bob.client.talks[0].unread, 2);
  assert.equal(system.reads.get(`${TALK} 101`), system.log(TALK)[0].position);
  assert.equal(alice.client.talks[0].readBy[101], system.log(TALK)[0].position);
});

test('what comes while a mark moves is counted', async () => {
  const system = new System();
  for (const name of ['alice', 'bob']) system.user(name);
  for (let i = 1; i <= 20; i += 1) system.store(TALK, 100, { text: `${i}`, clientId: `c${i}` });
  const heard = system.heard.bind(system);
  /** @type {(() => void)[]} */
  const held = [];
  // Pages wait.
  system.heard = (socket, packet) => void (packet.sync?.conversation ? held.push(() => heard(socket, packet)) : heard(socket, packet));
  const bob = await online(system, 'bob');
  assert.equal(bob.client.talks[0].unread, 20);
  await bob.client.markRead(TALK, system.log(TALK)[4].position);
  for (const go of held) go();
  system.heard = heard;
  await system.clock.advance(1_000);
  assert.equal(bob.client.talks[0].unread, 15);
});

test('what is being stored while a mark moves is counted', async () => {
  const history = new History(new MemoryStorage(TABLES), 101);
  const talks = new Talks(101);
  const marks = new Marks(101, history, talks, () => {}, () => true);
  const stored = (/** @type {number} */ first, /** @type {number} */ last) => {
    const rows = [];
    for (let n = first; n <= last; n += 1) {
      rows.push({ ...ROW, position: `1-${n}`, previous: n > 1 ? `1-${n - 1}` : '', clientId: `c${n}` });
    }
    const piece = { conversation: TALK, after: rows[0].previous, upto: `1-${last}`, rows };
    return history.add([piece], (...found) => talks.stored(...found));
  };
  await stored(1, 10);
  await Promise.all([marks.mark(TALK, '1-4'), stored(11, 60)]);
  const talk = talks.get(TALK);
  assert.deepEqual([talk?.unread, talk?.counted], [56, '1-60']);
});

test('what was read elsewhere meanwhile is not unread any more', async () => {
  const { system, clock, alice, bob } = await two();
  await alice.client.send(TALK, 'one');
  await clock.advance(2_000);
  assert.equal(bob.client.talks[0].unread, 1);
  const socket = system.socketOf('bob');
  system.reads.set(`${TALK} 101`, system.log(TALK)[0].position);
  socket.end();
  await clock.advance(5_000);
  assert.equal(bob.client.state.name, 'online');
  assert.equal(bob.client.talks[0].unread, 0);
});

test('typing, at most twice a second, and who is online', async () => {
  const { clock, alice, bob } = await two();
  await alice.client.send(TALK, 'hello');
  await clock.advance(100);
  for (let i = 0; i < 10; i += 1) {
    alice.client.typing(TALK);
    await clock.advance(100);
  }
  assert.equal(bob.heard('typing').length, 2);
  assert.deepEqual(bob.heard('typing')[0], { conversation: TALK, user: 100 });
  alice.client.watch([101, 999]);
  await clock.advance(100);
  assert.deepEqual([alice.client.isOnline(101), alice.client.isOnline(999)], [true, false]);
});

test('everyone is read from the end on', async () => {
  const system = new System();
  const alice = system.user('alice');
  for (let i = 1; i <= 500; i += 1) system.store('g:0', alice.id, { text: `${i}`, clientId: `c${i}` });
  const bob = await online(system, 'bob');
  const { clock } = system;
  assert.deepEqual(bob.texts(), [], 'nothing of it is new');
  assert.equal(bob.client.talks[0].last?.text, '500');
  system.store('g:0', alice.id, { text: 'now', clientId: 'now' });
  await clock.advance(100);
  assert.deepEqual(bob.texts(), ['now']);
  assert.equal(bob.client.talks[0].unread, 0);
  // A short time away is made up for; after a long one the page is read anew.
  system.stop();
  await clock.advance(100);
  system.log('g:0').push({ ...system.log('g:0')[0], text: 'meanwhile', position: `${system.epoch}-502`, previous: `${system.epoch}-501` });
  system.start();
  await clock.advance(5_000);
  assert.deepEqual(bob.texts().slice(-1), ['meanwhile']);
  assert.deepEqual(bob.heard('reset'), []);
  system.stop();
  await clock.advance(400_000);
  for (let i = 503; i <= 900; i += 1) system.store('g:0', alice.id, { text: `${i}`, clientId: `c${i}` });
  system.start();
  await clock.advance(5_000);
  assert.deepEqual(bob.heard('reset'), [{ conversation: 'g:0' }]);
  assert.deepEqual(bob.texts().slice(-1), ['meanwhile']);
  const asked = bob.client.page('g:0', { limit: 30 });
  await clock.advance(100);
  assert.deepEqual((await asked).messages.map(({ text }) => text), Array.from({ length: 30 }, (_, i) => `${871 + i}`));
});

test('a group appears, is renamed, and is gone', async () => {
  const { system, clock, alice, bob } = await two();
  system.groups.set(7, { id: 7, name: 'gardening', members: new Map([[100, 'owner'], [101, 'member']]) });
  system.store('g:7', 0, { kind: 'MEMBERS', changes: [{ what: 'added', user: '101', by: '100' }] });
  await clock.advance(2_000);
  const talk = () => bob.client.talks.find(({ group }) => group === 7);
  assert.deepEqual([talk()?.title, talk()?.role, talk()?.unread], ['gardening', 'member', 0]);
  assert.deepEqual(bob.heard('message')[0].changes, [{ what: 'added', user: 101, by: 100, text: '' }]);
  system.store('g:7', 0, { kind: 'MEMBERS', changes: [{ what: 'renamed', user: '100', text: 'roses' }] });
  await clock.advance(2_000);
  assert.equal(talk()?.title, 'roses');
  await alice.client.send('g:7', 'hello, all');
  await clock.advance(100);
  assert.equal(talk()?.unread, 1);
  system.groups.get(7)?.members.delete(101);
  system.live.find(({ user }) => user === 101)?.socket.end();
  await clock.advance(5_000);
  assert.deepEqual(bob.heard('gone'), [{ conversation: 'g:7' }]);
  assert.equal(talk(), undefined);
});

test('whoever is removed hears of it at once, and how', async () => {
  const { system, clock, bob } = await two();
  system.groups.set(7, { id: 7, name: 'gardening', members: new Map([[100, 'owner'], [101, 'member']]) });
  system.store('g:7', 0, { kind: 'MEMBERS', changes: [{ what: 'added', user: '101', by: '100' }] });
  await clock.advance(2_000);
  assert.ok(bob.client.talks.some(({ group }) => group === 7));
  system.groups.get(7)?.members.delete(101);
  system.socketOf('bob').say({ removed: { group: '7', what: 'banned', by: '100' } });
  // One that is not in the list is not told again.
  system.socketOf('bob').say({ removed: { group: '8', what: 'banned', by: '100' } });
  await clock.advance(10);
  assert.deepEqual(bob.heard('gone'), [{ conversation: 'g:7', what: 'banned', by: 100 }]);
  await clock.advance(2_000);
  assert.equal(bob.heard('gone').length, 1);
});

test('who is muted is in the list of talks', async () => {
  const { system, clock, bob } = await two();
  const group = { id: 7, name: 'gardening', members: new Map([[100, 'owner'], [101, 'member']]), mutes: new Map([[101, 5]]) };
  system.groups.set(7, group);
  system.store('g:7', 0, { kind: 'MEMBERS', changes: [{ what: 'muted', user: '101', by: '100', text: '5' }] });
  await clock.advance(2_000);
  const talk = () => bob.client.talks.find(({ group }) => group === 7);
  assert.deepEqual([talk()?.muted, talk()?.groupMuted], [5, null]);
  system.store('g:7', 0, { kind: 'MEMBERS', changes: [{ what: 'muted', by: '100', text: '0' }] });
  await clock.advance(100);
  assert.deepEqual([talk()?.muted, talk()?.groupMuted], [5, 0]);
  group.mutes.clear();
  system.store('g:7', 0, { kind: 'MEMBERS', changes: [{ what: 'unmuted', by: '100' }, { what: 'unmuted', user: '101', by: '100' }] });
  await clock.advance(2_000);
  assert.deepEqual([talk()?.muted, talk()?.groupMuted], [null, null]);
});

for (const isOld of [false, true]) {
  test(`what happened before the first login is on ${isOld ? 'no page of a route of an earlier release' : 'pages'}`, async () => {
    const system = new System();
    system.isOld = isOld;
    const alice = system.user('alice');
    const members = new Map([[alice.id, 'owner'], [alice.id + 1, 'member']]);
    system.groups.set(7, { id: 7, name: 'gardening', members });
    system.store('g:7', alice.id, { text: 'one', clientId: 'c1' });
    system.store('g:7', 0, { kind: 'MEMBERS', changes: [{ what: 'added', user: '101', by: '100' }] });
    const { position } = system.store('g:7', alice.id, { text: 'two', clientId: 'c2' });
    system.reads.set('g:7 101', position);
    const bob = await online(system, 'bob');
    const asked = bob.client.page('g:7', { limit: 30 });
    await system.clock.advance(100);
    const kinds = (await asked).messages.map(({ kind, text, changes }) => (kind === 'members' ? changes[0].what : text));
    assert.deepEqual(kinds, isOld ? ['one', 'two'] : ['one', 'added', 'two']);
  });
}

test('an invitation is told once, although each Welcome has it', async () => {
  const { system, clock, bob } = await two();
  const invited = { group: '7', groupName: 'gardening', by: '100', byName: 'alice', at: '5' };
  system.socketOf('bob').say({ invited });
  system.socketOf('bob').say({ news: { unasked: true, invited: [invited] } });
  await clock.advance(100);
  assert.deepEqual(bob.heard('invited').map(({ group, by, at }) => [group.id, group.name, by.name, at]), [[7, 'gardening', 'alice', 5]]);
});

test('history that is gone is skipped and told', async () => {
  const { system, clock, alice, bob } = await two();
  await alice.client.send(TALK, 'one');
  await clock.advance(100);
  const socket = system.socketOf('bob');
  const deliver = { conversation: TALK, sender: '100', sentAt: '5', text: 'far', position: '1700000000000-9', previous: '1700000000000-8' };
  socket.say({ deliver });
  await clock.advance(10);
  socket.say({ synced: { conversation: TALK, after: '1700000000000-1', upto: '1700000000000-9', reset: true } });
  await clock.advance(100);
  assert.deepEqual(bob.texts(), ['one', 'far']);
  assert.deepEqual(bob.heard('reset'), [{ conversation: TALK }]);
  // A new epoch goes on after the old one.
  socket.say({ deliver: { ...deliver, text: 'new', position: '1800000000000-1', previous: '1700000000000-9' } });
  await clock.advance(10);
  assert.deepEqual(bob.texts(), ['one', 'far', 'new']);
});

test('a second user in the same browser sees nothing of the first', async () => {
  const system = new System();
  const browser = new Browser(system);
  const alice = await online(system, 'alice', browser);
  await alice.client.setDraft('g:0', 'secret');
  const bob = await online(system, 'bob', browser);
  assert.equal(await bob.client.draft('g:0'), '');
  assert.deepEqual([alice.client.me, alice.client.state.name, alice.client.state.code], [null, 'ended', 'logged-out']);
});

test('a mute holds on all devices, and is learnt with each session', async () => {
  const { system, clock, alice, bob } = await two();
  const phone = await online(system, 'bob', new Browser(system));
  const both = [bob, phone];
  await alice.client.send(TALK, 'hello');
  await clock.advance(100);
  const until = (conversation = TALK) =>
    both.map(({ client }) => client.talks.find((talk) => talk.conversation === conversation)?.mutedUntil);
  assert.deepEqual(until(), [0, 0]);
  const muting = bob.client.muteTalk(TALK, 1_795_440_000_000);
  await clock.advance(100);
  await muting;
  assert.deepEqual(until(), [1_795_440_000_000, 1_795_440_000_000]);
  const unmuting = phone.client.unmuteTalk(TALK);
  await clock.advance(100);
  await unmuting;
  assert.deepEqual(until(), [0, 0]);
  // Meanwhile they are not there, and hear of nothing; a talk that begins later is muted from the first.
  system.mute(101, TALK, 9_007_199_254_740_991);
  system.mute(101, 'p:101:102', 7);
  for (const { socket } of [...system.live]) socket.end();
  await clock.advance(20_000);
  assert.deepEqual(until(), [9_007_199_254_740_991, 9_007_199_254_740_991]);
  const carol = await online(system, 'carol');
  await carol.client.send('p:101:102', 'hello');
  await clock.advance(100);
  assert.deepEqual(until('p:101:102'), [7, 7]);
});

test('what an operator recalled is told apart from what its sender took back', () => {
  const message = messageOf({ ...ROW, conversation: 'g:7', position: '1-1' }, 1);
  const recall = { ...ROW, kind: /** @type {const} */ ('recall'), text: '', ref: '1-1', place: '2' };
  for (const byOperator of [true, false]) {
    const folded = fold(message, [{ ...recall, byOperator }]);
    assert.deepEqual([folded.recalled, folded.text, folded.byOperator], [true, '', byOperator]);
    // It stays so, whatever comes later.
    assert.equal(fold(folded, [{ ...recall, byOperator: false }]).byOperator, byOperator);
  }
});
