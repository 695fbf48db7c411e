// Two clients that talk to each other, whatever happens to the system meanwhile; prints what each heard, and the log.

import { parseArgs } from 'node:util';
import { createClient } from '../client.js';
import { nodePorts } from '../node.js';

const COUNT = 150;
const { values } = parseArgs({ options: { route: { type: 'string', default: '' } } });

/** @param {string} name */
async function join(name) {
  const client = createClient(nodePorts({ api: values.route, folder: name }));
  const account = { name, password: 'correct horse' };
  await client.register(account);
  await client.logIn(account);
  /** @type {string[]} */
  const heard = [];
  client.on('message', ({ text }) => heard.push(text));
  return { name, client, heard };
}

/** @param {number} ms */
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const both = [await join('alice'), await join('bob')];
const [alice, bob] = both;
const talk = alice.client.conversationWith(bob.client.me?.id ?? 0);
console.log('talking');
for (let n = 0; n < COUNT; n += 1) {
  for (const { name, client } of both) await client.send(talk, `${name} ${n}`);
  if (n === 50 || n === 100) console.log(`half-way ${n}`);
  await pause(10);
}
while (both.some(({ heard }) => heard.length < 2 * COUNT)) await pause(50);
// What came twice would come by then.
await pause(500);
const { messages } = await alice.client.page(talk, { limit: 2 * COUNT });
console.log(JSON.stringify({ alice: alice.heard, bob: bob.heard, log: messages.map(({ text }) => text) }));
for (const { client } of both) await client.close();
