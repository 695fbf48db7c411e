/** Groups: making one, joining one, and who is in it as what. */

import { el, fill } from '../shared/dom.js';
import { shownName } from '../shared/visible.js';
import { ask, busy, notice, openDialog } from './dialog.js';
import { errorText } from './errors.js';
import { field } from './fields.js';
import { findPeople } from './find.js';
import { groupControls, memberControls } from './moderation.js';
import { sign } from './pictures.js';
import { count, t } from './texts.js';

/**
 * @typedef {import('../cim/types.js').Client} Client
 * @typedef {import('../cim/types.js').Conversation} Conversation
 * @typedef {import('../cim/types.js').GroupInfo} GroupInfo
 * @typedef {import('../cim/types.js').Member} Member
 * @typedef {import('../cim/types.js').User} User
 */

/** @param {string} label @param {Record<string, unknown>} attributes */
function choice(label, attributes) {
  const input = el('input', { type: 'checkbox', ...attributes });
  return { input, node: el('label', { class: 'choice' }, input, el('span', {}, label)) };
}

/**
 * @param {Client} client
 * @param {(conversation: Conversation) => void} open
 */
export function newGroup(client, open) {
  const name = field(t('group.name'), {
    required: true,
    maxlength: 64,
    autocomplete: 'off',
    'data-testid': 'group-name',
  });
  const anyone = choice(t('group.open'), { 'data-testid': 'group-open' });
  const history = choice(t('group.history'), { checked: true, 'data-testid': 'group-history' });
  const problem = notice();
  const make = el(
    'form',
    { class: 'stack' },
    name.node,
    anyone.node,
    history.node,
    problem,
    el('button', { class: 'main', 'data-testid': 'make-group' }, t('group.make')),
  );
  const id = field(
    t('group.id'),
    { required: true, inputmode: 'numeric', pattern: '[0-9]+', autocomplete: 'off', 'data-testid': 'group-id' },
    t('group.id.hint'),
  );
  const join = el(
    'form',
    { class: 'stack' },
    el('h3', {}, t('group.join.title')),
    id.node,
    el('button', { 'data-testid': 'join-group' }, t('group.join')),
  );
  const dialog = openDialog(t('group.new'), { testid: 'group-dialog' }, make, join);
  make.addEventListener('submit', (event) => {
    event.preventDefault();
    busy(
      make,
      problem,
      async () => {
        const made = await client.makeGroup({
          name: name.input.value.trim(),
          open: anyone.input.checked,
          history: history.input.checked,
        });
        dialog.close();
        open(`g:${made.id}`);
      },
      errorText,
    );
  });
  join.addEventListener('submit', (event) => {
    event.preventDefault();
    busy(
      join,
      problem,
      async () => {
        await client.join(Number(id.input.value));
        dialog.close();
        open(`g:${Number(id.input.value)}`);
      },
      (error) => errorText(error, 'join'),
    );
  });
  name.input.focus();
}

/** How people are found, said by the directory. @type {Record<string, string>} */
const HINTS = { prefix: 'find.longer', off: 'find.off' };
/** How many members are shown, and how many more each time. */
const SHOWN = 200;
/** Who may do what, the lowest first. */
const ROLES = ['member', 'admin', 'owner'];

export class GroupDetails {
  /** @type {GroupInfo | null} */
  #group = null;
  /** @type {Member[]} */
  #members = [];
  #shown = SHOWN;
  /** @type {HTMLDialogElement | null} */
  #dialog = null;
  #client;
  #id;
  #directory;

  /**
   * @param {Client} client
   * @param {number} id of the group
   * @param {string} directory how people are found
   */
  constructor(client, id, directory) {
    this.#client = client;
    this.#id = id;
    this.#directory = directory;
    this.problem = notice();
    this.about = el('div', { class: 'stack' });
    this.more = el('button', { type: 'button', hidden: true }, t('members.more'));
    this.more.addEventListener('click', () => {
      this.#shown += SHOWN;
      this.#draw();
    });
    this.list = el('ul', { class: 'members', 'data-testid': 'member-list', 'aria-label': t('members.show') });
  }

  /** @param {boolean} [invite] whether to begin with inviting somebody */
  async open(invite) {
    this.#dialog = openDialog(t('group'), { testid: 'group-details' }, this.about, this.problem, this.list, this.more);
    await this.#tried(() => this.#read());
    if (invite) /** @type {HTMLElement | null} */ (this.about.querySelector('[data-testid="invite-name"]'))?.focus();
  }

  async #read() {
    const [group, members] = await Promise.all([this.#client.group(this.#id), this.#client.members(this.#id)]);
    this.#group = group;
    this.#members = [...members].sort(
      (one, other) => ROLES.indexOf(other.role) - ROLES.indexOf(one.role) || one.name.localeCompare(other.name),
    );
    this.#draw();
  }

