/** The first page: log in, make an account, or set a new password by a reset link. */

import { el, fill } from '../shared/dom.js';
import { busy, notice, openDialog } from './dialog.js';
import { errorText } from './errors.js';
import { field, NEW_PASSWORD, passwordField } from './fields.js';
import { language, setLanguage, t } from './texts.js';

/**
 * @typedef {import('../cim/types.js').Client} Client
 * @typedef {import('../cim/types.js').About} About
 * @typedef {import('../cim/types.js').User} User
 * @typedef {'log-in' | 'register' | 'reset'} Way
 */

export class Login {
  /** @type {Way} */
  #what = 'log-in';
  #name = '';
  /** @type {About | null} */
  #about = null;
  #code = '';
  #asked;
  #client;
  #done;
  #cancelled;

  /**
   * @param {Client} client
   * @param {(user: User) => void} done
   * @param {() => void} cancelled called when no password is set by a reset link after all
   */
  constructor(client, done, cancelled) {
    this.#client = client;
    this.#done = done;
    this.#cancelled = cancelled;
    this.node = el('main', { class: 'login' });
    this.#asked = client
      .about()
      .then((about) => (this.#about = about))
      .catch(() => {});
  }

  /** @param {string} [code] of a reset link */
  async show(code = '') {
    this.#code = code;
    this.#what = code ? 'reset' : 'log-in';
    // Who may register changes the form, so it waits for that a little: it should not change under one's fingers.
    await Promise.race([this.#asked, new Promise((resolve) => setTimeout(resolve, 500))]);
    this.#draw();
    if (!this.#about) this.#asked.then(() => this.#what !== 'reset' && this.#draw(false));
  }

  /** @param {boolean} [focus] @param {string} [said] what went well */
  #draw(focus = true, said = '') {
    const before = /** @type {HTMLInputElement[]} */ ([...this.node.querySelectorAll('input')]).map((one) => [
      one.name,
      one.value,
    ]);
    const form = this.#what === 'reset' ? this.#reset() : this.#what === 'register' ? this.#register() : this.#logIn();
    const other = el(
      'button',
      {
        type: 'button',
        class: 'plain',
        'data-testid': 'language',
        lang: language() === 'zh' ? 'en' : 'zh',
        onclick: () => this.#speak(),
      },
      language() === 'zh' ? 'English' : '中文',
    );
    const had = this.node.contains(document.activeElement);
    fill(
      this.node,
      el(
        'div',
        { class: 'card' },
        el('h1', {}, 'CIM'),
        el('p', { class: 'faint' }, t('login.about')),
        said && el('p', { class: 'notice good', role: 'status' }, said),
        ...form,
      ),
      el('p', {}, other),
    );
    for (const [name, value] of before) {
      const input = /** @type {HTMLInputElement | null} */ (this.node.querySelector(`input[name="${name}"]`));
      if (input && !input.value) input.value = value;
    }
    const first = /** @type {HTMLInputElement | undefined} */ (
      [...this.node.querySelectorAll('input')].find((one) => !one.value)
    );
    if (focus || had) first?.focus();
  }

  #speak() {
    setLanguage(language() === 'zh' ? 'en' : 'zh');
    this.#draw();
  }

  /** @param {Way} what */
  #turn(what) {
    return () => {
      this.#what = what;
      this.#draw();
    };
  }

  /** The two ways in, as tabs. */
  #tabs() {
    if (this.#about?.accounts === 'key') return null;
    const tab = (/** @type {'log-in' | 'register'} */ what) =>
      el(
        'button',
        {
          type: 'button',
          'aria-pressed': String(this.#what === what),
          'data-testid': `to-${what}`,
          onclick: this.#turn(what),
        },
        t(what),
      );
    return el('div', { class: 'tabs', role: 'group', 'aria-label': t('login.ways') }, tab('log-in'), tab('register'));
  }

  #nameField() {
    const found = field(t('name'), {
      name: 'name',
      required: true,
      autocomplete: 'username',
      autocapitalize: 'none',
      spellcheck: 'false',
      maxlength: 64,
      'data-testid': 'name',
    });
    found.input.value = this.#name;
    found.input.addEventListener('input', () => (this.#name = found.input.value));
    return found;
  }

  #logIn() {
    const name = this.#nameField();
    const password = passwordField(t('password'), {
      name: 'password',
      autocomplete: 'current-password',
      'data-testid': 'password',
    });
    const form = this.#form('login', 'log-in', [name.node, password.node], async () => {
      this.#done(await this.#client.logIn({ name: name.input.value.trim(), password: password.input.value }));
    });
    const forgot = el('details', {}, el('summary', {}, t('forgot')), el('p', { class: 'faint' }, t('forgot.what')));
    return [
      this.#tabs(),
      form,
      forgot,
      this.#about?.accounts === 'key' && el('p', { class: 'faint' }, t('register.key')),
    ];
  }

  #register() {
    const name = this.#nameField();
    const password = passwordField(
      t('password'),
      { name: 'password', ...NEW_PASSWORD, 'data-testid': 'password' },
      t('password.hint'),
    );
    const invitation = field(
      t('invitation-code'),
      { name: 'invitation', autocomplete: 'off', spellcheck: 'false', required: true, 'data-testid': 'invitation' },
      t('invitation-code.hint'),
    );
    const invited = this.#about?.accounts === 'invited';
    const form = this.#form(
      'register',
      'register',
      [name.node, password.node, invited && invitation.node],
      async () => {
        const account = { name: name.input.value.trim(), password: password.input.value };
        const code = invited ? { invitation: invitation.input.value.trim() } : {};
        try {
          await this.#client.register({ ...account, ...code });
        } catch (error) {
          // The system may have changed its mind since the page was opened.
          if (/** @type {{ code?: string }} */ (error).code === 'invitation-needed' && !invited && this.#about) {
            this.#about = { ...this.#about, accounts: 'invited' };
            this.#draw();
          }
          throw error;
        }
        this.#done(await this.#client.logIn(account));
      },
    );
    return [this.#tabs(), form];
  }

