/** The console: a login, and behind it views at addresses of their own, which hold nothing secret. */

import { el, fill } from '../shared/dom.js';
import { logOut, session, whenEnded } from './api.js';
import { group, groups } from './groups.js';
import { login } from './login.js';
import { overview } from './overview.js';
import { named, saidBefore } from './parts.js';
import { report, reports } from './reports.js';
import { sessions } from './sessions.js';
import { talk } from './talk.js';
import { language, switchLanguage, t } from './texts.js';
import { switchTheme, useTheme } from './theme.js';
import { user } from './user.js';
import { users } from './users.js';
import { Watch } from './watch.js';

/**
 * @typedef {{ session: import('./api.js').Session, watch: Watch, left: AbortSignal, rest: string[] }} Context what a
 *   view gets: `left` is aborted when it is left, `rest` is what its address has behind its name
 * @typedef {(main: HTMLElement, context: Context) => void} View
 */

/** By the beginning of their addresses, and how many words follow. @type {[string, number, View][]} */
const VIEWS = [
  ['', 0, overview],
  ['sessions', 0, sessions],
  ['sessions', 1, sessions],
  ['users', 0, users],
  ['users', 1, user],
  ['users', 2, talk],
  ['groups', 0, groups],
  ['groups', 1, group],
  ['talks', 1, talk],
  ['reports', 0, reports],
  ['reports', 1, report],
];
/** What is in the menu, and the scope that a key needs for it. @type {[string, string][]} */
const PARTS = [
  ['overview', 'admin'],
  ['sessions', 'read'],
  ['users', 'read'],
  ['groups', 'read'],
  ['reports', 'moderate'],
];

const box = /** @type {HTMLElement} */ (document.getElementById('console'));
/** What runs while somebody is logged in. @type {{ session: import('./api.js').Session, watch: Watch } | null} */
let inside = null;
let leaving = new AbortController();

/** Buttons for the language and for light or dark. */
function controls() {
  const other = el(
    'button',
    { type: 'button', class: 'plain', lang: language() === 'en' ? 'zh' : 'en', 'data-testid': 'language' },
    t('language'),
  );
  other.addEventListener('click', () => {
    switchLanguage();
    start(false);
  });
  const theme = el(
    'button',
    { type: 'button', class: 'plain', title: t('theme'), 'aria-label': t('theme'), 'data-testid': 'theme' },
    '◐',
  );
  theme.addEventListener('click', switchTheme);
  return el('span', { class: 'row' }, other, theme);
}

/** @param {import('./api.js').Session} given */
function entered(given) {
  inside?.watch.end();
  inside = { session: given, watch: new Watch() };
  start(false);
}

/** @param {boolean} ended whether a session has ended by itself */
function start(ended) {
  document.documentElement.lang = language() === 'zh' ? 'zh-CN' : 'en';
  document.title = t('title');
  leaving.abort();
  for (const dialog of document.querySelectorAll('dialog')) dialog.close();
  if (!inside) {
    login(box, { ended, entered, controls: controls() });
    return;
  }
  const { name, scopes } = inside.session;
  const parts = PARTS.filter(([, scope]) => scopes.includes(scope));
  const out = el('button', { type: 'button', class: 'plain', 'data-testid': 'log-out' }, t('log-out'));
  out.addEventListener('click', () =>
    logOut()
      .catch(() => {})
      .finally(() => leave(false)),
  );
  fill(
    box,
    el('a', { class: 'skip', href: '#main', onclick: skip }, t('skip')),
    el(
      'header',
      { class: 'top' },
      el('strong', {}, t('title')),
      el(
        'nav',
        { 'aria-label': t('parts') },
        ...parts.map(([part]) => el('a', { href: address(part), 'data-part': part }, t(`nav.${part}`))),
      ),
      el(
        'span',
        { class: 'faint who' },
        name ? el('span', {}, t('key-named', { name: '' }).trimEnd(), ' ', named(name)) : t('key-unnamed'),
      ),
      controls(),
      out,
    ),
    el('main', { id: 'main' }),
  );
  show(false);
}

/** @param {string} part */
const address = (part) => (part === 'overview' ? '#/' : `#/${part}`);

/** @param {Event} event */
function skip(event) {
  event.preventDefault();
  const heading = document.querySelector('main h1');
  if (heading instanceof HTMLElement) heading.focus();
}

/** @param {boolean} ended */
function leave(ended) {
  inside?.watch.end();
  inside = null;
  start(ended);
}

/**
 * Show the view at the present address.
 * @param {boolean} moved whether somebody went there, so that the focus follows
 */
function show(moved) {
  const main = document.getElementById('main');
  if (!inside || !main) return;
  leaving.abort();
  leaving = new AbortController();
  const [name = '', ...rest] = words(location.hash);
  const found = VIEWS.find(([view, count]) => view === name && count === rest.length);
  for (const link of document.querySelectorAll('nav a')) {
    const present = link.getAttribute('data-part') === (name || 'overview');
    if (present) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  if (found) found[2](main, { ...inside, left: leaving.signal, rest });
  else fill(main, el('h1', { tabindex: -1 }, t('error.no-such-page')));
  const heading = main.querySelector('h1');
  const done = saidBefore();
  if (done) heading?.after(done);
  if (moved) {
    scrollTo(0, 0);
    heading?.focus();
  }
}

/**
 * The words of an address; one that is none has none that fit.
 * @param {string} hash
 */
function words(hash) {
  try {
    return hash
      .replace(/^#\/?/, '')
      .split('/')
      .map(decodeURIComponent)
      .filter((word, number) => word || number);
  } catch {
    return ['?'];
  }
}

useTheme();
whenEnded(() => {
  if (inside) leave(true);
});
addEventListener('hashchange', () => show(true));
session().then(
  (found) => (found ? entered(found) : start(false)),
  () => start(false),
);
