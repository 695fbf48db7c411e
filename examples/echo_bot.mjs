// A bot that echoes messages: private ones, and those in groups or to everyone that call it by its name.
//
//     node examples/echo_bot.mjs --route http://127.0.0.1:8083 --user echo --folder ./echo
//
// Its account is made on the first run; the password, and what it must remember, are in the folder, so that it also
// answers what was said while it did not run. Node 20 or later.

import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
// With the package: 'cim-im' and 'cim-im/node'.
import { createClient } from '../web/cim/client.js';
import { nodePorts } from '../web/cim/node.js';

const { values } = parseArgs({
  options: {
    route: { type: 'string', default: 'http://127.0.0.1:8083' },
    user: { type: 'string', default: 'echo' },
    folder: { type: 'string', default: './echo' },
  },
});
const { route, user, folder } = values;

/** The password of the account, which is in its file before the account is made. */
function passwordOf() {
  const file = path.join(folder, 'password');
  try {
    fs.mkdirSync(folder, { recursive: true, mode: 0o700 });
    fs.writeFileSync(file, randomBytes(24).toString('base64url'), { flag: 'wx', mode: 0o600 });
  } catch (error) {
    if (error.code !== 'EEXIST') throw error;
  }
  return fs.readFileSync(file, 'utf8');
}

const client = createClient(nodePorts({ api: route, folder, agent: 'echo_bot.mjs' }));

/** What to answer, or null. */
function answerTo({ mine, kind, recalled, conversation, text }) {
  if (mine || kind !== 'text' || recalled) return null;
  if (conversation.startsWith('p:')) return text;
  const called = `@${client.me.name} `;
  // Without the name, so that two such bots do not answer each other for ever.
  return text.startsWith(called) ? text.slice(called.length) : null;
}

client.on('message', async (message) => {
  const answer = answerTo(message);
  if (answer === null) return;
  const { conversation, position, data, contentType } = message;
  try {
    // After a crash a message may come again: under the same id the answer is the same message.
    await client.send(conversation, answer, { data, contentType, clientId: `echo-${position}` });
  } catch (error) {
    console.error(`Not answered: ${error.message}`);
  }
});
client.on('invited', ({ group }) => {
  client.join(group.id).catch((error) => console.error(`Not accepted: ${error.message}`));
});
client.on('state', ({ name, reason }) => {
  if (name === 'online') console.error(`${user} is online`);
  if (name === 'waiting') console.error(`${user} is offline: ${reason}`);
  if (name === 'ended') {
    console.error(`echo_bot: ${reason}`);
    process.exit(1);
  }
});

for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, async () => {
    await client.close();
    process.exit(0);
  });
}

const credentials = { name: user, password: passwordOf() };
try {
  await client.register(credentials).catch((error) => {
    if (error.code !== 'conflict') throw error;
  });
  await client.logIn(credentials);
} catch (error) {
  console.error(`echo_bot: ${error.message}`);
  process.exit(1);
}