  #reset() {
    const password = passwordField(
      t('password.new'),
      { name: 'new-password', ...NEW_PASSWORD, 'data-testid': 'new-password' },
      t('password.hint'),
    );
    const form = this.#form('reset', 'reset', [el('p', {}, t('reset.what')), password.node], async () => {
      await this.#client.resetPassword(this.#code, password.input.value);
      this.#code = '';
      this.#what = 'log-in';
      this.#draw(true, t('reset.done'));
    });
    const cancel = () => {
      this.#turn('log-in')();
      this.#cancelled();
    };
    const look = { type: 'button', class: 'plain', 'data-testid': 'cancel-reset', onclick: cancel };
    return [form, el('button', look, t('cancel'))];
  }

  /**
   * @param {'login' | 'register' | 'reset'} what
   * @param {Way} label of its button, and how it is called in the table of errors
   * @param {(Node | false)[]} fields
   * @param {() => Promise<void>} run
   */
  #form(what, label, fields, run) {
    const problem = notice();
    const form = el(
      'form',
      { class: 'stack', 'data-testid': what === 'reset' ? 'reset' : 'login' },
      ...fields,
      problem,
      el('button', { class: 'main', 'data-testid': label }, t(label)),
    );
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      busy(form, /** @type {ReturnType<typeof notice>} */ (problem), run, (error) => {
        const words = errorText(error, what);
        // The form may have been drawn anew by then.
        const now = /** @type {ReturnType<typeof notice> | null} */ (this.node.querySelector('.notice[role=alert]'));
        if (now && now !== problem) now.say(words);
        return words;
      });
    });
    return form;
  }
}

/**
 * Ask for the password again over the page, so that nothing that was typed is lost.
 * @param {Client} client
 * @param {string} name
 * @param {(user: User) => void} done
 */
export function logInAgain(client, name, done) {
  if (document.querySelector('[data-testid="expired"]')) return;
  const who = field(t('name'), { name: 'name', autocomplete: 'username', required: true, 'data-testid': 'name' });
  who.input.value = name;
  const password = passwordField(t('password'), {
    name: 'password',
    autocomplete: 'current-password',
    'data-testid': 'password',
  });
  const problem = notice();
  const form = el(
    'form',
    { class: 'stack' },
    el('p', {}, t('expired')),
    who.node,
    password.node,
    problem,
    el('button', { class: 'main', 'data-testid': 'log-in' }, t('log-in')),
  );
  const dialog = openDialog(t('expired.title'), { testid: 'expired' }, form);
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    busy(
      form,
      problem,
      async () => {
        const user = await client.logIn({ name: who.input.value.trim(), password: password.input.value });
        dialog.close();
        done(user);
      },
      (error) => errorText(error, 'login'),
    );
  });
  password.input.focus();
}
