/** Settings of this browser, such as the language; a private window may have none. */

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
