// The `/v1` API over HTTP (docs/http-api.md): calls, and what their answers mean.

import { EVERYONE } from './conversations.js';
import { CIMError } from './errors.js';
import { NOWHERE } from './positions.js';
import { rowOf } from './packets.js';

/** @typedef {import('./types.js').User} User */
/** @typedef {import('./types.js').GroupInfo} GroupInfo */
/** @typedef {import('./types.js').Invitation} Invitation */

/** What a login gives. @typedef {{ user: User, device: string, ticket: string, socket: string }} Login */

/** Names of a query; what is empty is left out.
 * @param {Record<string, string | number | boolean>} query */
function queryOf(query) {
  const given = Object.entries(query).filter(([, value]) => value !== '');
  return given.length ? `?${given.map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join('&')}` : '';
}

export class Api {
  #ports;
  /** @type {{ name: string, password: string } | null} */
  #credentials = null;
  /** Whether the routes tell what happened to groups, as far as it is known. */
  #tells = true;

  /** @param {import('./ports.js').Ports} ports */
  constructor(ports) {
    this.#ports = ports;
  }

  /** Of the last login, where logins go by tokens; it outlasts the program where settings do. */
  get token() {
    return this.#ports.cookie ? '' : this.#ports.settings.get('token');
  }

  set token(token) {
    if (!this.#ports.cookie) this.#ports.settings.set('token', token);
  }

  /** Make a call, and return its JSON answer; {} for none.
   * @param {string} method
   * @param {string} path
   * @param {object | null} [body]
   * @param {boolean} [known] whether it is made by the user
   * @param {string} [token] that proves it
   * @returns {Promise<any>} */
  async call(method, path, body = null, known = true, token = this.token) {
    /** @type {Record<string, string>} */
    const headers = { Accept: 'application/json' };
    if (body) headers['Content-Type'] = 'application/json';
    if (known && token) headers.Authorization = `Bearer ${token}`;
    let answer;
    try {
      answer = await this.#ports.request({
        method,
        url: this.#ports.api + path,
        headers,
        body: body && JSON.stringify(body),
      });
    } catch {
      throw new CIMError('unreachable', `${this.#ports.api} cannot be reached`);
    }
    return read(answer);
  }

  /** @returns {Promise<import('./types.js').About>} */
  about() {
    return this.call('GET', '/', null, false);
  }

  /** @param {string} device
   * @param {{ name: string, password: string }} [credentials] otherwise by the cookie or the token; where logins go by
   *   tokens, those of this run are tried when the token has expired
   * @returns {Promise<Login>} */
  async logIn(device, credentials) {
    if (this.#ports.token && !credentials) return this.#logInByToken(device);
    try {
      const login = await this.#logIn(device, credentials);
      if (credentials && !this.#ports.cookie) this.#credentials = credentials;
      return login;
    } catch (error) {
      const expired = error instanceof CIMError && error.code === 'unauthorized' && !credentials;
      if (expired && this.#credentials) return this.#logIn(device, this.#credentials);
      throw error;
    }
  }

  /** With the token of the last login, or else with one that is given now.
   * @param {string} device
   * @returns {Promise<Login>} */
  async #logInByToken(device) {
    if (this.token) {
      try {
        return await this.#logIn(device);
      } catch (error) {
        const over = error instanceof CIMError && (error.code === 'unauthorized' || error.code === 'forbidden');
        if (!over) throw error;
        this.forget();
      }
    }
    let given;
    try {
      given = await this.#ports.token?.();
    } catch (error) {
      throw new CIMError('unavailable', `there is no token to log in with: ${error instanceof Error ? error.message : error}`);
    }
    if (!given) throw new CIMError('unauthorized', 'there is no token to log in with');
    return this.#logIn(device, undefined, given);
  }

  /** @param {string} device
   * @param {{ name: string, password: string }} [credentials]
   * @param {string} [token] in the place of that of the last login
   * @returns {Promise<Login>} */
  async #logIn(device, credentials, token) {
    const cookie = this.#ports.cookie ? { cookie: true } : {};
    const said = await this.call('POST', '/v1/sessions', { ...credentials, device, ...cookie }, !credentials, token);
    if (said.token) this.token = said.token;
    const { server } = said;
    const socket = server.socket ? `${this.#ports.api.replace(/^http/, 'ws')}${server.socket}` : server.websocket;
    return { user: { id: said.user_id, name: said.name }, device: said.device, ticket: said.ticket, socket: socket ?? '' };
  }

  /** Give the account another password; its other logins end.
   * @param {string} before
   * @param {string} after */
  async changePassword(before, after) {
    const said = await this.call('PUT', '/v1/password', { password: before, new_password: after });
    if (said.token) this.token = said.token;
    if (this.#credentials) this.#credentials = { ...this.#credentials, password: after };
  }

  /** The session has ended with the token that it was opened with, where others give those. */
  expired() {
    if (this.#ports.token) this.forget();
  }

  /** Forget who is logged in. */
  forget() {
    this.#credentials = null;
    this.#ports.settings.remove('token');
  }

  /** Log a device out; with its own cookie or token that ends, too.
   * @param {string} device */
  async endSession(device) {
    await this.call('DELETE', `/v1/sessions/${encodeURIComponent(device)}`);
  }

  /** @param {{ name: string, password: string, invitation?: string }} account
   * @returns {Promise<User>} */
  async register({ name, password, invitation }) {
    const said = await this.call('POST', '/v1/accounts', { name, password, ...(invitation && { invitation }) }, false);
    return userOf(said);
  }

  /** All items of a list that comes in pages.
   * @param {string} path
   * @param {string} name of the list in the answers
   * @param {number} [limit]
   * @returns {Promise<any[]>} */
  async all(path, name, limit = 100) {
    const found = [];
    /** @type {string | number} */
    let after = '';
    do {
      const said = await this.call('GET', path + queryOf({ limit, after }));
      found.push(...said[name]);
      after = said.more ?? '';
    } while (after !== '');
    return found;
  }

  /** A page of a conversation, oldest first: the last ones, or those before or after a position; without EDIT and RECALL,
   * but with what happened to the group.
   * @param {string} conversation
   * @param {{ before?: string, after?: string }} where
   * @param {number} limit
   * @returns {Promise<{ rows: import('./packets.js').Row[], upto: string, more: string }>} `more`: the first or last
   *   position that was looked at, '' if nothing lies beyond it */
  async page(conversation, { before, after }, limit) {
    const query = queryOf({
      ...(after !== undefined ? { after } : { before: before || NOWHERE }),
      limit,
      revisions: false,
      ...(conversation.startsWith('g:') && conversation !== EVERYONE && this.#tells && { members: true }),
    });
    let said;
    try {
      said = await this.call('GET', `/v1/conversations/${conversation}/messages${query}`);
    } catch (error) {
      // Routes of earlier releases do not tell what happened to groups.
      if (!(this.#tells && error instanceof CIMError && error.field === 'members')) throw error;
      this.#tells = false;
      return this.page(conversation, { before, after }, limit);
    }
    return {
      rows: said.messages.map((/** @type {any} */ one) => rowOf(conversation, one)),
      upto: said.upto,
      more: said.more ?? '',
    };
  }

  /** @param {number} id
   * @returns {Promise<User>} */
  async user(id) {
    return userOf(await this.call('GET', `/v1/users/${id}`));
  }

  /** Those of some users that there are, at most 100.
   * @param {number[]} ids
   * @returns {Promise<User[]>} */
  async users(ids) {
    return (await this.call('GET', `/v1/users${queryOf({ ids: ids.join(',') })}`)).users.map(userOf);
  }

  /** @param {string} name
   * @returns {Promise<User>} */
  async userNamed(name) {
    return userOf(await this.call('GET', `/v1/users${queryOf({ name })}`));
  }

  /** @param {string} prefix
   * @returns {Promise<User[]>} */
  async findUsers(prefix) {
    return (await this.call('GET', `/v1/users${queryOf({ prefix })}`)).users.map(userOf);
  }

  /** @returns {Promise<Invitation[]>} */
  async invitations() {
    return (await this.call('GET', '/v1/invitations')).invitations;
  }

  /** @returns {Promise<{ group: GroupInfo, role: string, muted: number | null }[]>} */
  groups() {
    return this.all('/v1/groups', 'groups');
  }

  /** Invite or join, accept, or give a role; what the user is then.
   * @param {number} group
   * @param {number} user
   * @param {{ role?: string }} [body]
   * @returns {Promise<string>} */
  async putMember(group, user, body = {}) {
    return (await this.call('PUT', `/v1/groups/${group}/members/${user}`, body)).role;
  }

  /** @param {number} group
   * @param {number} user */
  async deleteMember(group, user) {
    await this.call('DELETE', `/v1/groups/${group}/members/${user}`);
  }
}

/** @param {any} said
 * @returns {User} */
function userOf(said) {
  return { id: said.id, name: said.name };
}

/** The JSON of an answer; every other answer is an error.
 * @param {import('./ports.js').Answer} answer
 * @returns {any} */
function read({ status, text, header }) {
  let said;
  try {
    said = text ? JSON.parse(text) : {};
  } catch {
    said = null;
  }
  if (status >= 200 && status < 300 && said) return said;
  const seconds = /^[0-9]{1,8}$/.test(header('retry-after')) ? Number(header('retry-after')) : 0;
  const retryAfter = Math.min(seconds, 3600);
  if (!said || typeof said.code !== 'string') {
    // A proxy's page, or not our API.
    throw new CIMError('unavailable', `the system answered HTTP ${status}`, { status, retryAfter });
  }
  const message = said.detail || said.title || said.code;
  throw new CIMError(said.code, message, { status, retryAfter, field: said.field ?? '' });
}
