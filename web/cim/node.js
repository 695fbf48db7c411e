// The ports of Node 20 and later: fetch, a WebSocket, and a folder for what is stored, or memory.

import { randomBytes } from 'node:crypto';
import { fileDatabases, fileSettings } from './node_files.js';
import { memoryDatabases } from './memory.js';
import { connect } from './node_socket.js';

/** @param {{ api: string, folder?: string } & Partial<import('./ports.js').Ports>} given the address of the API, and a
 *   folder of this program alone; without one all is forgotten when the program ends. The rest replaces ports.
 * @returns {import('./ports.js').Ports} */
export function nodePorts({ api, folder, ...given }) {
  return {
    api: api.replace(/\/$/, ''),
    cookie: false,
    device: 'node',
    agent: 'cim.js (node)',
    request,
    connect,
    settings: folder === undefined ? memorySettings() : fileSettings(folder),
    databases: folder === undefined ? memoryDatabases() : fileDatabases(folder),
    channel: () => null,
    wake: () => () => {},
    now: () => Date.now(),
    later(ms, action) {
      const timer = setTimeout(action, ms);
      return () => clearTimeout(timer);
    },
    random: () => Math.random(),
    newId: () => randomBytes(13).toString('hex'),
    ...given,
  };
}

/** How long an answer may take. */
const ANSWER_MS = 30_000;

/** @param {import('./ports.js').Request} request
 * @returns {Promise<import('./ports.js').Answer>} */
async function request({ method, url, headers, body }) {
  const answer = await fetch(url, { method, headers, body, signal: AbortSignal.timeout(ANSWER_MS) });
  return { status: answer.status, header: (name) => answer.headers.get(name) ?? '', text: await answer.text() };
}

/** @returns {import('./ports.js').Settings} */
function memorySettings() {
  /** @type {Map<string, string>} */
  const all = new Map();
  return {
    get: (key) => all.get(key) ?? '',
    set: (key, value) => void all.set(key, value),
    remove: (key) => void all.delete(key),
  };
}