  /** Do something, and show how the group is then. @param {() => Promise<unknown>} run @param {boolean} [again] */
  async #tried(run, again = false) {
    await busy(
      this.about,
      this.problem,
      async () => {
        await run();
        if (again) await this.#read();
      },
      errorText,
    );
  }

  #panel = {
    open: false,
    done: () => this.#dialog?.close(),
    failed: (/** @type {unknown} */ error) => this.problem.say(errorText(error)),
  };

  /** @type {import('./moderation.js').Tried} */
  #controls = (run, again) => this.#tried(run, again);

  get #me() {
    return this.#client.me?.id ?? 0;
  }

  #draw() {
    const group = this.#group;
    if (!group) return;
    const role = this.#members.find((one) => one.user === this.#me)?.role ?? '';
    const leads = role === 'owner' || role === 'admin';
    const facts = [
      count('members', group.members),
      t(group.open ? 'group.is-open' : 'group.is-closed'),
      t(group.history ? 'group.has-history' : 'group.no-history'),
      t('group.number', { id: String(group.id) }),
    ];
    fill(
      this.about,
      el(
        'div',
        { class: 'row' },
        sign(group.id, shownName(group.name)),
        el('strong', { class: 'grow' }, el('bdi', {}, shownName(group.name))),
      ),
      el('ul', { class: 'faint small' }, ...facts.map((fact) => el('li', {}, fact))),
      leads && this.#invite(),
      leads && this.#rename(group),
      leads && groupControls(this.#client, group, role === 'owner', this.#controls, this.#panel),
      el(
        'div',
        { class: 'row' },
        el(
          'button',
          { type: 'button', class: 'danger', 'data-testid': 'leave', onclick: () => this.#leave() },
          t('group.leave'),
        ),
      ),
    );
    fill(this.list, ...this.#members.slice(0, this.#shown).map((member) => this.#member(member, role)));
    this.more.hidden = this.#members.length <= this.#shown;
  }

  /** @param {GroupInfo} group */
  #rename(group) {
    const name = field(t('group.name'), {
      required: true,
      maxlength: 64,
      value: group.name,
      'data-testid': 'rename-name',
    });
    const form = el(
      'form',
      { class: 'row end' },
      el('div', { class: 'grow' }, name.node),
      el('button', { 'data-testid': 'rename' }, t('group.rename')),
    );
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#tried(() => this.#client.rename(this.#id, name.input.value.trim()), true);
    });
    return form;
  }

  #invite() {
    const name = field(t('group.invite.who'), {
      required: true,
      autocomplete: 'off',
      list: 'people',
      'data-testid': 'invite-name',
    });
    const hint = el('p', { class: 'faint small' }, t(HINTS[this.#directory] ?? 'find.whole-name'));
    const people = el('datalist', { id: 'people' });
    const form = el(
      'form',
      { class: 'stack' },
      el(
        'div',
        { class: 'row end' },
        el('div', { class: 'grow' }, name.node),
        el('button', { 'data-testid': 'invite' }, t('group.invite')),
      ),
      hint,
      people,
    );
    let turn = 0;
    name.input.addEventListener('input', async () => {
      turn += 1;
      const now = turn;
      await new Promise((resolve) => setTimeout(resolve, 250));
      if (now !== turn || this.#directory !== 'prefix') return;
      const found = await findPeople(this.#client, name.input.value, this.#directory).catch(() => []);
      if (now === turn) fill(people, ...found.map((user) => el('option', { value: user.name })));
    });
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      busy(
        this.about,
        this.problem,
        async () => {
          const user = await this.#client.userNamed(name.input.value.trim());
          const answer = await this.#client.invite(this.#id, user.id);
          await this.#read();
          this.problem.say(
            t(answer === 'invited' ? 'group.invited' : 'group.added', { who: shownName(user.name) }),
            true,
          );
        },
        (error) => errorText(error, 'invite'),
      );
    });
    return form;
  }

  async #leave() {
    if (!(await ask(t('group.leave.sure', { name: shownName(this.#group?.name ?? '') }), t('group.leave')))) return;
    await this.#tried(async () => {
      await this.#client.leave(this.#id);
      this.#dialog?.close();
    });
  }

  /** @param {Member} member @param {string} role one's own */
  #member(member, role) {
    const me = member.user === this.#me;
    const name = shownName(member.name || String(member.user));
    const roles =
      role === 'owner' ? this.#roles(member, name) : el('span', { class: 'faint small' }, t(`role.${member.role}`));
    const below = !me && ROLES.indexOf(role) > ROLES.indexOf(member.role);
    const remove = async () => {
      if (await ask(t('group.remove.sure', { who: name }), t('group.remove')))
        await this.#tried(() => this.#client.remove(this.#id, member.user), true);
    };
    return el(
      'li',
      { class: 'row', 'data-testid': 'member', 'data-user': member.user, 'data-role': member.role },
      sign(member.user, name),
      el('span', { class: 'grow' }, el('bdi', {}, name), me && el('span', { class: 'faint' }, ` (${t('you')})`)),
      roles,
      ...(below ? memberControls(this.#client, this.#id, member, this.#controls) : []),
      below &&
        el(
          'button',
          {
            type: 'button',
            class: 'danger',
            'data-testid': 'remove',
            'aria-label': t('group.remove.who', { who: name }),
            onclick: remove,
          },
          t('group.remove'),
        ),
    );
  }

  /** @param {Member} member @param {string} name */
  #roles(member, name) {
    const select = el(
      'select',
      { 'aria-label': t('role.of', { who: name }), 'data-testid': 'role' },
      ...ROLES.map((role) => el('option', { value: role, selected: role === member.role }, t(`role.${role}`))),
    );
    select.addEventListener('change', async () => {
      await this.#tried(() => this.#client.setRole(this.#id, member.user, select.value), true);
      // Refused: it is as it was.
      select.value = this.#members.find((one) => one.user === member.user)?.role ?? member.role;
    });
    return select;
  }
}
