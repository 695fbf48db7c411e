/** The field in which one writes: a draft for each talk, Enter to send, and the text of a message that is edited. */

import { el } from '../shared/dom.js';
import { picture, pictureButton } from './pictures.js';
import { number, t } from './texts.js';

/** @typedef {import('../cim/types.js').Message} Message */

/** The most that a message may have, bytes (docs/protocol.md, Sending). */
export const MOST = 48 * 1024;
/** How often others are told that one types, and how soon a draft is kept, ms. */
const TYPING = 2000;
const KEEP = 300;

/**
 * The bytes of a text as it is sent.
 * @param {string} text
 */
export function bytes(text) {
  return new TextEncoder().encode(text).length;
}

export class Composer {
  /** @type {Message | null} */
  #editing = null;
  #draft = '';
  #told = 0;
  #keeping = 0;
  #does;

  /**
   * @param {object} does
   * @param {(text: string) => Promise<unknown>} does.send
   * @param {(message: Message, text: string) => Promise<unknown>} does.edit
   * @param {(text: string) => void} does.keep the draft
   * @param {() => void} does.typing
   * @param {() => Message | null} does.last what ArrowUp edits
   * @param {(error: unknown) => void} does.failed
   */
  constructor(does) {
    this.#does = does;
    this.area = el('textarea', {
      rows: 1,
      dir: 'auto',
      'data-testid': 'composer',
      'aria-label': t('composer'),
      placeholder: t('composer'),
      'aria-describedby': 'composer-size composer-muted',
      enterkeyhint: 'send',
      onkeydown: (/** @type {KeyboardEvent} */ event) => this.#key(event),
      oninput: () => this.#changed(),
    });
    this.size = el('p', {
      id: 'composer-size',
      class: 'notice',
      role: 'alert',
      'data-testid': 'too-large',
      hidden: true,
    });
    this.muted = el('p', { id: 'composer-muted', class: 'notice warn', role: 'status', 'data-testid': 'muted', hidden: true });
    this.button = el(
      'button',
      { type: 'submit', class: 'main square', 'aria-label': t('send'), title: t('send'), 'data-testid': 'send' },
      picture('send'),
    );
    this.mode = el(
      'div',
      { class: 'editing', hidden: true, 'data-testid': 'editing' },
      picture('edit'),
      el('span', { class: 'grow' }, t('editing')),
      pictureButton('close', t('editing.stop'), { onclick: () => this.stop() }),
    );
    const emoji = pictureButton('smile', t('picker'), {
      'data-testid': 'emoji',
      onclick: async () => (await import('./picker.js')).openPicker(emoji, (one) => this.#insert(one)),
    });
    this.node = el(
      'form',
      { class: 'composer', onsubmit: (/** @type {Event} */ event) => this.#submit(event) },
      this.muted,
      this.size,
      this.mode,
      el('div', { class: 'line' }, emoji, this.area, this.button),
    );
    this.#changed(false);
  }

  /** Say why nothing can be sent, and keep the draft; '' if it can. @param {string} words */
  mute(words) {
    if (this.muted.textContent === words) return;
    this.muted.textContent = words;
    this.muted.hidden = !words;
    this.#changed(false);
  }

  /** @param {string} text a draft, as long as nothing was typed */
  start(text) {
    if (this.area.value || this.#editing || !text) return;
    this.area.value = text;
    this.#changed(false);
  }

  /** What is written and not sent, edits aside. */
  get draft() {
    return this.#editing ? this.#draft : this.area.value;
  }

  /** Keep what is there now. */
  keep() {
    this.#rest();
    this.#does.keep(this.draft);
  }

  #rest() {
    clearTimeout(this.#keeping);
    this.#keeping = 0;
  }

  /** @param {Message} message */
  edit(message) {
    if (!this.#editing) this.#draft = this.area.value;
    this.#editing = message;
    this.mode.hidden = false;
    this.area.value = message.text;
    this.#changed(false);
    this.area.focus();
    this.area.setSelectionRange(message.text.length, message.text.length);
  }

  /** Edit no more, and go on with the draft. */
  stop() {
    if (!this.#editing) return;
    this.#editing = null;
    this.mode.hidden = true;
    this.area.value = this.#draft;
    this.#changed(false);
    this.area.focus();
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    // Enter may choose among the signs that an input method offers.
    if (event.isComposing || event.keyCode === 229) return;
    if (event.key === 'Enter' && !event.shiftKey && !matchMedia('(pointer: coarse)').matches) {
      event.preventDefault();
      this.node.requestSubmit();
    } else if (event.key === 'Escape' && this.#editing) {
      event.preventDefault();
      event.stopPropagation();
      this.stop();
    } else if (event.key === 'ArrowUp' && !this.area.value && !this.#editing) {
      const last = this.#does.last();
      if (!last) return;
      event.preventDefault();
      this.edit(last);
    }
  }

  #changed(typed = true) {
    const text = this.area.value;
    const size = bytes(text);
    const tooLarge = size > MOST;
    if (tooLarge) this.size.textContent = t('too-large', { size: number(size), most: number(MOST) });
    this.size.hidden = !tooLarge;
    this.button.disabled = tooLarge || !text.trim() || !this.muted.hidden;
    // Where CSS does not let the field grow with its text.
    if (!CSS.supports('field-sizing', 'content')) this.area.rows = Math.min(8, text.split('\n', 8).length);
    if (!typed || this.#editing) return;
    const now = Date.now();
    if (text.trim() && this.muted.hidden && now - this.#told > TYPING) {
      this.#told = now;
      this.#does.typing();
    }
    // The timer is not begun anew by each key: who types without a pause has a draft, too.
    this.#keeping ||= window.setTimeout(() => {
      this.#keeping = 0;
      this.#does.keep(this.draft);
    }, KEEP);
  }

  /** @param {Event} event */
  async #submit(event) {
    event.preventDefault();
    const text = this.area.value;
    if (this.button.disabled || !text.trim()) return;
    const editing = this.#editing;
    try {
      if (editing) {
        this.stop();
        if (text !== editing.text) await this.#does.edit(editing, text);
        return;
      }
      this.area.value = '';
      this.#changed(false);
      this.#told = 0;
      this.#rest();
      await this.#does.send(text);
      // Not before it is in the outbox, so that a reload in between loses nothing.
      this.#does.keep(this.area.value);
    } catch (error) {
      if (editing) this.edit({ ...editing, text });
      else if (!this.area.value) this.area.value = text;
      this.#changed(false);
      this.#does.failed(error);
    }
  }

  /** @param {string} emoji */
  #insert(emoji) {
    this.area.focus();
    this.area.setRangeText(emoji, this.area.selectionStart, this.area.selectionEnd, 'end');
    this.#changed();
  }
}
