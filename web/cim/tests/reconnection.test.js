// Staying online: what ends a session, how long the next attempt waits, and how a dead connection is noticed.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Backoff } from '../backoff.js';
import { Browser, System, online } from './world.js';

/** Alice, online. */
async function one() {
  const system = new System();
  const alice = await online(system, 'alice');
  const { clock } = system;
  const end = (/** @type {object} */ goodbye) => system.socketOf('alice').end(goodbye);
  const logins = () => system.requests.filter(({ method, path }) => method === 'POST' && path === '/v1/sessions').length;
  return { system, clock, alice, client: alice.client, end, logins };
}

test('waits double from half a second to ten, each random below that', () => {
  const backoff = new Backoff(() => 0.999999);
  assert.deepEqual(Array.from({ length: 7 }, () => Math.round(backoff.next())), [500, 1000, 2000, 4000, 8000, 10_000, 10_000]);
  assert.equal(Math.round(backoff.next(3_000)), 3_000);
  backoff.reset();
  assert.equal(Math.round(backoff.next()), 500);
  assert.equal(new Backoff(() => 0).next(), 0);
});

test('while nothing can be reached it tries on, and says since when and until when it waits', async () => {
  const { system, clock, client, alice } = await one();
  await clock.advance(30_000);
  system.stop();
  await clock.advance(10);
  const lostAt = clock.ms;
  const { name, since, retryAt } = client.state;
  assert.deepEqual([name, since <= lostAt, (retryAt ?? 0) - lostAt <= 250], ['waiting', true, true]);
  await clock.advance(60_000);
  // Below 3 s while nothing can be reached: 1.5 s with this randomness.
  const waits = alice.heard('state').filter((state) => state.name === 'waiting');
  assert(waits.length > 25, `${waits.length} attempts`);
  assert.deepEqual([client.state.code, client.state.since], ['unreachable', since]);
  system.start();
  await clock.advance(2_000);
  assert.equal(client.state.name, 'online');
});

test('a session that lasted starts from the shortest wait again, one that did not goes on', async () => {
  const { clock, client, end } = await one();
  const waits = [];
  for (const lasts of [25_000, 1_000, 1_000, 1_000, 25_000]) {
    await clock.advance(lasts);
    end({ code: 'too-slow' });
    await clock.advance(6);
    waits.push(Math.round((client.state.retryAt ?? 0) - clock.ms + 1));
    await clock.advance(6_000);
    assert.equal(client.state.name, 'online');
  }
  assert.deepEqual(waits, [250, 500, 1_000, 2_000, 250]);
});

test('replaced, logged out and banned end it: no login follows', async () => {
  for (const code of ['replaced', 'logged-out', 'banned']) {
    const { clock, client, end, logins } = await one();
    end({ code, message: 'elsewhere' });
    await clock.advance(60_000);
    assert.deepEqual([client.state.name, client.state.code, client.state.reason], ['ended', code, 'elsewhere']);
    assert.equal(logins(), 1);
    client.retry();
    await clock.advance(1_000);
    assert.equal(client.state.name, 'ended', 'only a login begins anew');
    const again = client.logIn({ name: 'alice', password: 'correct horse' });
    await clock.advance(1_000);
    assert.equal((await again).name, 'alice');
    assert.equal(client.state.name, 'online');
  }
});

test('draining waits as told, and a little more', async () => {
  const { clock, client, end } = await one();
  end({ code: 'draining', retryAfterSeconds: 7 });
  await clock.advance(7_000);
  assert.deepEqual([client.state.name, client.state.code], ['waiting', 'draining']);
  await clock.advance(400);
  assert.equal(client.state.name, 'online');
});

test('a ticket that is no good is followed by one new login at once', async () => {
  const { system, clock, client, end, logins } = await one();
  const hear = system.heard.bind(system);
  let bad = 1;
  system.heard = (socket, packet) => {
    if (packet.hello && bad-- > 0) system.tickets.clear();
    hear(socket, packet);
  };
  end({ code: 'idle' });
  await clock.advance(400);
  assert.deepEqual([client.state.name, logins()], ['online', 3]);
  bad = 100;
  end({ code: 'idle' });
  await clock.advance(60_000);
  assert(logins() < 20, `${logins()} logins`);
  assert.deepEqual([client.state.name, client.state.code], ['waiting', 'unauthorized']);
});

