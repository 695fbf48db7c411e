/** Texts and names of others, made harmless: they neither steer what stands around them nor hide anything. Pure. */

/** @param {string} one */
const byNumber = (one) => `<U+${(one.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}>`;

// Controls (but tab and line feed), marks and formats of direction, ends of lines that are none here, and what nobody
// sees: tags, but in the flag of a region, and selectors of variants, but behind an ideograph.
const STEERING =
  /(\u{1F3F4}[\u{E0030}-\u{E0039}\u{E0061}-\u{E007A}]{1,6}\u{E007F})|[\0-\x08\x0B-\x1F\x7F-\x9F\u061C\u200E\u200F\u2028-\u202E\u2066-\u206F\uFFF9-\uFFFB\u{E0000}-\u{E00FF}\u{E01F0}-\u{E0FFF}]|(?<!\p{Ideographic})[\u{E0100}-\u{E01EF}]/gu;

/**
 * Return a text as people see it, over several lines. Lone surrogates, which are no characters, become U+FFFD.
 * @param {string} text
 * @returns {string}
 */
export function visibleText(text) {
  return text.replace(/\p{Cs}/gu, '\uFFFD').replace(STEERING, (one, flag) => flag || byNumber(one));
}

// Whatever stands in these has its place there, joiners and all.
const EMOJI =
  /(?:\p{Extended_Pictographic}\uFE0F?\p{Emoji_Modifier}?\u200D?)*\p{Extended_Pictographic}\uFE0F?\p{Emoji_Modifier}?|[#*0-9]\uFE0F\u20E3/gu;
// What nobody sees, and what ends a name or looks like that: names of earlier days may hold it.
const MISLEADING =
  /[\p{C}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\u2800\uFFFC\u{1107F}\u{16FE4}\u{1BC9D}\u{1D159}\u{1DA7F}\u{1DA80}:\[\]"\uFF1A\uFE55\uFE13\uFF3B\uFF3D\uFE47\uFE48\uFF02\u02D0\u02F8\u0589\u05C3\u0703\u0704\u1361\u16EC\u1803\u1809\u205A\u2236\uA789]|<(?=U\+)/giu;

/**
 * Return a name as people see it, in one line; no two names are shown alike.
 * @param {string} name
 * @returns {string}
 */
export function shownName(name) {
  let end = 0;
  let shown = '';
  for (const found of name.matchAll(EMOJI)) {
    shown += name.slice(end, found.index).replace(MISLEADING, byNumber) + found[0];
    end = found.index + found[0].length;
  }
  return (shown + name.slice(end).replace(MISLEADING, byNumber)).replace(/^\s|\s$/gu, byNumber);
}
