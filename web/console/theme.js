/** Light or dark: as the system says, until somebody says otherwise here. */

const KEPT = 'cim-console-theme';

/** Use what was chosen before, if anything. */
export function useTheme() {
  try {
    const kept = localStorage.getItem(KEPT);
    if (kept === 'light' || kept === 'dark') document.documentElement.dataset.theme = kept;
  } catch {
    // No storage: the system's it is.
  }
}

/** Use the other one. */
export function switchTheme() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
  root.dataset.theme = dark ? 'light' : 'dark';
  try {
    localStorage.setItem(KEPT, root.dataset.theme);
  } catch {
    // It lasts as long as the page.
  }
}
