// Logins by the tokens of a back end, against a double of the system.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Browser, System } from './world.js';

/** A system with alice and bob, and a tab of whoever has the next token.
 * @param {Browser} [browser]
 * @param {System} [system] */
function world(system = new System(), browser = new Browser(system)) {
  const [alice, bob] = ['alice', 'bob'].map((name) => system.user(name));
  /** @type {(() => string | Promise<string>)[]} */
  const answers = [];
  let asked = 0;
  const tab = browser.tab({
    token: () => {
      asked += 1;
      return (answers.shift() ?? (() => `token-${alice.id}`))();
    },
  });
  return { system, clock: system.clock, browser, tab, client: tab.client, answers, asked: () => asked, alice, bob };
}

/** @param {ReturnType<typeof world>} here */
async function logIn({ client, clock }) {
  const login = client.logIn();
  await clock.advance(1_000);
  const user = await login;
  assert.equal(client.state.name, 'online');
  return user;
}

const logins = (/** @type {System} */ system) => system.requests.filter(({ path }) => path === '/v1/sessions');

test('whoever has a token is logged in, without a cookie or a name', async () => {
  const here = world();
  const user = await logIn(here);
  assert.deepEqual([user.name, here.asked()], ['alice', 1]);
  const [{ body }] = logins(here.system);
  assert.deepEqual(Object.keys(body), ['device']);
  assert.equal(here.browser.jar.user, 0);
  await here.client.send(`p:${here.alice.id}:${here.bob.id}`, 'hello');
  await here.clock.advance(100);
  assert.deepEqual(here.tab.heard('outgoing').map(({ state }) => state), ['waiting', 'sent', 'stored']);
});

test('what a login gave is used for the next one', async () => {
  const here = world();
  await logIn(here);
  here.system.live[0].socket.end();
  await here.clock.advance(5_000);
  assert.deepEqual([here.client.state.name, here.asked(), logins(here.system).length], ['online', 1, 2]);
});

test('a session that ends with its token goes on with a new one', async () => {
  const here = world();
  await logIn(here);
  for (const times of [2, 3]) {
    here.system.live[0].socket.end({ code: 'unauthorized' });
    await here.clock.advance(5_000);
    assert.deepEqual([here.client.state.name, here.asked()], ['online', times]);
  }
});

test('a token that has expired meanwhile is asked for anew', async () => {
  const here = world();
  await logIn(here);
  let refused = 0;
  here.system.answers = (method, path) => {
    if (`${method} ${path}` !== 'POST /v1/sessions' || refused) return null;
    refused += 1;
    return [401, { code: 'unauthorized', detail: 'it has expired' }];
  };
  here.system.live[0].socket.end();
  await here.clock.advance(5_000);
  assert.deepEqual([here.client.state.name, here.asked(), refused], ['online', 2, 1]);
});

test('it is asked again if nobody gives one', async () => {
  const here = world();
  await logIn(here);
  here.answers.push(() => Promise.reject(new Error('the shop is closed')));
  here.system.live[0].socket.end({ code: 'unauthorized' });
  await here.clock.advance(10);
  assert.equal(here.client.state.name, 'waiting');
  assert.match(here.client.state.reason ?? '', /the shop is closed/);
  await here.clock.advance(10_000);
  assert.deepEqual([here.client.state.name, here.asked()], ['online', 3]);
});

test('without one there is no login', async () => {
  const here = world();
  here.answers.push(() => '');
  const login = here.client.logIn();
  const failed = assert.rejects(login, { code: 'unauthorized' });
  await here.clock.advance(1_000);
  await failed;
  here.answers.push(() => 'token-999');
  const refused = assert.rejects(here.client.logIn(), { code: 'unauthorized' });
  await here.clock.advance(1_000);
  await refused;
  assert.equal(here.client.me, null);
  const other = new Browser(here.system).tab();
  await assert.rejects(other.client.logIn(), { code: 'invalid' });
});

test('a page is logged in as whoever is there now', async () => {
  const here = world();
  await logIn(here);
  const later = world(here.system, here.browser);
  later.answers.push(() => `token-${here.bob.id}`);
  assert.equal((await logIn(later)).name, 'bob');
  // The page from before learns of it, and goes on as nobody.
  await here.clock.advance(100);
  assert.equal(here.client.state.name, 'ended');
});

test('logging out is done though the token may not end sessions', async () => {
  const here = world();
  await logIn(here);
  here.system.answers = (method) => (method === 'DELETE' ? [403, { code: 'forbidden', detail: 'no scope' }] : null);
  const out = here.client.logOut();
  await here.clock.advance(1_000);
  await out;
  assert.equal(here.browser.settings.get('token'), undefined);
  assert.equal(here.client.state.name, 'ended');
});
