/** From the login to the chat and back. */

import { fill } from '../shared/dom.js';
import { Chat } from './chat.js';
import { Login, takeResetCode } from './login.js';
import { setTheme, theme } from './settings.js';
import { chooseLanguage } from './texts.js';

/**
 * @typedef {import('../cim/types.js').Client} Client
 * @typedef {import('../cim/types.js').User} User
 */

/**
 * Show the page of this client.
 * @param {Client} client
 */
export async function start(client) {
  const code = takeResetCode();
  setTheme(theme());
  chooseLanguage();
  /** @type {Chat | null} */
  let chat = null;
  const login = new Login(client, (user) => enter(user));

  /** @param {User} user */
  function enter(user) {
    chat?.close();
    chat = new Chat(client, user, leave);
    fill(document.body, chat.node);
    chat.start();
  }

  /** @param {string} [reset] */
  function leave(reset = '') {
    chat?.close();
    chat = null;
    fill(document.body, login.node);
    login.show(reset);
  }

  addEventListener('hashchange', () => {
    const found = takeResetCode();
    if (found) leave(found);
  });
  if (code) return leave(code);
  const user = await client.resume().catch(() => null);
  if (user) enter(user);
  else leave();
}
