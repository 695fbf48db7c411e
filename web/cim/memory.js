// A database in memory with the meaning of IndexedDB: tables with a key, indexes, ordered ranges, transactions that are
// done whole or not at all. For mini-programs and Node, for tests, and where a browser has no space or forbids storing.

/** @typedef {import('./ports.js').Key} Key */
/** @typedef {import('./ports.js').Table} TableForm */
/** @typedef {import('./ports.js').Range} Range */
/** @typedef {[Key, Key]} Entry the key in an index, and the key in the table */
/** A change: its table, the key, the value (undefined to remove it). @typedef {[string, Key, any]} Change */

/** Order keys as IndexedDB does: numbers, texts, lists.
 * @param {Key} one
 * @param {Key} other
 * @returns {number} */
export function compareKeys(one, other) {
  if (Array.isArray(one) && Array.isArray(other)) {
    for (let i = 0; i < Math.min(one.length, other.length); i += 1) {
      const found = compareKeys(one[i], other[i]);
      if (found) return found;
    }
    return one.length - other.length;
  }
  if (typeof one === typeof other) return one < other ? -1 : one > other ? 1 : 0;
  return rank(one) - rank(other);
}

/** @param {Key} key */
const rank = (key) => (typeof key === 'number' ? 0 : typeof key === 'string' ? 1 : 2);

/** @param {any} value
 * @param {string | string[]} path
 * @returns {Key | undefined} undefined when a part is missing: it is not in that index then */
function keyOf(value, path) {
  if (typeof path === 'string') return value[path];
  const key = path.map((name) => value[name]);
  return key.includes(undefined) ? undefined : key;
}

/** Where an entry is in an order, or would be.
 * @param {Entry[]} entries
 * @param {Entry} entry */
