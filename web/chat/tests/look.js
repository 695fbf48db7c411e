/** The page on a double, with talks that show what it can: for looking at it, and for measuring it. */

import { start } from '../page.js';
import { Double, ME, message, outgoing } from './double.js';

const double = new Double();
const at = (/** @type {number} */ minutes) => Date.now() - minutes * 60_000;
const bob = { id: 2, name: 'Bob' };
const lin = { id: 3, name: '林小雨' };
const noa = { id: 4, name: 'נועה' };
const dana = { id: 5, name: 'Dana van der Meer-Oosterhuis' };
const flag = '🏴\u{E0067}\u{E0062}\u{E0065}\u{E006E}\u{E0067}\u{E007F}';

double.put({ conversation: 'p:1:2', user: 2, title: 'Bob', unread: 2, read: '1700-17', readBy: { 2: '1700-16' } }, [
  message(1, { sentAt: at(2900), text: 'Good morning! Did the night run finish?' }),
  message(2, {
    sentAt: at(2899),
    sender: ME,
    text: 'It did: 61 minutes, all green 🎉',
    reactions: { '👍': [2], '🎉': [1, 2] },
  }),
  message(3, { sentAt: at(1500), text: 'See https://example.com/wiki/Paris_(France), and http://example.com/a?b=c.' }),
  message(4, {
    sentAt: at(1499),
    text: 'The fix is `held = upto`:\n```python\nif after <= held:\n    held = upto  # even if that goes back\n    show(set_aside)\n```\nThat is all.',
  }),
  message(5, { sentAt: at(1498), text: '<img src=x onerror=alert(1)> **not bold** <b>nor this</b>' }),
  message(6, { sentAt: at(1400), sender: ME, text: 'Nothing of that is markup here 😄', edited: true }),
  message(7, { sentAt: at(1399), sender: ME, text: '', recalled: true }),
  message(8, { sentAt: at(200), text: 'שלום! מה שלומך היום? See you at 10:30.' }),
  message(9, { sentAt: at(199), text: 'مرحبا، كيف الحال؟' }),
  message(10, {
    sentAt: at(198),
    sender: ME,
    text: `mixed ${flag} \u202Eevil\u202C and a\u200Bb and ${'long'.repeat(60)}`,
  }),
  message(11, { sentAt: at(197), text: '👋' }),
  message(12, {
    sentAt: at(100),
    text: Array.from({ length: 60 }, (_, n) => `line ${n + 1} of a long text`).join('\n'),
  }),
  message(13, { sentAt: at(90), sender: ME, text: 'one' }),
  message(14, { sentAt: at(89), sender: ME, text: 'and a second line\nand a third' }),
  message(15, {
    sentAt: at(30),
    text: '中文消息：今天下午三点开会，地点在二楼会议室。请看https://example.com/会议。谢谢！',
  }),
  message(16, { sentAt: at(20), sender: ME, text: 'OK, I read that.' }),
  message(17, { sentAt: at(19), sender: ME, text: 'And this you have not read yet.' }),
  message(18, {
    sentAt: at(3),
    text: 'Are you there?',
    reactions: { '👀': [2], 'what a very long reaction this is': [2, 3, 4] },
  }),
  message(19, { sentAt: at(2), text: 'It is about the release.' }),
]);
const team = (/** @type {number} */ n, /** @type {object} */ more) => message(n, { conversation: 'g:7', ...more });
double.teams.set(7, {
  info: { id: 7, name: 'Release 团队', open: false, history: true, members: 4 },
  members: [
    { user: 1, name: 'alice', role: 'owner' },
    { user: 2, name: 'Bob', role: 'admin' },
    { user: 3, name: '林小雨', role: 'member' },
    { user: 4, name: 'נועה', role: 'member' },
  ],
});
double.put({ conversation: 'g:7', group: 7, title: 'Release 团队', role: 'owner' }, [
  team(1, {
    sentAt: at(500),
    kind: 'members',
    sender: { id: 0, name: '' },
    changes: [
      { what: 'accepted', user: 2, by: 1, text: '' },
      { what: 'role', user: 2, by: 1, text: 'admin' },
      { what: 'joined', user: 4, by: 4, text: '' },
    ],
  }),
  team(2, { sentAt: at(400), sender: bob, text: 'The notes are written.' }),
  team(3, { sentAt: at(399), sender: bob, text: 'Who reads them?' }),
  team(4, { sentAt: at(398), sender: lin, text: '我来看。', reactions: { '🙏': [2, 1] } }),
  team(5, { sentAt: at(397), sender: noa, text: 'גם אני' }),
  team(6, { sentAt: at(396), sender: ME, text: 'Thank you!' }),
]);
double.put({ conversation: 'p:1:3', user: 3, title: '林小雨', unread: 12, read: '' }, [
  message(1, { conversation: 'p:1:3', sender: lin, sentAt: at(4000), text: '你好！\n在吗？' }),
]);
double.put({ conversation: 'p:1:4', user: 4, title: 'נועה' }, [
  message(1, { conversation: 'p:1:4', sender: noa, sentAt: at(5000), text: 'שלום, מה נשמע?' }),
]);
double.put({ conversation: 'p:1:5', user: 5, title: dana.name }, [
  message(1, {
    conversation: 'p:1:5',
    sender: ME,
    sentAt: at(9000),
    text: 'A last line that is too long for the list of talks at the left of the page',
  }),
]);
double.put({ conversation: 'p:1:6', user: 6, title: 'al\u200Bice: yes' }, [
  message(1, {
    conversation: 'p:1:6',
    sender: { id: 6, name: 'al\u200Bice: yes' },
    sentAt: at(90000),
    text: 'a name of old',
  }),
]);
double.put({ conversation: 'g:0', title: '' }, [
  message(1, { conversation: 'g:0', sender: dana, sentAt: at(60), text: 'Lunch?' }),
]);
double.waiting = [{ group: { id: 9, name: 'Hikers', open: false, history: true, members: 12 }, by: bob, at: at(5) }];
double.come(2, 4);
const big = 10_000;
double.put(
  { conversation: 'p:1:8', user: 8, title: 'Many' },
  Array.from({ length: big }, (_, n) =>
    message(n + 1, {
      conversation: 'p:1:8',
      sender: n % 3 ? { id: 8, name: 'Many' } : ME,
      sentAt: at(3000) + n * 9000,
      text: `number ${n + 1}: ${'words and more '.repeat(n % 7)}`,
    }),
  ),
);

const query = new URLSearchParams(location.search);
if (query.has('out')) double.loggedIn = false;
if (query.has('accounts')) double.accounts = query.get('accounts') ?? 'open';
if (query.has('theme')) document.documentElement.dataset.theme = query.get('theme') ?? '';
/** What a test calls to make something happen. */
Object.assign(window, { double, message, outgoing, flood });

let place = big;
/** So many messages a second, for so many seconds. @param {number} rate @param {number} seconds */
function flood(rate, seconds) {
  const began = performance.now();
  let told = 0;
  return new Promise((resolve) => {
    const channel = new MessageChannel();
    channel.port1.onmessage = () => {
      const due = Math.min(rate * seconds, Math.floor(((performance.now() - began) / 1000) * rate));
      for (; told < due; told += 1) {
        place += 1;
        double.hear(
          message(place, {
            conversation: 'p:1:8',
            sender: { id: 8, name: 'Many' },
            sentAt: Date.now(),
            text: `flood ${place} and some words of a usual length`,
          }),
        );
      }
      if (told < rate * seconds) setTimeout(() => channel.port2.postMessage(0), 4);
      else resolve(told);
    };
    channel.port2.postMessage(0);
  });
}

start(/** @type {any} */ (double));
