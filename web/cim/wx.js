// The ports of WeChat's mini-programs: wx.request, wx.connectSocket, and storage for what waits to be sent.
//
// Messages are kept in memory: a mini-program has 10 MB, and the servers have them. What only this device has, the outbox
// and drafts, is in wx's storage. Domains of the API and of the sockets must be listed in the console of WeChat.

import { MemoryStorage } from './memory.js';

/** @typedef {import('./ports.js').Ports} Ports */

/** What is used of `wx`.
 * @typedef {{
 *   request(options: { url: string, method: string, header: Record<string, string>, data?: string, dataType: string,
 *     success(answer: { statusCode: number, header: Record<string, string>, data: unknown }): void,
 *     fail(error: { errMsg: string }): void }): unknown,
 *   connectSocket(options: { url: string, protocols: string[], fail(error: { errMsg: string }): void }): {
 *     onOpen(action: () => void): void,
 *     onMessage(action: (message: { data: string | ArrayBuffer }) => void): void,
 *     onClose(action: (why: { code: number, reason: string }) => void): void,
 *     onError(action: (error: { errMsg: string }) => void): void,
 *     send(options: { data: string }): void,
 *     close(options: { code: number }): void },
 *   getStorageSync(key: string): any,
 *   setStorageSync(key: string, value: any): void,
 *   removeStorageSync(key: string): void,
 *   onNetworkStatusChange(action: (now: { isConnected: boolean }) => void): void,
 *   onAppShow(action: () => void): void }} WX */

/** @param {{ api: string, wx: WX } & Partial<Ports>} given the address of the API, and the global `wx`; the rest
 *   replaces ports
 * @returns {Ports} */
export function wxPorts({ api, wx, ...given }) {
  return {
    api: api.replace(/\/$/, ''),
    cookie: false,
    device: 'wx',
    agent: 'cim.js (wx)',
    request: (request) => ask(wx, request),
    connect: (url, protocol, hearing) => connect(wx, url, protocol, hearing),
    settings: {
      get: (key) => wx.getStorageSync(`cim-${key}`) || '',
      set: (key, value) => wx.setStorageSync(`cim-${key}`, value),
      remove: (key) => wx.removeStorageSync(`cim-${key}`),
    },
    databases: databasesOf(wx),
    channel: () => null,
    wake(listener) {
      let over = false;
      wx.onAppShow(() => over || listener('back'));
      wx.onNetworkStatusChange(({ isConnected }) => over || listener(isConnected ? 'back' : 'offline'));
      return () => {
        over = true;
      };
    },
    now: () => Date.now(),
    later(ms, action) {
      const timer = setTimeout(action, ms);
      return () => clearTimeout(timer);
    },
    random: () => Math.random(),
    newId: () => Array.from({ length: 26 }, () => Math.floor(Math.random() * 36).toString(36)).join(''),
    ...given,
  };
}

/** @param {WX} wx
 * @param {import('./ports.js').Request} request
 * @returns {Promise<import('./ports.js').Answer>} */
function ask(wx, { method, url, headers, body }) {
  // It knows no PATCH.
  const hidden = method === 'PATCH';
  return new Promise((resolve, reject) => {
    wx.request({
      url,
      method: hidden ? 'POST' : method,
      header: hidden ? { ...headers, 'X-HTTP-Method-Override': method } : headers,
      ...(body !== null && { data: body }),
      dataType: 'text',
      success({ statusCode, header, data }) {
        const small = new Map(Object.entries(header).map(([name, value]) => [name.toLowerCase(), value]));
        resolve({ status: statusCode, header: (name) => small.get(name) ?? '', text: String(data ?? '') });
      },
      fail: ({ errMsg }) => reject(new Error(errMsg)),
    });
  });
}

/** @param {WX} wx
 * @param {string} url
 * @param {string} protocol
 * @param {import('./ports.js').Hearing} hearing
 * @returns {import('./ports.js').Socket} */
function connect(wx, url, protocol, hearing) {
  let over = false;
  const closed = (/** @type {number} */ code, /** @type {string} */ reason) => {
    if (!over) hearing.closed(code, reason);
    over = true;
  };
  const task = wx.connectSocket({ url, protocols: [protocol], fail: ({ errMsg }) => closed(1006, errMsg) });
  task.onOpen(() => over || hearing.opened());
  task.onMessage(({ data }) => over || hearing.heard(String(data)));
  task.onClose(({ code, reason }) => closed(code, reason));
  task.onError(({ errMsg }) => closed(1006, errMsg));
  return {
    send: (text) => task.send({ data: text }),
    close() {
      task.close({ code: 1000 });
      closed(1000, '');
    },
  };
}

/** @param {WX} wx
 * @returns {import('./ports.js').Databases} */
function databasesOf(wx) {
  return {
    async open(name, _version, tables) {
      const ours = new Set(Object.keys(tables).filter((table) => tables[table].ours));
      const storage = new MemoryStorage(tables, true, (changes) => {
        if (!changes.some(([table]) => ours.has(table))) return;
        wx.setStorageSync(name, JSON.stringify(storage.dump().filter(([table]) => ours.has(table)), write));
      });
      storage.load(JSON.parse(wx.getStorageSync(name) || '[]', read));
      return storage;
    },
    async remove(name) {
      wx.removeStorageSync(name);
    },
  };
}

/** Bytes have no form in JSON.
 * @param {string} _name
 * @param {any} value */
const write = (_name, value) => (value instanceof Uint8Array ? { $bytes: [...value] } : value);
/** @param {string} _name
 * @param {any} value */
const read = (_name, value) => (Array.isArray(value?.$bytes) ? new Uint8Array(value.$bytes) : value);
