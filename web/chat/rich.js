/** What a text is made of: words, links, and code. Pure; everything else that looks like markup is words. */

/** @typedef {{ kind: 'words' | 'link' | 'code' | 'block', text: string }} Part */

const BLOCK = /```(?:[\w+#.-]*\n)?([\s\S]+?)\n?```\n?/g;
// Chinese signs end an address as spaces do: there they stand right behind it.
const INLINE = /`([^`\n]+)`|https?:\/\/[^\s<>"`“”‘’，。；：！？（）【】《》「」『』、]{1,2000}/gi;

/**
 * @param {string} text
 * @returns {Part[]}
 */
export function parts(text) {
  /** @type {Part[]} */
  const found = [];
  let end = 0;
  for (const block of text.matchAll(BLOCK)) {
    inline(text.slice(end, block.index), found);
    found.push({ kind: 'block', text: block[1] });
    end = block.index + block[0].length;
  }
  inline(text.slice(end), found);
  return found;
}

/**
 * @param {string} text
 * @param {Part[]} found
 */
function inline(text, found) {
  let end = 0;
  for (const one of text.matchAll(INLINE)) {
    const link = one[1] === undefined ? address(one[0]) : '';
    if (one[1] === undefined && !link) continue;
    if (one.index > end) found.push({ kind: 'words', text: text.slice(end, one.index) });
    found.push(link ? { kind: 'link', text: link } : { kind: 'code', text: one[1] });
    end = one.index + (link ? link.length : one[0].length);
  }
  if (end < text.length) found.push({ kind: 'words', text: text.slice(end) });
}

/**
 * Return the part of `text` that is an address of http or https, without signs that end the sentence; '' if it is none,
 * or names a user.
 * @param {string} text
 * @returns {string}
 */
export function address(text) {
  let open = 0;
  for (const one of text) open += one === '(' ? 1 : one === ')' ? -1 : 0;
  let end = text.length;
  for (; end > 0; end -= 1) {
    const last = text[end - 1];
    if (last === ')' && open < 0) open += 1;
    else if (!/[.,;:!?'*_~\]}]/.test(last)) break;
  }
  const link = text.slice(0, end);
  try {
    const { protocol, hostname, username, password } = new URL(link);
    // What stands before an @ is taken for the host: https://bank.example@elsewhere.example.
    return /^https?:$/.test(protocol) && hostname && !username && !password ? link : '';
  } catch {
    return '';
  }
}

// Written as a text: what does not know this kind of expression, as some tools do not, must not fail to read the page.
const ONLY_EMOJI = new RegExp('^(?:\\s*\\p{RGI_Emoji}\\s*){1,3}$', 'v');

/**
 * Whether a text is up to three emoji and nothing else, which are shown large.
 * @param {string} text
 * @returns {boolean}
 */
export function onlyEmoji(text) {
  return text.length <= 40 && ONLY_EMOJI.test(text);
}

/**
 * The beginning of a long text: whole lines if possible, at most `characters` and `lines`; null if it is not long.
 * @param {string} text
 * @param {number} [characters]
 * @param {number} [lines]
 * @returns {string | null}
 */
export function beginning(text, characters = 3000, lines = 40) {
  let at = -1;
  for (let line = 0; line < lines; line += 1) {
    at = text.indexOf('\n', at + 1);
    if (at < 0) break;
  }
  const cut = at < 0 ? text.length : at;
  if (cut <= characters) return cut < text.length ? text.slice(0, cut) : null;
  // Not between the two halves of a character.
  return text.slice(0, characters).replace(/[\uD800-\uDBFF]$/, '');
}
