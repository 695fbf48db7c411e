// A mini-program: the client on a double of wx.request and wx.connectSocket, as WeChat documents them.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createClient } from '../client.js';
import { wxPorts } from '../wx.js';
import { System, online } from './world.js';

/** `wx` in front of a system.
 * @param {System} system
 * @param {Map<string, any>} storage */
function wxOf(system, storage) {
  /** @type {((now: { isConnected: boolean }) => void)[]} */
  const networks = [];
  /** @type {string[]} */
  const methods = [];
  /** @type {import('../wx.js').WX} */
  const wx = {
    request({ url, method, header, data, dataType, success, fail }) {
      assert(['GET', 'POST', 'PUT', 'DELETE'].includes(method), `wx.request has no ${method}`);
      assert.equal(dataType, 'text');
      methods.push(method);
      system.request({ url, method, headers: header, body: data ?? null }, { user: 0 }).then(
        ({ status, text }) => success({ statusCode: status, header: { 'Content-Type': 'application/json' }, data: text }),
        () => fail({ errMsg: 'request:fail' }),
      );
    },
    connectSocket({ url, protocols }) {
      assert.deepEqual([url, protocols], ['ws://cim/v1/socket', ['cim.v1.json']]);
      /** @type {any} */
      const on = {};
      const socket = system.connect({
        opened: () => on.open(),
        heard: (text) => on.message({ data: text }),
        closed: (code, reason) => on.close({ code, reason }),
      });
      return {
        onOpen: (action) => (on.open = action),
        onMessage: (action) => (on.message = action),
        onClose: (action) => (on.close = action),
        onError: () => {},
        send: ({ data }) => socket.send(data),
        close: () => socket.close(),
      };
    },
    getStorageSync: (key) => storage.get(key) ?? '',
    setStorageSync: (key, value) => void storage.set(key, value),
    removeStorageSync: (key) => void storage.delete(key),
    onNetworkStatusChange: (action) => void networks.push(action),
    onAppShow: () => {},
  };
  return { wx, methods, network: (/** @type {boolean} */ isConnected) => networks.forEach((one) => one({ isConnected })) };
}

test('a mini-program talks, is offline, and sends later what it wrote, after it was closed', async () => {
  const system = new System();
  const bob = await online(system, 'bob');
  system.user('wei');
  const storage = new Map();
  const { wx, methods, network } = wxOf(system, storage);
  const { clock } = system;
  const newId = () => `id-${system.next()}-wx`;
  // By chance it would come back at once, now and then.
  const random = () => 0.5;
  const open = () =>
    createClient(wxPorts({ api: 'http://cim', wx, now: clock.now, later: clock.later, random, newId }));
  let client = open();
  /** @type {string[]} */
  const heard = [];
  client.on('message', ({ text }) => heard.push(text));
  const login = client.logIn({ name: 'wei', password: 'correct horse' });
  await clock.advance(500);
  await login;
  assert.deepEqual([client.state.name, client.leads, client.kept], ['online', true, true]);
  const talk = client.conversationWith(100);
  await client.send(talk, '你好');
  await clock.advance(100);
  await bob.client.send(talk, '嗨');
  await clock.advance(100);
  assert.deepEqual([heard, bob.texts()], [['你好', '嗨'], ['你好', '嗨']]);
  network(false);
  await clock.advance(10);
  assert.deepEqual([client.state.name, client.state.code], ['waiting', 'offline']);
  system.down = true;
  await client.send(talk, '等一下', { data: new Uint8Array([0, 255]), contentType: 'application/octet-stream' });
  await client.close();
  system.down = false;
  client = open();
  const resumed = client.resume();
  await clock.advance(1_000);
  assert.equal((await resumed)?.name, 'wei');
  assert.deepEqual(bob.texts(), ['你好', '嗨', '等一下']);
  assert.deepEqual(bob.heard('message')[2].data, new Uint8Array([0, 255]));
  const out = client.logOut();
  await clock.advance(100);
  await out;
  assert.deepEqual([...storage.keys()], []);
  assert(methods.length > 5);
});
