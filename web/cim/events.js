// Who listens to what: a listener that throws is reported and harms nobody else.

/** @typedef {import('./types.js').Events} Events */
/** @typedef {<E extends keyof Events>(event: E, value: Events[E]) => void} Tell */

export class Listeners {
  /** @type {Map<string, Set<(value: any) => void>>} */
  #listeners = new Map();

  /**
   * @template {keyof Events} E
   * @param {E} event
   * @param {(value: Events[E]) => void} listener
   * @returns {() => void} takes the listener away
   */
  on(event, listener) {
    const there = this.#listeners.get(event) ?? new Set();
    this.#listeners.set(event, there);
    there.add(listener);
    return () => there.delete(listener);
  }

  /**
   * @template {keyof Events} E
   * @param {E} event
   * @param {Events[E]} value
   */
  tell(event, value) {
    for (const listener of [...(this.#listeners.get(event) ?? [])]) {
      try {
        listener(value);
      } catch (error) {
        console.error(`a listener of ${event} failed`, error);
      }
    }
  }
}
