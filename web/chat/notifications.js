/** Telling of new messages while one looks elsewhere: by notifications, for those who asked, and in the title. */

import { el } from '../shared/dom.js';
import { shownName } from '../shared/visible.js';
import { remember, remembered } from './memory.js';
import { oneLine } from './talks.js';
import { isMuted, titleOf } from './talk.js';
import { t } from './texts.js';

/**
 * @typedef {import('../cim/types.js').Client} Client
 * @typedef {import('../cim/types.js').Conversation} Conversation
 * @typedef {import('../cim/types.js').Message} Message
 */

/** At most one of a talk in this time, ms: a flood is no reason for hundreds. */
const PAUSE = 3000;

export class Notifications {
  /** @type {Map<Conversation, number>} */
  #told = new Map();
  #clock = 0;
  #client;
  #open;

  /** @param {Client} client @param {(conversation: Conversation) => void} open */
  constructor(client, open) {
    this.#client = client;
    this.#open = open;
  }

  /** What the settings show. */
  get node() {
    if (!isSecureContext) return el('p', { class: 'faint', 'data-testid': 'insecure' }, t('notifications.insecure'));
    if (!('Notification' in window)) return el('p', { class: 'faint' }, t('notifications.none'));
    const input = el('input', { type: 'checkbox', checked: this.#wanted(), 'data-testid': 'notifications' });
    const words = el('p', { class: 'faint small', role: 'status' });
    input.addEventListener('change', async () => {
      if (input.checked && Notification.permission !== 'granted') await Notification.requestPermission();
      remember('notify', input.checked && Notification.permission === 'granted' ? 'yes' : '');
      words.textContent = input.checked && Notification.permission !== 'granted' ? t('notifications.denied') : '';
      input.checked = this.#wanted();
    });
    return el('div', {}, el('label', { class: 'choice' }, input, el('span', {}, t('notifications.show'))), words);
  }

  #wanted() {
    return remembered('notify') === 'yes' && 'Notification' in window && Notification.permission === 'granted';
  }

  /** @param {Message} message */
  heard(message) {
    this.count();
    if (message.mine || message.kind !== 'text') return;
    // A window that is in sight, but behind another one, is not looked at.
    if (document.visibilityState === 'visible' && document.hasFocus()) return;
    // Of several tabs one tells.
    if (!this.#client.leads || !this.#wanted()) return;
    const now = Date.now();
    const talk = this.#client.talks.find((one) => one.conversation === message.conversation);
    if (talk && isMuted(talk, now)) return;
    if (now - (this.#told.get(message.conversation) ?? 0) < PAUSE) return;
    this.#told.set(message.conversation, now);
    const who = shownName(message.sender.name);
    const title = talk && !talk.user ? t('notification.title', { who, where: titleOf(talk) }) : who;
    const shown = new Notification(title, { body: oneLine(message.text), tag: message.conversation });
    shown.addEventListener('click', () => {
      window.focus();
      this.#open(message.conversation);
      shown.close();
    });
  }

  /** Show in the title how much is unread, soon. */
  count() {
    if (this.#clock) return;
    this.#clock = window.setTimeout(() => {
      this.#clock = 0;
      let unread = 0;
      for (const talk of this.#client.talks) unread += talk.unread;
      const title = unread ? `(${unread > 999 ? '999+' : unread}) CIM` : 'CIM';
      if (document.title !== title) document.title = title;
    }, 250);
  }
}
