// The ports of a browser: fetch, WebSocket, IndexedDB, BroadcastChannel.

import { indexedDatabases } from './indexed_db.js';

/** @typedef {import('./ports.js').Ports} Ports */

/** A page of the API's own origin, with logins by cookie; `given` replaces parts of it.
 * @param {Partial<Ports>} [given]
 * @returns {Ports} */
export function browserPorts(given = {}) {
  return {
    api: location.origin,
    cookie: true,
    device: 'web',
    agent: 'cim.js',
    request,
    connect,
    settings,
    databases: indexedDatabases,
    channel,
    wake,
    now: () => Date.now(),
    later(ms, action) {
      const timer = setTimeout(action, ms);
      return () => clearTimeout(timer);
    },
    random: () => Math.random(),
    newId,
    ...given,
  };
}

/** 26 letters and digits, without randomUUID, which only secure contexts have. */
function newId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(26)), (byte) => (byte % 36).toString(36)).join('');
}

/** @param {import('./ports.js').Request} request
 * @returns {Promise<import('./ports.js').Answer>} */
async function request({ method, url, headers, body }) {
  // Without a secure context a GET says nothing of where it comes from, and the cookie would not count.
  const hidden = method === 'GET' && !isSecureContext && new URL(url).pathname.startsWith('/v1/');
  const answer = await fetch(url, {
    method: hidden ? 'POST' : method,
    headers: hidden ? { ...headers, 'X-HTTP-Method-Override': 'GET' } : headers,
    body,
    cache: 'no-store',
  });
  return { status: answer.status, header: (name) => answer.headers.get(name) ?? '', text: await answer.text() };
}

/** @param {string} url
 * @param {string} protocol
 * @param {import('./ports.js').Hearing} hearing
 * @returns {import('./ports.js').Socket} */
function connect(url, protocol, hearing) {
  let over = false;
  const closed = (/** @type {number} */ code, /** @type {string} */ reason) => {
    if (!over) hearing.closed(code, reason);
    over = true;
  };
  const socket = new WebSocket(url, protocol);
  socket.onopen = () => over || hearing.opened();
  socket.onmessage = ({ data }) => over || hearing.heard(String(data));
  socket.onclose = ({ code, reason }) => closed(code, reason);
  return {
    send(text) {
      if (socket.readyState === WebSocket.OPEN) socket.send(text);
    },
    close() {
      socket.close();
      closed(1000, '');
    },
  };
}

/** localStorage; in memory what it does not take. @type {import('./ports.js').Settings} */
const settings = {
  get(key) {
    try {
      return memory.get(key) ?? localStorage.getItem(`cim-${key}`) ?? '';
    } catch {
      return memory.get(key) ?? '';
    }
  },
  set(key, value) {
    try {
      localStorage.setItem(`cim-${key}`, value);
      // Only there: another tab may remove it.
      memory.delete(key);
    } catch {
      // Forbidden or full: it lasts as long as the page.
      memory.set(key, value);
    }
  },
  remove(key) {
    memory.delete(key);
    try {
      localStorage.removeItem(`cim-${key}`);
    } catch {
      // Forbidden: there is nothing.
    }
  },
};
/** @type {Map<string, string>} */
const memory = new Map();

/** @param {string} name
 * @param {(message: any) => void} heard
 * @returns {import('./ports.js').Channel | null} */
function channel(name, heard) {
  if (typeof BroadcastChannel === 'undefined') return null;
  const opened = new BroadcastChannel(name);
  opened.onmessage = ({ data }) => heard(data);
  return { post: (message) => opened.postMessage(message), close: () => opened.close() };
}

/** @param {(what: import('./ports.js').Wake) => void} listener */
function wake(listener) {
  const back = () => listener('back');
  const offline = () => listener('offline');
  const leaving = () => listener('leaving');
  const shown = () => {
    if (document.visibilityState === 'visible') back();
  };
  window.addEventListener('online', back);
  window.addEventListener('pageshow', back);
  window.addEventListener('offline', offline);
  window.addEventListener('pagehide', leaving);
  document.addEventListener('visibilitychange', shown);
  return () => {
    window.removeEventListener('online', back);
    window.removeEventListener('pageshow', back);
    window.removeEventListener('offline', offline);
    window.removeEventListener('pagehide', leaving);
    document.removeEventListener('visibilitychange', shown);
  };
}
