/** What this browser remembers beside the client's own storage; a private window may remember nothing. */

/**
 * @param {string} key
 * @returns {string} '' if it was not set
 */
export function remembered(key) {
  try {
    return localStorage.getItem(`cim-chat ${key}`) ?? '';
  } catch {
    return '';
  }
}

/**
 * @param {string} key
 * @param {string} value '' forgets it
 */
export function remember(key, value) {
  try {
    if (value) localStorage.setItem(`cim-chat ${key}`, value);
    else localStorage.removeItem(`cim-chat ${key}`);
  } catch {
    // It holds until the page is closed.
  }
}

/** Light or dark as the user set it; '' follows the device. */
export function theme() {
  return remembered('theme');
}

/** @param {string} name */
export function setTheme(name) {
  remember('theme', name);
  if (name) document.documentElement.dataset.theme = name;
  else delete document.documentElement.dataset.theme;
}

/**
 * Leave a draft for the page that comes in place of this one: while a page goes away its database takes nothing more.
 * @param {number} user
 * @param {string} conversation
 * @param {string} text
 */
export function leaveDraft(user, conversation, text) {
  try {
    sessionStorage.setItem('cim-chat draft', JSON.stringify({ user, conversation, text }));
  } catch {
    // What was typed until shortly before is in the database.
  }
}

/**
 * The draft that was left, if it is of this talk; it is not there any more then.
 * @param {number} user
 * @param {string} conversation
 * @returns {string | null}
 */
export function takeDraft(user, conversation) {
  try {
    const left = JSON.parse(sessionStorage.getItem('cim-chat draft') ?? 'null');
    if (left?.user !== user || left.conversation !== conversation) return null;
    forgetDraft();
    return String(left.text);
  } catch {
    return null;
  }
}

export function forgetDraft() {
  try {
    sessionStorage.removeItem('cim-chat draft');
  } catch {
    // Nothing was kept.
  }
}