function place(entries, entry) {
  let [low, high] = [0, entries.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    const found = compareKeys(entries[middle][0], entry[0]) || compareKeys(entries[middle][1], entry[1]);
    if (found < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

class Table {
  /** @type {Map<string, any>} */
  #values = new Map();
  #form;
  /** The orders: '' is that of the table's key. @type {Map<string, Entry[]>} */
  #orders = new Map();

  /** @param {TableForm} form */
  constructor(form) {
    this.#form = form;
    for (const name of ['', ...Object.keys(form.indexes ?? {})]) this.#orders.set(name, []);
  }

  /** @param {any} value
   * @returns {Key} */
  keyOf(value) {
    const key = keyOf(value, this.#form.key);
    if (key === undefined) throw new TypeError('a value without its key');
    return key;
  }

  /** @param {Key} key */
  get(key) {
    return this.#values.get(JSON.stringify(key));
  }

  /** Put a value, or remove it; return what was there.
   * @param {Key} key
   * @param {any} value */
  set(key, value) {
    const id = JSON.stringify(key);
    const before = this.#values.get(id);
    for (const [name, entries] of this.#orders) {
      const path = name ? /** @type {any} */ (this.#form.indexes)[name] : this.#form.key;
      const [old, now] = [before, value].map((one) => (one === undefined ? undefined : keyOf(one, path)));
      if (old !== undefined && now !== undefined && compareKeys(old, now) === 0) continue;
      if (old !== undefined) entries.splice(place(entries, [old, key]), 1);
      if (now !== undefined) entries.splice(place(entries, [now, key]), 0, [now, key]);
    }
    if (value === undefined) this.#values.delete(id);
    else this.#values.set(id, value);
    return before;
  }

  /** @param {Range} range */
  range({ index = '', from, to, down = false, limit = Infinity }) {
    const entries = this.#orders.get(index);
    if (!entries) throw new TypeError(`there is no index ${index}`);
    // A list is after all numbers and texts, and one with a list in it after all keys of ours.
    const first = from === undefined ? 0 : place(entries, [from, -Infinity]);
    const end = to === undefined ? entries.length : place(entries, [to, /** @type {any} */ ([[]])]);
    const found = down
      ? entries.slice(Math.max(first, end - limit), end).reverse()
      : entries.slice(first, Math.min(end, first + limit));
    return found.map(([, key]) => this.get(key));
  }

  get size() {
    return this.#values.size;
  }

  /** All values. */
  all() {
    return [...this.#values.values()];
  }
}

export class MemoryStorage {
  /** @type {Map<string, Table>} */
  #tables = new Map();
  /** @type {Promise<unknown>} */
  #last = Promise.resolve();
  #commit;

  /**
   * @param {Record<string, TableForm>} tables
   * @param {boolean} [kept] whether `commit` keeps it
   * @param {(changes: Change[]) => void} [commit] called with the changes of each transaction; if it throws, they are undone
   */
  constructor(tables, kept = false, commit = () => {}) {
    this.kept = kept;
    this.#commit = commit;
    for (const [name, form] of Object.entries(tables)) this.#tables.set(name, new Table(form));
  }

  /** @template T
   * @param {string[]} tables
   * @param {(transaction: import('./ports.js').Transaction) => Promise<T>} work
   * @returns {Promise<T>} */
  read(tables, work) {
    return this.#turn(() => work(this.#transaction(tables, null)));
  }

  /** @template T
   * @param {string[]} tables
   * @param {(transaction: import('./ports.js').Transaction) => Promise<T>} work
   * @returns {Promise<T>} */
  write(tables, work) {
    return this.#turn(async () => {
      /** @type {Change[]} */
      const changes = [];
      /** @type {Change[]} */
      const undo = [];
      try {
        const result = await work(this.#transaction(tables, [changes, undo]));
        if (changes.length) this.#commit(changes);
        return result;
      } catch (error) {
        for (const [name, key, value] of undo.reverse()) this.#table(name).set(key, value);
        throw error;
      }
    });
  }

  /** Make changes without telling `commit`, as when they are read from a file.
   * @param {Change[]} changes */
  load(changes) {
    for (const [name, key, value] of changes) this.#tables.get(name)?.set(key, value);
  }

  /** All that is there, as changes.
   * @returns {Change[]} */
  dump() {
    return [...this.#tables].flatMap(([name, table]) =>
      table.all().map((value) => /** @type {Change} */ ([name, table.keyOf(value), value])),
    );
  }

  close() {}

  /** One transaction at a time, in the order in which they were asked for.
   * @template T
   * @param {() => Promise<T>} work
   * @returns {Promise<T>} */
  #turn(work) {
    const turn = this.#last.then(work);
    this.#last = turn.catch(() => {});
    return turn;
  }

  /** @param {string} name */
  #table(name) {
    const table = this.#tables.get(name);
    if (!table) throw new TypeError(`there is no table ${name}`);
    return table;
  }

  /** @param {string[]} names
   * @param {[Change[], Change[]] | null} written
   * @returns {import('./ports.js').Transaction} */
  #transaction(names, written) {
    const table = (/** @type {string} */ name) => {
      if (!names.includes(name)) throw new TypeError(`the table ${name} is not of this transaction`);
      return this.#table(name);
    };
    const set = (/** @type {string} */ name, /** @type {Key} */ key, /** @type {any} */ value) => {
      if (!written) throw new TypeError('this transaction only reads');
      written[1].push([name, key, table(name).set(key, value)]);
      written[0].push([name, key, value]);
    };
    return {
      get: async (name, key) => table(name).get(key),
      range: async (name, range) => table(name).range(range),
      count: async (name) => table(name).size,
      put: async (name, value) => set(name, table(name).keyOf(value), value),
      remove: async (name, key) => set(name, key, undefined),
    };
  }
}

/** Databases in memory, one for each name, until the program ends.
 * @returns {import('./ports.js').Databases} */
export function memoryDatabases() {
  /** @type {Map<string, MemoryStorage>} */
  const open = new Map();
  return {
    async open(name, version, tables) {
      const there = open.get(name) ?? new MemoryStorage(tables);
      open.set(name, there);
      return there;
    },
    async remove(name) {
      open.delete(name);
    },
  };
}
