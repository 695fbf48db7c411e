// One tab leads: it holds the connection, and the others follow.
//
// There are no locks without a secure context, so tabs elect by a channel. Who comes asks who leads; when nobody answers,
// it claims to lead, and does if nobody objects. Followers go on asking, and claim when the leader leaves or does not
// answer twice. That works with a leader in a hidden tab, whose timers are slow: it only answers.
//
// Each claim has a term above all terms before it. Of two leaders, as after one was frozen, the one with the higher term
// stays, and of the same term the one with the lower id.

/** How long an answer may take, and how long others may object to a claim, in ms. */
const ANSWER = 80;
/** How often followers ask. */
const ASK = 400;
/** After so many questions without an answer the leader is gone. */
const UNANSWERED = 2;

/** @typedef {{ kind: 'ask' | 'claim' | 'lead' | 'bye', from: string, term?: number }} Word */

export class Election {
  #ports;
  #post;
  #changed;
  #id;
  #term = 0;
  /** Who leads, as far as this tab knows. */
  #leader = '';
  #unanswered = 0;
  #claiming = false;
  #over = false;
  /** @type {() => void} */
  #stop = () => {};

  /**
   * @param {Pick<import('./ports.js').Ports, 'later' | 'random'>} ports
   * @param {string} id of this tab
   * @param {(word: Word) => void} post
   * @param {(leads: boolean, leader: string) => void} changed called when another tab leads, this one included
   */
  constructor(ports, id, post, changed) {
    this.#ports = ports;
    this.#id = id;
    this.#post = post;
    this.#changed = changed;
  }

  get leads() {
    return this.#leader === this.#id;
  }

  start() {
    this.#say('ask');
    this.#plan(ANSWER, () => this.#claim());
  }

  /** Take part no longer. */
  leave() {
    if (this.#over) return;
    this.#over = true;
    this.#stop();
    this.#say('bye');
    this.#leader = '';
  }

  /** Ask who leads, and resolve when there was time to answer: whether it is another tab.
   * @returns {Promise<boolean>} */
  async another() {
    this.#say('ask');
    await new Promise((resolve) => this.#ports.later(3 * ANSWER, () => resolve(undefined)));
    return !this.leads;
  }

  /** Another tab said something.
   * @param {Word} word */
  heard({ kind, from, term = 0 }) {
    if (this.#over || from === this.#id) return;
    if (kind === 'lead') this.#other(from, term);
    else if (kind === 'bye') {
      if (from === this.#leader) this.#claim();
    } else if (this.leads) this.#say('lead');
    else if (kind === 'claim' && this.#yields(from, term)) {
      this.#claiming = false;
      this.#term = term;
      this.#plan(ASK, () => this.#ask());
    }
  }

  /** @param {string} from
   * @param {number} term */
  #other(from, term) {
    if (this.leads && !this.#yields(from, term)) {
      this.#say('lead');
      return;
    }
    const isNew = this.#leader !== from;
    this.#leader = from;
    this.#term = Math.max(this.#term, term);
    this.#unanswered = 0;
    if (isNew || this.#claiming) this.#plan(ASK, () => this.#ask());
    this.#claiming = false;
    if (isNew) this.#changed(false, from);
  }

  /** Whether another one's claim is better than that of this tab.
   * @param {string} from
   * @param {number} term */
  #yields(from, term) {
    return term > this.#term || (term === this.#term && from < this.#id);
  }

  #ask() {
    if (this.#unanswered >= UNANSWERED || !this.#leader) {
      this.#claim();
      return;
    }
    this.#unanswered += 1;
    this.#say('ask');
    this.#plan(ASK, () => this.#ask());
  }

  #claim() {
    this.#leader = '';
    this.#claiming = true;
    this.#unanswered = 0;
    this.#term += 1;
    this.#say('claim');
    this.#plan(ANSWER, () => {
      this.#claiming = false;
      this.#leader = this.#id;
      this.#say('lead');
      this.#changed(true, this.#id);
    });
  }

  /** @param {Word['kind']} kind */
  #say(kind) {
    this.#post({ kind, from: this.#id, term: this.#term });
  }

  /** @param {number} ms
   * @param {() => void} action */
  #plan(ms, action) {
    this.#stop();
    this.#stop = this.#ports.later(ms, () => {
      if (!this.#over) action();
    });
  }
}