test('an expired login ends it, and nothing that was written is lost', async () => {
  const { system, clock, alice, client, end } = await one();
  const { jar } = alice.browser;
  jar.user = 0;
  end({ code: 'idle' });
  await clock.advance(2_000);
  assert.deepEqual([client.state.name, client.state.code, client.me?.name], ['ended', 'unauthorized', 'alice']);
  await client.send('g:0', 'typed meanwhile');
  assert.equal((await client.outgoing()).length, 1);
  const again = client.logIn({ name: 'alice', password: 'correct horse' });
  await clock.advance(2_000);
  await again;
  assert.deepEqual(system.log('g:0').map(({ text }) => text), ['typed meanwhile']);
});

test('a program whose token has expired goes on with the password of its login', async () => {
  const system = new System();
  system.user('bot');
  const { client } = new Browser(system).tab({ cookie: false, channel: () => null });
  const login = client.logIn({ name: 'bot', password: 'correct horse' });
  await system.clock.advance(500);
  await login;
  let expired = true;
  const answers = (/** @type {string} */ method, /** @type {string} */ path) => {
    if (method !== 'POST' || path !== '/v1/sessions' || !expired) return null;
    expired = false;
    return /** @type {[number, any]} */ ([401, { code: 'unauthorized', detail: 'expired' }]);
  };
  system.answers = answers;
  system.socketOf('bot').end({ code: 'idle' });
  await system.clock.advance(2_000);
  assert.equal(client.state.name, 'online');
});

test('a page that is online all day keeps its cookie', async () => {
  const { system, clock, client } = await one();
  await clock.advance(7 * 3600_000);
  assert.equal(client.state.name, 'online');
  assert.equal(system.requests.filter(({ method, path }) => method === 'GET' && path === '/v1/sessions').length, 2);
  await client.close();
  await clock.advance(7 * 3600_000);
  assert.equal(system.requests.filter(({ method, path }) => method === 'GET' && path === '/v1/sessions').length, 2);
});

test('what the system says about trying again is kept to', async () => {
  const { system, clock, client, end } = await one();
  system.answers = (method, path) => (path === '/v1/sessions' ? [503, { code: 'unavailable', detail: 'busy', retry: 20 }] : null);
  end({ code: 'idle' });
  await clock.advance(19_000);
  assert.deepEqual([client.state.name, client.state.code, client.state.reason], ['waiting', 'unavailable', 'busy']);
  system.answers = () => null;
  await clock.advance(4_000);
  assert.equal(client.state.name, 'online');
});

test('a network that comes back is tried at once', async () => {
  const { system, clock, alice, client } = await one();
  system.stop();
  await clock.advance(60_000);
  for (let i = 0; i < 300 && (client.state.retryAt ?? 0) - clock.ms < 500; i += 1) await clock.advance(10);
  system.start();
  alice.wake('back');
  await clock.advance(100);
  assert.equal(client.state.name, 'online');
});

test('a network that the device knows to be gone is not waited for', async () => {
  const { system, clock, alice, client } = await one();
  const socket = system.socketOf('alice');
  socket.dead = true;
  alice.wake('offline');
  await client.send('g:0', 'later');
  await clock.advance(10);
  assert.deepEqual([client.state.name, client.state.code], ['waiting', 'offline']);
  assert.deepEqual(alice.heard('outgoing').map(({ state }) => state), ['waiting']);
  alice.wake('back');
  await clock.advance(100);
  assert.deepEqual(system.log('g:0').map(({ text }) => text), ['later']);
});

test('something is said in every heartbeat, and silence for two and a half ends it', async () => {
  const { system, clock, client } = await one();
  const socket = system.socketOf('alice');
  await clock.advance(60_000);
  const pings = socket.said.filter((packet) => packet.ping).length;
  assert(pings >= 6 && pings <= 11, `${pings} pings`);
  assert.equal(client.state.name, 'online');
  socket.dead = true;
  await clock.advance(20_000);
  assert.equal(client.state.name, 'online');
  await clock.advance(15_000);
  assert.equal(client.state.name, 'online');
  assert.notEqual(system.socketOf('alice'), socket);
});

test('an answer to a ping of the server', async () => {
  const { system, clock } = await one();
  const socket = system.socketOf('alice');
  socket.say({ ping: {} });
  await clock.advance(20);
  assert.equal(socket.said.filter((packet) => packet.pong).length, 1);
});

