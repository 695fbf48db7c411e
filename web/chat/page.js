/** From the login to the chat and back. What the one needs and the other does not is only loaded with it. */

import { fill } from '../shared/dom.js';
import { remember, remembered, setTheme, theme } from './memory.js';
import { chooseLanguage } from './texts.js';

/**
 * @typedef {import('../cim/types.js').Client} Client
 * @typedef {import('../cim/types.js').User} User
 */

const loadLogin = () => import('./login.js');
const loadChat = () => import('./chat.js');

/**
 * Take the code of a reset link out of the page's address, where it must not stay.
 * @returns {string} '' if there is none
 */
export function takeResetCode() {
  const found = /^#(?:code|reset)=(.+)$/.exec(location.hash);
  if (!found) return '';
  history.replaceState(null, '', location.pathname);
  try {
    return decodeURIComponent(found[1]).trim();
  } catch {
    return found[1].trim();
  }
}

/**
 * Show the page of this client.
 * @param {Client} client
 */
export async function start(client) {
  const code = takeResetCode();
  setTheme(theme());
  chooseLanguage();
  // Which of the two it will be is likely known before the server says so.
  const early = !code && remembered('here') ? loadChat() : loadLogin();
  /** @type {import('./chat.js').Chat | null} */
  let chat = null;
  /** @type {import('./login.js').Login | null} */
  let login = null;

  /** @param {User} user */
  async function enter(user) {
    const { Chat } = await loadChat();
    chat?.close();
    login = null;
    remember('here', 'yes');
    chat = new Chat(client, user, leave);
    fill(document.body, chat.node);
    chat.start();
  }

  /** @param {string} [reset] the code of a reset link */
  async function leave(reset = '') {
    const { Login } = await loadLogin();
    chat?.close();
    chat = null;
    remember('here', '');
    login ??= new Login(client, enter, goOn);
    fill(document.body, login.node);
    login.show(reset);
    // Who types here will soon need the chat.
    login.node.addEventListener('input', loadChat, { once: true });
  }

  /** Go on as whoever is logged in here; return whether somebody is. */
  async function goOn() {
    const user = client.me ?? (await client.resume().catch(() => null));
    if (user) await enter(user);
    return user !== null;
  }

  // Anybody can make a link like this one: whoever is logged in stays so, and comes back by cancelling.
  addEventListener('hashchange', () => {
    const found = takeResetCode();
    if (found) leave(found);
  });
  if (code) return leave(code);
  const [there] = await Promise.all([goOn(), early]);
  if (!there) await leave();
}
