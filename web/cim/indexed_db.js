// Databases of a browser: IndexedDB, with promises.

/** @typedef {import('./ports.js').Transaction} Transaction */

/** @template T
 * @param {IDBRequest<T>} request
 * @returns {Promise<T>} */
const answer = (request) =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

class IndexedStorage {
  kept = true;
  #database;

  /** @param {IDBDatabase} database */
  constructor(database) {
    this.#database = database;
    // Another tab removes it or brings a newer version: do not stand in the way.
    database.onversionchange = () => database.close();
  }

  /** @template T
   * @param {string[]} tables
   * @param {(transaction: Transaction) => Promise<T>} work
   * @returns {Promise<T>} */
  read(tables, work) {
    return this.#run(tables, 'readonly', work);
  }

  /** @template T
   * @param {string[]} tables
   * @param {(transaction: Transaction) => Promise<T>} work
   * @returns {Promise<T>} */
  write(tables, work) {
    return this.#run(tables, 'readwrite', work);
  }

  close() {
    this.#database.close();
  }

  /** @template T
   * @param {string[]} tables
   * @param {IDBTransactionMode} mode
   * @param {(transaction: Transaction) => Promise<T>} work
   * @returns {Promise<T>} */
  async #run(tables, mode, work) {
    const transaction = this.#database.transaction(tables, mode);
    /** @type {Promise<void>} */
    const done = new Promise((resolve, reject) => {
      transaction.oncomplete = () => resolve();
      transaction.onerror = transaction.onabort = () => reject(transaction.error ?? new Error('the transaction was aborted'));
    });
    done.catch(() => {}); // it is awaited below, unless `work` fails before
    try {
      const result = await work(of(transaction));
      await done;
      return result;
    } catch (error) {
      try {
        transaction.abort();
      } catch {
        // It is over already.
      }
      throw error;
    }
  }
}

/** @param {IDBTransaction} transaction
 * @returns {Transaction} */
function of(transaction) {
  return {
    get: (table, key) => answer(transaction.objectStore(table).get(key)),
    count: (table) => answer(transaction.objectStore(table).count()),
    async range(table, { index, from, to, down = false, limit }) {
      const store = transaction.objectStore(table);
      const source = index ? store.index(index) : store;
      const range = rangeOf(from, to);
      if (!down) return answer(source.getAll(range, limit));
      // Backwards there are only cursors.
      /** @type {any[]} */
      const found = [];
      const request = source.openCursor(range, 'prev');
      return new Promise((resolve, reject) => {
        request.onerror = () => reject(request.error);
        request.onsuccess = () => {
          const cursor = request.result;
          if (cursor && found.length < (limit ?? Infinity)) {
            found.push(cursor.value);
            cursor.continue();
          } else resolve(found);
        };
      });
    },
    async put(table, value) {
      await answer(transaction.objectStore(table).put(value));
    },
    async remove(table, key) {
      await answer(transaction.objectStore(table).delete(key));
    },
  };
}

/** @param {any} from
 * @param {any} to */
function rangeOf(from, to) {
  if (from === undefined && to === undefined) return undefined;
  if (from === undefined) return IDBKeyRange.upperBound(to);
  return to === undefined ? IDBKeyRange.lowerBound(from) : IDBKeyRange.bound(from, to);
}

/** @type {import('./ports.js').Databases} */
export const indexedDatabases = {
  async open(name, version, tables) {
    try {
      return await open(name, version, tables);
    } catch (error) {
      if (!(error instanceof DOMException) || error.name !== 'VersionError') throw error;
      // A newer release was here before: what it stored has a form that is not known.
      await this.remove(name);
      return open(name, version, tables);
    }
  },
  async remove(name) {
    await answer(indexedDB.deleteDatabase(name));
  },
};

/** @param {string} name
 * @param {number} version
 * @param {Record<string, import('./ports.js').Table>} tables
 * @returns {Promise<IndexedStorage>} */
async function open(name, version, tables) {
  const request = indexedDB.open(name, version);
  request.onupgradeneeded = () => {
    const database = request.result;
    // What another version stored is dropped, for the servers have it; but not what only this machine has.
    for (const old of [...database.objectStoreNames]) if (!tables[old]?.ours) database.deleteObjectStore(old);
    for (const [table, { key, indexes }] of Object.entries(tables)) {
      if (database.objectStoreNames.contains(table)) continue;
      const store = database.createObjectStore(table, { keyPath: key });
      for (const [index, path] of Object.entries(indexes ?? {})) store.createIndex(index, path);
    }
  };
  // `blocked` is no end: a tab of an older version closes its database soon.
  return new IndexedStorage(await answer(request));
}
