/** Invitations to groups, which wait above the list of talks for an answer. */

import { el, fill } from '../shared/dom.js';
import { shownName } from '../shared/visible.js';
import { count, t } from './texts.js';

/**
 * @typedef {import('../cim/types.js').Client} Client
 * @typedef {import('../cim/types.js').Conversation} Conversation
 * @typedef {import('../cim/types.js').Invitation} Invitation
 */

export class Invitations {
  /** By the group. @type {Map<number, Invitation>} */
  #waiting = new Map();
  #client;
  #open;
  #failed;

  /**
   * @param {Client} client
   * @param {(conversation: Conversation) => void} open the talk of a group that was joined
   * @param {(error: unknown) => void} failed
   */
  constructor(client, open, failed) {
    this.#client = client;
    this.#open = open;
    this.#failed = failed;
    this.node = el('ul', { class: 'invitations', 'aria-label': t('invitations') });
  }

  /** Show those that came before. */
  async start() {
    const all = await this.#client.invitations().catch(() => []);
    for (const one of all) this.add(one);
  }

  /** @param {Invitation} invitation */
  add(invitation) {
    this.#waiting.set(invitation.group.id, invitation);
    this.#draw();
  }

  #draw() {
    fill(this.node, ...[...this.#waiting.values()].map((one) => this.#one(one)));
  }

  /**
   * @param {number} group
   * @param {() => Promise<void>} run
   */
  async #answer(group, run) {
    try {
      await run();
    } catch (error) {
      this.#failed(error);
      // Without a connection it waits on; otherwise it is not there any more.
      if (/** @type {{ code?: string }} */ (error).code === 'unreachable') return;
    }
    this.#waiting.delete(group);
    this.#draw();
  }

  /** @param {Invitation} invitation */
  #one({ group, by }) {
    const { id } = group;
    const accept = () =>
      this.#answer(id, async () => {
        await this.#client.join(id);
        this.#open(`g:${id}`);
      });
    const decline = () => this.#answer(id, () => this.#client.decline(id));
    return el(
      'li',
      { class: 'invitation', 'data-testid': 'invitation', 'data-group': id },
      el('p', {}, t('invitation', { who: shownName(by.name), group: shownName(group.name) })),
      el('p', { class: 'faint small' }, count('members', group.members)),
      el(
        'div',
        { class: 'row' },
        el('button', { type: 'button', class: 'main', 'data-testid': 'accept', onclick: accept }, t('accept')),
        el('button', { type: 'button', 'data-testid': 'decline', onclick: decline }, t('decline')),
      ),
    );
  }
}
