// One connection to a server, from Hello to its end: pings in every heartbeat, and a server that is silent for two and a
// half heartbeats is taken for dead.

import { PROTOCOL, decode, encode } from './packets.js';

/** Until the Welcome names another, in ms. */
const HEARTBEAT = 10_000;
const DEAD_HEARTBEATS = 2.5;
/** How long connecting and the Welcome may take. */
const WELCOME = 15_000;

/** @typedef {{ code: string, message: string, retryAfter: number }} End why a connection ended; retryAfter in ms */

export class Session {
  #ports;
  #socket;
  /** @type {() => void} */
  #stop = () => {};
  #heartbeat = HEARTBEAT;
  #heardAt;
  #saidAt;
  #expected;
  #welcomed = false;
  #over = false;
  /** @type {End} */
  #end = { code: 'unavailable', message: 'the connection was lost', retryAfter: 0 };

  /**
   * @param {import('./ports.js').Ports} ports
   * @param {string} url
   * @param {object} hello
   * @param {{ packet(name: string, body: any): void, ended(end: End, welcomed: boolean): void }} user
   */
  constructor(ports, url, hello, user) {
    this.#ports = ports;
    this.#heardAt = this.#saidAt = this.#expected = ports.now();
    this.user = user;
    this.#socket = ports.connect(url, PROTOCOL, {
      opened: () => this.say({ hello }),
      heard: (text) => this.#heard(text),
      closed: () => this.#ended(),
    });
    this.#plan(WELCOME);
  }

  /** Send a packet; nothing if the connection is over.
   * @param {object} packet */
  say(packet) {
    if (this.#over) return;
    this.#saidAt = this.#ports.now();
    this.#socket.send(encode(packet));
  }

  /** Say goodbye and close. */
  leave() {
    this.say({ goodbye: {} });
    this.abort({ code: 'left', message: 'left', retryAfter: 0 });
  }

  /** Close it for this reason, without waiting for the other side.
   * @param {End} end */
  abort(end) {
    if (this.#over) return;
    this.#end = end;
    this.#socket.close();
    this.#ended();
  }

  /** Ask whether the server is still there, as after a sleep: it has one heartbeat to answer. */
  probe() {
    if (!this.#welcomed) return;
    this.#heardAt = this.#ports.now() - this.#heartbeat * (DEAD_HEARTBEATS - 1);
    this.say({ ping: {} });
    this.#plan(this.#heartbeat);
  }

  /** @param {string} text */
  #heard(text) {
    if (this.#over) return;
    this.#heardAt = this.#ports.now();
    let packet;
    try {
      packet = decode(text);
    } catch {
      this.abort({ code: 'protocol-error', message: 'the server sent something that is not JSON', retryAfter: 0 });
      return;
    }
    if (!packet) return;
    const [name, body] = packet;
    if (name === 'ping') this.say({ pong: {} });
    else if (name === 'goodbye') {
      const message = body.message || `the server ended the session (${body.code})`;
      this.abort({ code: body.code ?? '', message, retryAfter: (body.retryAfterSeconds ?? 0) * 1000 });
    } else {
      if (name === 'welcome') {
        this.#welcomed = true;
        this.#heartbeat = (body.heartbeatSeconds || HEARTBEAT / 1000) * 1000;
        this.#plan(this.#heartbeat / 2);
      }
      try {
        this.user.packet(name, body);
      } catch (error) {
        console.error('a packet could not be handled', error);
        this.abort({ code: 'protocol-error', message: 'the server sent something that makes no sense', retryAfter: 0 });
      }
    }
  }

  /** @param {number} ms */
  #plan(ms) {
    this.#stop();
    if (this.#over) return;
    this.#expected = this.#ports.now() + ms;
    this.#stop = this.#ports.later(ms, () => this.#beat());
  }

  #beat() {
    const now = this.#ports.now();
    if (!this.#welcomed) {
      this.abort({ code: 'timeout', message: 'the server did not answer the login in time', retryAfter: 0 });
    } else if (now - this.#expected > this.#heartbeat) {
      // This timer is late: the page slept, and what the server sent meanwhile may not have been read yet.
      this.probe();
    } else if (now - this.#heardAt >= this.#heartbeat * DEAD_HEARTBEATS) {
      this.abort({ code: 'timeout', message: 'the server went silent', retryAfter: 0 });
    } else {
      if (now - this.#saidAt >= this.#heartbeat / 2) this.say({ ping: {} });
      this.#plan(this.#heartbeat / 2);
    }
  }

  #ended() {
    if (this.#over) return;
    this.#over = true;
    this.#stop();
    this.user.ended(this.#end, this.#welcomed);
  }
}
