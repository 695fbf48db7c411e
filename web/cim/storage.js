// A user's database, as long as there is one; otherwise memory, and a word about it.

import { CIMError } from './errors.js';
import { TABLES, VERSION } from './history.js';
import { MemoryStorage } from './memory.js';

/** @typedef {import('./ports.js').Transaction} Transaction */

/** The name of a user's database.
 * @param {number} user */
export const databaseOf = (user) => `cim-${user}`;

/** What is copied when a database takes no more: not the messages, which the servers have. */
const COPIED = ['outbox', 'drafts', 'talks', 'users', 'places'];

export class UserStorage {
  /** @type {import('./ports.js').Storage} */
  #storage;
  #lost;
  #closed = false;

  /**
   * @param {import('./ports.js').Storage} storage
   * @param {(reason: string) => void} lost called with a sentence for people when what is stored lasts no longer
   */
  constructor(storage, lost) {
    this.#storage = storage;
    this.#lost = lost;
  }

  /** Open a user's database, or begin in memory.
   * @param {import('./ports.js').Databases} databases
   * @param {number} user
   * @param {(reason: string) => void} lost
   * @returns {Promise<UserStorage>} */
  static async open(databases, user, lost) {
    try {
      return new UserStorage(await databases.open(databaseOf(user), VERSION, TABLES), lost);
    } catch (error) {
      const storage = new UserStorage(new MemoryStorage(TABLES), lost);
      lost(`Nothing can be stored here (${reasonOf(error)}): messages that wait to be sent are lost when the page is closed.`);
      return storage;
    }
  }

  get kept() {
    return this.#storage.kept;
  }

  /** @template T
   * @param {string[]} tables
   * @param {(transaction: Transaction) => Promise<T>} work
   * @returns {Promise<T>} */
  read(tables, work) {
    return this.#storage.read(tables, work);
  }

  /** @template T
   * @param {string[]} tables
   * @param {(transaction: Transaction) => Promise<T>} work
   * @returns {Promise<T>} */
  async write(tables, work) {
    const storage = this.#storage;
    try {
      return await storage.write(tables, work);
    } catch (error) {
      if (error instanceof CIMError || this.#closed || !storage.kept) throw error;
      await this.#forget(storage, error);
      return this.#storage.write(tables, work);
    }
  }

  close() {
    this.#closed = true;
    this.#storage.close();
  }

  /** Go on in memory.
   * @param {import('./ports.js').Storage} from
   * @param {unknown} error */
  async #forget(from, error) {
    if (this.#storage !== from) return; // somebody else was first
    const memory = new MemoryStorage(TABLES);
    this.#storage = memory;
    for (const table of COPIED) {
      const values = await from.read([table], (transaction) => transaction.range(table, {})).catch(() => []);
      await memory.write([table], async (transaction) => {
        for (const value of values) await transaction.put(table, value);
      });
    }
    this.#lost(`There is no space to store more (${reasonOf(error)}): messages that wait to be sent are lost when the page is closed.`);
  }
}

/** @param {unknown} error */
const reasonOf = (error) => (error instanceof Error ? error.name : String(error));
