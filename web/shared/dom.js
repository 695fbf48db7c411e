/** Elements, built by calls. Whatever a child says becomes text: there is no way from here to markup. */

/**
 * @typedef {Node | string | number | null | undefined | false} Child
 * @typedef {Record<string, unknown>} Attributes
 */

/**
 * Make an element: `el('button', { class: 'plain', 'aria-label': 'Send', onclick: send }, 'Send')`.
 * A function under `on…` is a listener, `true` an empty attribute; false, null and undefined are left out.
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Attributes} [attributes]
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  set(made, attributes);
  made.append(...nodes(children));
  return made;
}

/**
 * Put these children in place of those that are there.
 * @param {Element} parent
 * @param {...Child} children
 */
export function fill(parent, ...children) {
  parent.replaceChildren(...nodes(children));
}

/**
 * @param {Element} made
 * @param {Attributes} attributes
 */
function set(made, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === 'function') {
      made.addEventListener(name.slice(2), /** @type {EventListener} */ (value));
    } else if (name.startsWith('on') || name === 'style') {
      throw new TypeError(`${name} must not be a text: it would be a script or a style in the page`);
    } else if (value !== false && value !== null && value !== undefined) {
      made.setAttribute(name, value === true ? '' : String(value));
    }
  }
}

/**
 * @param {Child[]} children
 * @returns {(Node | string)[]}
 */
function nodes(children) {
  /** @type {(Node | string)[]} */
  const found = [];
  for (const child of children) {
    if (child instanceof Node) found.push(child);
    else if (child !== null && child !== undefined && child !== false) found.push(String(child));
  }
  return found;
}

/**
 * A picture of one colour, drawn with lines in a square of 24: `path` as SVG writes it. Readers of screens skip it.
 * @param {string} path
 * @returns {SVGSVGElement}
 */
export function drawing(path) {
  const space = 'http://www.w3.org/2000/svg';
  const picture = document.createElementNS(space, 'svg');
  picture.setAttribute('viewBox', '0 0 24 24');
  picture.setAttribute('class', 'drawing');
  picture.setAttribute('aria-hidden', 'true');
  const line = document.createElementNS(space, 'path');
  line.setAttribute('d', path);
  picture.append(line);
  return picture;
}

/**
 * Return a function that has `run` called once in the next frame, however often it is called until then.
 * In a hidden page there are no frames, so there it is a quarter of a second.
 * @param {() => void} run
 * @param {number} [pause] ms from one run to the next at least
 * @returns {() => void}
 */
export function perFrame(run, pause = 0) {
  let due = false;
  let last = -Infinity;
  const now = () => {
    if (!due) return;
    due = false;
    last = performance.now();
    run();
  };
  const frame = () => {
    if (document.hidden) setTimeout(now, 250);
    else {
      requestAnimationFrame(now);
      // The page may be hidden before its next frame.
      setTimeout(now, 1000);
    }
  };
  return () => {
    if (due) return;
    due = true;
    const wait = last + pause - performance.now();
    if (wait > 0) setTimeout(frame, wait);
    else frame();
  };
}
