// What cim.js needs of the place where it runs; browser.js, node.js and wx.js have it, and tests have doubles.

/** An answer to a request. */
export interface Answer {
  status: number;
  /** A header by its name in small letters; '' if it is not there. */
  header(name: string): string;
  text: string;
}

export interface Request {
  method: string;
  url: string;
  headers: Record<string, string>;
  /** JSON, or null for none. */
  body: string | null;
}

/** What a socket tells; nothing comes after `closed`, and `closed` comes once. */
export interface Hearing {
  opened(): void;
  heard(text: string): void;
  closed(code: number, reason: string): void;
}

export interface Socket {
  send(text: string): void;
  /** Close it; `closed` comes even if the other side does not answer. */
  close(): void;
}

/** A few short texts that outlast the page: which user was here last, its device, in Node its token. */
export interface Settings {
  get(key: string): string;
  set(key: string, value: string): void;
  remove(key: string): void;
}

/** Between the tabs of one origin; what one posts, all others hear. */
export interface Channel {
  post(message: unknown): void;
  close(): void;
}

export type Key = string | number | (string | number)[];
export interface Range {
  /** The index to go by; the key of the table without one. */
  index?: string;
  /** The first key, and the last one; both are included. */
  from?: Key;
  to?: Key;
  /** From the end on. */
  down?: boolean;
  limit?: number;
}

/** What can be done within a transaction. Await nothing else in it: it would end. */
export interface Transaction {
  get(table: string, key: Key): Promise<any>;
  range(table: string, range: Range): Promise<any[]>;
  /** How many values there are. */
  count(table: string): Promise<number>;
  put(table: string, value: unknown): Promise<void>;
  remove(table: string, key: Key): Promise<void>;
}

/** A table: its key, and its indexes by name; a path is a field or several. */
export interface Table {
  key: string | string[];
  indexes?: Record<string, string | string[]>;
  /** What only this machine has: it is carried over to another version of the tables. */
  ours?: boolean;
}

/** A database of a user. */
export interface Storage {
  /** Whether it outlasts the page, and other tabs see it. */
  readonly kept: boolean;
  /** Run a function in a transaction, all of which is done or nothing; `write` is for those that put and remove. */
  read<T>(tables: string[], work: (transaction: Transaction) => Promise<T>): Promise<T>;
  write<T>(tables: string[], work: (transaction: Transaction) => Promise<T>): Promise<T>;
  close(): void;
}

export interface Databases {
  /** Open a database, made anew if it is of another version than `version`. Rejects when there can be none. */
  open(name: string, version: number, tables: Record<string, Table>): Promise<Storage>;
  remove(name: string): Promise<void>;
}

/** The network is gone; it came back, or a hidden page is shown; the page goes away. */
export type Wake = 'offline' | 'back' | 'leaving';

export interface Ports {
  /** The origin of the API, such as `https://chat.example.com`. */
  api: string;
  /** Whether logins go by a cookie (pages of the API's own origin) or by a token. */
  cookie: boolean;
  /** Gives a token of a back end, or a JWT, for whoever is here; asked whenever one is needed. There is no cookie then. */
  token?: () => string | Promise<string>;
  /** What to begin the names of devices with: `web`, `node`. */
  device: string;
  /** The name of the program, for operators. */
  agent: string;
  request(request: Request): Promise<Answer>;
  connect(url: string, protocol: string, hearing: Hearing): Socket;
  settings: Settings;
  databases: Databases;
  /** Null where there are no other tabs. */
  channel(name: string, heard: (message: any) => void): Channel | null;
  /** Tells what becomes of the place; the result ends that. */
  wake(listener: (what: Wake) => void): () => void;
  /** ms since 1970. */
  now(): number;
  /** Call after so many ms; the result takes it back. */
  later(ms: number, action: () => void): () => void;
  /** From 0 up to 1, for jitter. */
  random(): number;
  /** A text that nobody else makes, of letters and digits. */
  newId(): string;
}
