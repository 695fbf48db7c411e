// A WebSocket for Node 20, which has none: RFC 6455, client side, text messages only, without extensions.

import { createHash, randomBytes } from 'node:crypto';
import http from 'node:http';
import https from 'node:https';

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
/** The longest message, in bytes: far above what our servers send. */
const MAX_MESSAGE = 4 << 20;
const TEXT = 1;
const CLOSE = 8;
const PING = 9;
const PONG = 10;

/** A frame of a client, which is masked.
 * @param {number} opcode
 * @param {Buffer} payload */
export function frameOf(opcode, payload) {
  const size = payload.length;
  const head =
    size < 126
      ? Buffer.from([0x80 | opcode, 0x80 | size])
      : size < 65536
        ? Buffer.from([0x80 | opcode, 0x80 | 126, size >> 8, size & 255])
        : Buffer.from([0x80 | opcode, 0x80 | 127, 0, 0, 0, 0, size >>> 24, (size >> 16) & 255, (size >> 8) & 255, size & 255]);
  const mask = randomBytes(4);
  const masked = Buffer.from(payload);
  for (let i = 0; i < size; i += 1) masked[i] ^= mask[i & 3];
  return Buffer.concat([head, mask, masked]);
}

/** Takes bytes apart into frames.
 * @param {(opcode: number, payload: Buffer, last: boolean) => void} frame
 * @returns {(bytes: Buffer) => void} throws for what a server must not send */
export function frameReader(frame) {
  /** @type {Buffer} */
  let waiting = Buffer.alloc(0);
  return (bytes) => {
    waiting = waiting.length ? Buffer.concat([waiting, bytes]) : bytes;
    while (waiting.length >= 2) {
      if (waiting[1] & 0x80) throw new Error('a frame of a server must not be masked');
      let size = waiting[1] & 127;
      let at = 2;
      if (size === 126) {
        if (waiting.length < 4) return;
        size = waiting.readUInt16BE(2);
        at = 4;
      } else if (size === 127) {
        if (waiting.length < 10) return;
        size = Number(waiting.readBigUInt64BE(2));
        at = 10;
      }
      if (size > MAX_MESSAGE) throw new Error('a frame is too long');
      if (waiting.length < at + size) return;
      const [first, payload] = [waiting[0], waiting.subarray(at, at + size)];
      waiting = waiting.subarray(at + size);
      frame(first & 15, payload, (first & 0x80) !== 0);
    }
  };
}

/** @param {string} url
 * @param {string} protocol
 * @param {import('./ports.js').Hearing} hearing
 * @returns {import('./ports.js').Socket} */
export function connect(url, protocol, hearing) {
  let over = false;
  /** @type {import('node:net').Socket | import('node:stream').Duplex | null} */
  let stream = null;
  const closed = (/** @type {number} */ code, /** @type {string} */ reason) => {
    if (over) return;
    over = true;
    request.destroy();
    stream?.destroy();
    hearing.closed(code, reason);
  };
  const key = randomBytes(16).toString('base64');
  const { protocol: scheme, hostname, port, pathname, search } = new URL(url);
  const request = (scheme === 'wss:' ? https : http).request({
    hostname: hostname.replace(/^\[|\]$/g, ''),
    port: port || (scheme === 'wss:' ? 443 : 80),
    path: pathname + search,
    headers: {
      Connection: 'Upgrade',
      Upgrade: 'websocket',
      'Sec-WebSocket-Version': '13',
      'Sec-WebSocket-Key': key,
      'Sec-WebSocket-Protocol': protocol,
    },
  });
  request.on('error', (error) => closed(1006, error.message));
  request.on('response', (answer) => closed(1006, `the server answered HTTP ${answer.statusCode}`));
  request.on('upgrade', (answer, upgraded, first) => {
    const expected = createHash('sha1').update(key + GUID).digest('base64');
    if (answer.headers['sec-websocket-accept'] !== expected || answer.headers['sec-websocket-protocol'] !== protocol) {
      upgraded.destroy();
      closed(1002, 'the server does not speak this protocol');
      return;
    }
    stream = upgraded;
    /** @type {Buffer[]} */
    let parts = [];
    let size = 0;
    const read = frameReader((opcode, payload, last) => {
      if (opcode === PING) upgraded.write(frameOf(PONG, payload));
      else if (opcode === CLOSE) {
        upgraded.end(frameOf(CLOSE, payload.subarray(0, 2)));
        closed(payload.length >= 2 ? payload.readUInt16BE(0) : 1005, payload.subarray(2).toString());
      } else if (opcode <= TEXT) {
        parts.push(payload);
        size += payload.length;
        if (size > MAX_MESSAGE) throw new Error('a message is too long');
        if (!last) return;
        const text = Buffer.concat(parts).toString();
        [parts, size] = [[], 0];
        if (!over) hearing.heard(text);
      }
    });
    const take = (/** @type {Buffer} */ bytes) => {
      try {
        if (!over) read(bytes);
      } catch (error) {
        closed(1002, error instanceof Error ? error.message : String(error));
      }
    };
    upgraded.on('data', take);
    upgraded.on('error', (error) => closed(1006, error.message));
    upgraded.on('close', () => closed(1006, 'the connection was lost'));
    hearing.opened();
    if (first.length) take(first);
  });
  request.end();
  return {
    send(text) {
      if (stream?.writable) stream.write(frameOf(TEXT, Buffer.from(text)));
    },
    close() {
      if (!over && stream?.writable) stream.end(frameOf(CLOSE, Buffer.from([3, 232])));
      stream = null; // it ends by itself once that is written
      closed(1000, '');
    },
  };
}
