/** Telling of new messages while one looks elsewhere: by notifications, for those who asked, and in the title. */

import { el } from '../shared/dom.js';
import { shownName } from '../shared/visible.js';
import { remember, remembered } from './memory.js';
import { canPush, closeShown, onOpen, startPush, stopPush } from './push.js';
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
      if (!this.#wanted()) await this.#stop();
      else if (!(await this.#push())) words.textContent = t('push.failed');
    });
    return el('div', {}, el('label', { class: 'choice' }, input, el('span', {}, t('notifications.show'))), words);
  }

  #wanted() {
    return remembered('notify') === 'yes' && 'Notification' in window && Notification.permission === 'granted';
  }

  /** Have this browser notified while no page is open, if that was asked for. Returns whether it is. */
  async #push() {
    if (!canPush()) return true;
    try {
      await startPush(this.#client);
      return true;
    } catch {
      return false;
    }
  }

  async #stop() {
    const device = (await this.#client.sessions()).find((one) => one.mine)?.device;
    const pushes = await this.#client.pushes();
    for (const { id } of pushes.filter((one) => one.device === device)) await this.#client.unregisterPush(id);
    await stopPush();
  }

  /** Renew it, and open what a click on a notification means; returns what ends that. */
  start() {
    if (this.#wanted()) void this.#push();
    return onOpen(this.#open);
  }

  /** A talk was read: what is shown of it goes. @param {Conversation} conversation */
  read(conversation) {
    if (this.#wanted()) void closeShown(conversation).catch(() => {});
  }

  /** The user logs out: nobody is notified here any more. */
  async left() {
    await stopPush().catch(() => {});
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
