// Several tabs of one browser: one leads, the others follow, and nothing is sent twice.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Browser, System, online } from './world.js';

const TALK = 'p:100:101';

/** Tabs of Alice in one browser, the first of which leads.
 * @param {number} count */
async function tabs(count) {
  const system = new System();
  const bob = await online(system, 'bob');
  system.users.reverse();
  const browser = new Browser(system);
  const first = await online(system, 'alice', browser);
  const all = [first];
  for (let i = 1; i < count; i += 1) {
    const tab = browser.tab();
    const resumed = tab.client.resume();
    await system.clock.advance(1_000);
    await resumed;
    all.push({ ...tab, browser });
  }
  return { system, clock: system.clock, bob, browser, all };
}

/** @param {{ client: import('../types.js').Client }[]} all */
const leaders = (all) => all.map(({ client }, i) => (client.leads ? i : -1)).filter((i) => i >= 0);

/** @param {System} system
 * @param {string} name */
const sessionsOf = (system, name) => system.live.filter(({ user }) => user === system.user(name).id).length;

test('the first tab leads; the others follow without a session of their own, and see the same', async () => {
  const { system, clock, bob, all } = await tabs(3);
  assert.deepEqual(leaders(all), [0]);
  assert.equal(sessionsOf(system, 'alice'), 1);
  assert.deepEqual(all.map(({ client }) => client.state.name), ['online', 'online', 'online']);
  await bob.client.send(TALK, 'hello, all tabs');
  await clock.advance(100);
  for (const { texts, client } of all) {
    assert.deepEqual(texts(), ['hello, all tabs']);
    assert.equal(client.talks[0].unread, 1);
    assert.deepEqual((await client.page(TALK)).messages.map(({ text }) => text), ['hello, all tabs']);
  }
});

test('what a follower does is done by the leader', async () => {
  const { system, clock, bob, all } = await tabs(2);
  const [leader, follower] = all;
  await follower.client.send(TALK, 'from the second tab');
  await clock.advance(200);
  assert.deepEqual(bob.texts(), ['from the second tab']);
  for (const { heard } of all) assert.deepEqual(heard('outgoing').map(({ state }) => state), ['waiting', 'sent', 'stored']);
  await bob.client.send(TALK, 'answer');
  await clock.advance(200);
  await follower.client.markRead(TALK);
  follower.client.typing(TALK);
  follower.client.watch([bob.client.me?.id ?? 0]);
  await clock.advance(200);
  assert.equal(leader.client.talks[0].unread, 0);
  assert.equal(bob.heard('typing').length, 1);
  assert.deepEqual(all.map(({ client }) => client.isOnline(bob.client.me?.id ?? 0)), [true, true]);
  assert.equal(system.log(TALK).length, 2);
});

test('when the leader is gone without a word, another one leads in about a second', async () => {
  const { system, clock, bob, all } = await tabs(3);
  const [leader, ...others] = all;
  leader.crash();
  await others[0].client.send(TALK, 'while nobody leads');
  await clock.advance(1_600);
  assert.equal(leaders(others).length, 1);
  await clock.advance(500);
  assert.deepEqual(others.map(({ client }) => client.state.name), ['online', 'online']);
  assert.deepEqual(bob.texts(), ['while nobody leads']);
  assert.equal(sessionsOf(system, 'alice'), 1);
});

test('when the leader is closed, another one leads at once', async () => {
  const { clock, all } = await tabs(2);
  all[0].wake('leaving');
  await clock.advance(200);
  assert.deepEqual(leaders(all), [1]);
  await clock.advance(500);
  assert.equal(all[1].client.state.name, 'online');
  assert(!all[1].heard('state').some(({ name }) => name === 'idle'), 'it is not told that nobody is logged in');
  // The page comes back, and follows.
  all[0].wake('back');
  await clock.advance(1_000);
  assert.deepEqual(leaders(all), [1]);
  assert.equal(all[0].client.state.name, 'online');
});

test('a leader that was frozen follows when it wakes', async () => {
  const { system, clock, bob, all } = await tabs(2);
  all[0].freeze();
  await clock.advance(3_000);
  assert.equal(all[1].client.leads, true);
  await clock.advance(2_000);
  all[0].thaw();
  await clock.advance(5_000);
  assert.deepEqual(leaders(all), [1]);
  assert.equal(sessionsOf(system, 'alice'), 1);
  assert.deepEqual(all.map(({ client }) => client.state.name), ['online', 'online']);
  await all[0].client.send(TALK, 'once');
  await clock.advance(500);
  assert.deepEqual(bob.texts(), ['once']);
});

test('a leader whose session was taken over by another tab follows, although it hears of that by the socket first', async () => {
  const { system, clock, all } = await tabs(2);
  all[0].freeze();
  await clock.advance(5_000);
  all[0].thaw(true);
  await clock.advance(5_000);
  assert.deepEqual(leaders(all), [1]);
  assert(!all[0].heard('state').some(({ name }) => name === 'ended'), 'nobody is told that it is over');
  assert.equal(sessionsOf(system, 'alice'), 1);
  assert.deepEqual(all.map(({ client }) => client.state.name), ['online', 'online']);
});

test('what followers want done while nobody leads is done by the next leader', async () => {
  const { system, clock, bob, all } = await tabs(3);
  system.user('carol');
  const other = 'p:101:102';
  await bob.client.send(TALK, 'one');
  system.store(other, 102, { text: 'two', clientId: 'x' });
  await clock.advance(1_000);
  all[0].crash();
  const me = system.user('alice').id;
  await all[1].client.markRead(TALK);
  await all[2].client.markRead(other);
  await clock.advance(5_000);
  for (const talk of [TALK, other]) assert.equal(system.reads.get(`${talk} ${me}`), system.log(talk)[0].position);
  assert.deepEqual(all.slice(1).flatMap(({ client }) => client.talks.map(({ unread }) => unread)), Array(6).fill(0));
});

