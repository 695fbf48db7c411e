// What Node keeps on disk: a folder that only its user can read, with one file for each database.
//
// A file is a journal: each line is one transaction in JSON, written and synchronised before the transaction is done. A
// last line that is not complete was not done. Opening reads the lines into memory, and writes them anew in short.

import fs from 'node:fs';
import path from 'node:path';
import { MemoryStorage } from './memory.js';

/** @param {string} _name
 * @param {any} value */
const write = (_name, value) => (value instanceof Uint8Array ? { $bytes: Buffer.from(value).toString('base64') } : value);
/** @param {string} _name
 * @param {any} value */
const read = (_name, value) =>
  typeof value?.$bytes === 'string' ? new Uint8Array(Buffer.from(value.$bytes, 'base64')) : value;

/** Replace a file by a text, or leave it as it is.
 * @param {string} file
 * @param {string} text */
function replace(file, text) {
  const next = fs.openSync(`${file}.new`, 'w', 0o600);
  fs.writeFileSync(next, text);
  fs.fsyncSync(next);
  fs.closeSync(next);
  fs.renameSync(`${file}.new`, file);
}

/** @param {string} file */
function textOf(file) {
  try {
    return fs.readFileSync(file, 'utf8');
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code === 'ENOENT') return '';
    throw error;
  }
}

/** @param {string} folder
 * @returns {import('./ports.js').Databases} */
export function fileDatabases(folder) {
  const fileOf = (/** @type {string} */ name) => path.join(folder, `${name}.journal`);
  return {
    async open(name, version, tables) {
      fs.mkdirSync(folder, { recursive: true, mode: 0o700 });
      const file = fileOf(name);
      const [head, ...lines] = textOf(file).split('\n');
      let journal = -1;
      const storage = new MemoryStorage(tables, true, (changes) => {
        fs.writeSync(journal, `${JSON.stringify(changes.map(([table, key, value]) => [table, key, value ?? null]), write)}\n`);
        fs.fdatasyncSync(journal);
      });
      const same = head === JSON.stringify({ version });
      // The last one is empty, or was not written whole.
      for (const line of lines.slice(0, -1)) {
        /** @type {any[]} */
        const changes = JSON.parse(line, read);
        const usable = changes.filter(([table]) => tables[table] && (same || tables[table].ours));
        storage.load(usable.map(([table, key, value]) => [table, key, value ?? undefined]));
      }
      replace(file, `${JSON.stringify({ version })}\n${JSON.stringify(storage.dump(), write)}\n`);
      journal = fs.openSync(file, 'a', 0o600);
      // After what was asked for before.
      storage.close = () => void storage.read([], async () => fs.closeSync(journal));
      return storage;
    },
    async remove(name) {
      fs.rmSync(fileOf(name), { force: true });
    },
  };
}

/** @param {string} folder
 * @returns {import('./ports.js').Settings} */
export function fileSettings(folder) {
  const file = path.join(folder, 'settings.json');
  /** @type {Record<string, string>} */
  const all = JSON.parse(textOf(file) || '{}');
  const save = () => {
    fs.mkdirSync(folder, { recursive: true, mode: 0o700 });
    replace(file, JSON.stringify(all));
  };
  return {
    get: (key) => all[key] ?? '',
    set(key, value) {
      all[key] = value;
      save();
    },
    remove(key) {
      delete all[key];
      save();
    },
  };
}
