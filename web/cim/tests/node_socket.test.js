// The WebSocket for Node: frames of every length, in any pieces; and what a server must not send.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import http from 'node:http';
import { test } from 'node:test';
import { connect, frameOf, frameReader } from '../node_socket.js';

/** A frame as servers send it.
 * @param {number} opcode
 * @param {string | Buffer} payload
 * @param {boolean} [last] */
function served(opcode, payload, last = true) {
  const bytes = Buffer.from(payload);
  const head =
    bytes.length < 126 ? Buffer.from([0, bytes.length]) : bytes.length < 65536 ? Buffer.alloc(4) : Buffer.alloc(10);
  if (head.length === 4) {
    head[1] = 126;
    head.writeUInt16BE(bytes.length, 2);
  } else if (head.length === 10) {
    head[1] = 127;
    head.writeBigUInt64BE(BigInt(bytes.length), 2);
  }
  head[0] = opcode | (last ? 0x80 : 0);
  return Buffer.concat([head, bytes]);
}

test('frames of every length are read, in whatever pieces they come', () => {
  const texts = [0, 1, 125, 126, 127, 65535, 65536, 70000].map((size) => 'x'.repeat(size));
  const bytes = Buffer.concat(texts.map((text) => served(1, text)));
  for (const step of [101, 1000, bytes.length]) {
    /** @type {string[]} */
    const found = [];
    const read = frameReader((_, payload) => void found.push(payload.toString()));
    for (let at = 0; at < bytes.length; at += step) read(bytes.subarray(at, at + step));
    assert.deepEqual(found.map(({ length }) => length), texts.map(({ length }) => length), `in pieces of ${step}`);
  }
});

test('frames that are written are masked, and say how long they are', () => {
  for (const size of [0, 125, 126, 65535, 65536]) {
    const frame = frameOf(1, Buffer.from('é'.repeat(size / 2)));
    assert.equal(frame[1] & 0x80, 0x80);
    const length = frame[1] & 127;
    const at = length < 126 ? 2 : length === 126 ? 4 : 10;
    assert.equal(length < 126 ? length : length === 126 ? frame.readUInt16BE(2) : Number(frame.readBigUInt64BE(2)), 2 * Math.floor(size / 2));
    const mask = frame.subarray(at, at + 4);
    const payload = frame.subarray(at + 4).map((byte, i) => byte ^ mask[i & 3]);
    assert.equal(Buffer.from(payload).toString(), 'é'.repeat(size / 2));
  }
});

test('a frame that is masked or too long is refused', () => {
  const read = () => frameReader(() => assert.fail('nothing is read'));
  assert.throws(() => read()(frameOf(1, Buffer.from('x'))), /masked/);
  const long = Buffer.alloc(10);
  long.set([0x81, 127]);
  long.writeBigUInt64BE(1n << 40n, 2);
  assert.throws(() => read()(long), /too long/);
});

/** A server that does this with a connection; resolves with what the client told.
 * @param {(socket: import('node:stream').Duplex) => void} serve
 * @param {string} [protocol] */
async function told(serve, protocol = 'cim.v1.json') {
  const server = http.createServer((_, answer) => answer.writeHead(403).end());
  server.on('upgrade', ({ headers }, socket) => {
    const accept = createHash('sha1').update(`${headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
        `Sec-WebSocket-Accept: ${accept}\r\nSec-WebSocket-Protocol: ${protocol}\r\n\r\n`,
    );
    socket.on('error', () => {});
    serve(socket);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(undefined)));
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  /** @type {any[]} */
  const said = [];
  await new Promise((resolve) => {
    connect(`ws://127.0.0.1:${port}/v1/socket`, 'cim.v1.json', {
      opened: () => void said.push('opened'),
      heard: (text) => void said.push(text),
      closed: (code, reason) => resolve(said.push([code, reason])),
    });
  });
  server.close();
  return said;
}

test('a message in several frames is one, pings in between are answered, and a close says why', async () => {
  const said = await told((socket) => {
    socket.write(Buffer.concat([served(1, '{"a":', false), served(9, 'ping'), served(0, '"é"}'), served(8, Buffer.from([3, 233, 98, 121, 101]))]));
  });
  assert.deepEqual(said, ['opened', '{"a":"é"}', [1001, 'bye']]);
});

test('a connection that breaks, and a server that speaks something else', async () => {
  assert.deepEqual(await told((socket) => socket.end()), ['opened', [1006, 'the connection was lost']]);
  assert.deepEqual(await told(() => {}, 'chat'), [[1002, 'the server does not speak this protocol']]);
});