test('a page that slept asks whether the server is there before it gives up', async () => {
  const { system, clock, alice, client } = await one();
  const socket = system.socketOf('alice');
  alice.freeze();
  await clock.advance(120_000);
  alice.thaw();
  await clock.advance(1_000);
  assert.equal(system.socketOf('alice'), socket, 'the server is there: nothing is begun anew');
  assert.equal(client.state.name, 'online');
  // And when it is not there, that is noticed in a heartbeat.
  socket.dead = true;
  alice.wake('back');
  await clock.advance(12_000);
  assert.notEqual(system.socketOf('alice'), socket);
});

test('a server that does not answer the login is left', async () => {
  const { system, clock, client, end } = await one();
  const hear = system.heard.bind(system);
  system.heard = () => {};
  end({ code: 'idle' });
  await clock.advance(2_000);
  assert.equal(client.state.name, 'connecting');
  await clock.advance(13_300);
  assert.deepEqual([client.state.name, client.state.code], ['waiting', 'timeout']);
  system.heard = hear;
  await clock.advance(5_000);
  assert.equal(client.state.name, 'online');
});

test('a server that leaves a message unanswered is left, and the message goes to the next', async () => {
  const { system, clock, client } = await one();
  const socket = system.socketOf('alice');
  const hear = system.heard.bind(system);
  system.heard = (from, packet) => void (packet.send && from === socket ? null : hear(from, packet));
  await client.send('g:0', 'hello?');
  await clock.advance(24_000);
  assert.equal(system.socketOf('alice'), socket);
  await clock.advance(10_000);
  assert.notEqual(system.socketOf('alice'), socket);
  assert.deepEqual(system.log('g:0').map(({ text }) => text), ['hello?']);
});

test('a login that got no answer and is done late ends the session of the next one only once', async () => {
  const { system, clock, client, end } = await one();
  let unanswered = true;
  system.answers = (method, path) => {
    if (path !== '/v1/sessions' || !unanswered) return null;
    unanswered = false;
    throw new TypeError('fetch failed');
  };
  end({ code: 'idle' });
  await clock.advance(3_000);
  assert.equal(client.state.name, 'online');
  end({ code: 'replaced' });
  await clock.advance(5_000);
  assert.equal(client.state.name, 'online');
  end({ code: 'replaced' });
  await clock.advance(5_000);
  assert.deepEqual([client.state.name, client.state.code], ['ended', 'replaced']);
});

test('nonsense from a server ends the connection, not the client', async () => {
  const { system, clock, client } = await one();
  const socket = system.socketOf('alice');
  for (const text of ['{', '[]', 'null', '{"novelty":{}}', '{}']) socket.hearing.heard(text);
  await clock.advance(2_000);
  assert.equal(client.state.name, 'online');
  assert.notEqual(system.socketOf('alice'), socket);
});

test('whenever it is closed, nothing of it goes on', async () => {
  for (let ms = 0; ms <= 60; ms += 3) {
    const system = new System();
    const alice = await online(system, 'alice');
    system.socketOf('alice').end({ code: 'idle' });
    await system.clock.advance(250 + ms);
    await alice.client.close();
    await system.clock.advance(60_000);
    assert.deepEqual([system.live.length, system.clock.timers.length, alice.client.state.name], [0, 0, 'idle'], `${ms} ms`);
  }
});

test('without a login there is nothing, and that is said', async () => {
  const system = new System();
  const { client } = new Browser(system).tab();
  const resumed = client.resume();
  await system.clock.advance(1_000);
  assert.equal(await resumed, null);
  assert.deepEqual([client.me, client.talks, client.leads, client.state.name], [null, [], false, 'idle']);
  await assert.rejects(client.send('g:0', 'x'), { code: 'unauthorized' });
  for (const call of [() => client.page('g:0'), () => client.setDraft('g:0', 'x'), () => client.search('x'), () => client.logOut()]) {
    await assert.rejects(call(), { code: 'unauthorized' });
  }
});

test('a wrong password is told, and nothing begins', async () => {
  const system = new System();
  system.user('alice');
  const { client } = new Browser(system).tab();
  const refused = assert.rejects(client.logIn({ name: 'alice', password: 'wrong' }), { code: 'unauthorized', status: 401 });
  await system.clock.advance(1_000);
  await refused;
  assert.equal(client.me, null);
});