test('tabs that open at the same moment agree', async () => {
  const { system, clock, all } = await tabs(1);
  all[0].crash();
  const others = [0, 1, 2, 3].map(() => all[0].browser.tab());
  const resumed = Promise.all(others.map(({ client }) => client.resume()));
  await clock.advance(2_000);
  await resumed;
  assert.equal(leaders(others).length, 1);
  assert.equal(sessionsOf(system, 'alice'), 1);
});

test('a login that expired is made anew in any tab, for all', async () => {
  for (const which of [0, 1]) {
    const { system, clock, browser, all } = await tabs(2);
    browser.jar.user = 0;
    system.socketOf('alice').end({ code: 'idle' });
    await clock.advance(2_000);
    assert.deepEqual(all.map(({ client }) => [client.state.name, client.state.code]), Array(2).fill(['ended', 'unauthorized']));
    const login = all[which].client.logIn({ name: 'alice', password: 'correct horse' });
    await clock.advance(3_000);
    await login;
    assert.deepEqual(all.map(({ client }) => client.state.name), ['online', 'online']);
    assert.equal(leaders(all).length, 1);
    assert.equal(sessionsOf(system, 'alice'), 1);
  }
});

test('two logins at once are one', async () => {
  const system = new System();
  system.user('alice');
  const browser = new Browser(system);
  const { open } = browser.databases;
  browser.databases.open = async (...form) => {
    await new Promise((resolve) => system.clock.later(50, () => resolve(undefined)));
    return open(...form);
  };
  const tab = browser.tab();
  const account = { name: 'alice', password: 'correct horse' };
  const logins = Promise.all([tab.client.logIn(account), tab.client.logIn(account)]);
  await system.clock.advance(2_000);
  await logins;
  assert.deepEqual([tab.client.state.name, tab.client.leads, sessionsOf(system, 'alice')], ['online', true, 1]);
  await tab.client.close();
  await system.clock.advance(60_000);
  assert.deepEqual([system.live.length, system.clock.timers.length], [0, 0]);
});

test('logged out in one tab is logged out in all, and nothing stays', async () => {
  const { system, clock, browser, all } = await tabs(3);
  await all[1].client.setDraft(TALK, 'a secret');
  const out = all[1].client.logOut();
  await clock.advance(500);
  await out;
  assert.deepEqual(all.map(({ client }) => [client.me, client.state.name, client.state.code]), Array(3).fill([null, 'ended', 'logged-out']));
  assert.equal(sessionsOf(system, 'alice'), 0);
  assert.deepEqual([browser.jar.user, browser.settings.size], [0, 0]);
  const again = await online(system, 'alice', browser);
  assert.equal(await again.client.draft(TALK), '');
});

test('a page that slept while another one logged out shows nothing when it wakes', async () => {
  const { clock, browser, all } = await tabs(2);
  all[0].wake('leaving');
  // As in the cache of a browser for going back: no timer runs, no message comes.
  browser.channels[0].over = true;
  const out = all[1].client.logOut();
  await clock.advance(500);
  await out;
  all[0].wake('back');
  assert.deepEqual([all[0].client.me, all[0].client.state.code], [null, 'logged-out']);
});

test('logging out without a network is made up for', async () => {
  const { system, clock, browser, all } = await tabs(1);
  system.stop();
  const out = assert.rejects(all[0].client.logOut(), { code: 'unreachable' });
  await clock.advance(500);
  await out;
  assert.equal(browser.jar.user, system.user('alice').id);
  system.start();
  const tab = browser.tab();
  const resumed = tab.client.resume();
  await clock.advance(1_000);
  assert.equal(await resumed, null);
  assert.equal(browser.jar.user, 0);
});

test('logging out ends the login, although a tab that is frozen keeps the database from going', async () => {
  const { system, clock, browser, all } = await tabs(1);
  browser.databases.remove = () => new Promise(() => {});
  void all[0].client.logOut();
  await clock.advance(500);
  assert.deepEqual([browser.jar.user, sessionsOf(system, 'alice'), browser.settings.size], [0, 0, 0]);
});

test('a page that is closed while one logs out is made up for, whenever there is a network', async () => {
  const { system, clock, browser, all } = await tabs(1);
  system.stop();
  void all[0].client.logOut().catch(() => {});
  all[0].crash();
  for (let i = 0; i < 2; i += 1) {
    const resumed = browser.tab().client.resume();
    await clock.advance(1_000);
    assert.equal(await resumed, null);
    assert.equal(browser.jar.user === 0, i === 1);
    system.start();
  }
  assert.equal(browser.settings.size, 0);
});

test('who logs in after logging out without a network stays logged in', async () => {
  const { system, clock, browser, all } = await tabs(1);
  system.stop();
  const out = assert.rejects(all[0].client.logOut(), { code: 'unreachable' });
  await clock.advance(500);
  await out;
  system.start();
  await online(system, 'alice', browser);
  const resumed = browser.tab().client.resume();
  await clock.advance(1_000);
  assert.equal((await resumed)?.name, 'alice');
});

test('where nothing can be stored each tab is a device of its own', async () => {
  const system = new System();
  const browser = new Browser(system);
  browser.kept = false;
  const one = await online(system, 'alice', browser);
  const two = await online(system, 'alice', browser);
  assert.deepEqual([one.client.leads, two.client.leads, one.client.kept], [true, true, false]);
  assert.deepEqual([one.client.state.name, two.client.state.name], ['online', 'online']);
  assert.equal(sessionsOf(system, 'alice'), 2);
});
