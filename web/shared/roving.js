/** Arrow keys among things of one kind: one of them is in the order of Tab, and the arrows go on from there. */

/**
 * @param {HTMLElement} box what they are in
 * @param {string} selector which they are
 * @param {{ columns?: () => number }} [form] how many stand in a row; without it they are a list
 */
export function roving(box, selector, { columns } = {}) {
  const all = () => /** @type {HTMLElement[]} */ ([...box.querySelectorAll(selector)]);
  box.addEventListener('keydown', (event) => {
    const target = event.target instanceof Element ? event.target.closest(selector) : null;
    if (!target || target !== event.target || event.altKey || event.ctrlKey || event.metaKey) return;
    const items = all();
    const next =
      items[nextPlace(event.key, items.indexOf(/** @type {HTMLElement} */ (target)), items.length, columns?.())];
    if (!next) return;
    event.preventDefault();
    next.focus();
  });
  box.addEventListener('focusin', (event) => {
    const target = event.target instanceof Element ? event.target.closest(selector) : null;
    if (target) settle(all(), /** @type {HTMLElement} */ (target));
  });
}

/**
 * Leave exactly one in the order of Tab: `wanted`, or else the one that was, or the first.
 * @param {HTMLElement[]} items
 * @param {HTMLElement | null} [wanted]
 */
export function settle(items, wanted) {
  const one = wanted && items.includes(wanted) ? wanted : (items.find((item) => item.tabIndex === 0) ?? items[0]);
  for (const item of items) {
    const order = item === one ? 0 : -1;
    if (item.tabIndex !== order || !item.hasAttribute('tabindex')) item.tabIndex = order;
  }
}

/**
 * Where a key leads from place `at` of `count`; -1 if nowhere. Pure.
 * @param {string} key
 * @param {number} at
 * @param {number} count
 * @param {number} [columns]
 * @returns {number}
 */
export function nextPlace(key, at, count, columns) {
  /** @type {Record<string, number>} */
  const steps = columns
    ? { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }
    : { ArrowUp: -1, ArrowDown: 1, PageUp: -8, PageDown: 8 };
  if (key === 'Home') return count ? 0 : -1;
  if (key === 'End') return count - 1;
  const step = steps[key];
  if (step === undefined || at < 0) return -1;
  if (key.startsWith('Page')) return Math.max(0, Math.min(count - 1, at + step));
  const place = at + step;
  return place >= 0 && place < count ? place : -1;
}
