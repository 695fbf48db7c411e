/**
 * The service worker: shows what is pushed while no page of the chat is in sight (docs/push.md).
 *
 * It is served at /worker.js, so that it may look after all pages of the origin, and imports nothing: its words come in
 * its own address, from texts.js.
 */

// TypeScript's library of pages has no types for it.
const worker = /** @type {any} */ (self);

/** @type {Record<string, string>} */
const words = JSON.parse(new URL(worker.location.href).searchParams.get('words') ?? '{}');

/** The pages of the chat that are open. @returns {Promise<any[]>} */
async function pages() {
  const open = await worker.clients.matchAll({ type: 'window', includeUncontrolled: true });
  return open.filter((/** @type {any} */ page) => new URL(page.url).pathname === '/');
}

/** Without what turns the direction of text, and what is not seen.
 * @param {unknown} text */
function plain(text) {
  return String(text ?? '')
    .replace(/[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]|[\u{e0000}-\u{e007f}]/gu, ' ')
    .slice(0, 300);
}

/** @param {any} notice */
async function show(notice) {
  const tag = String(notice.conversation ?? '');
  if (worker.navigator.setAppBadge) {
    const badge = Number(notice.badge) || 0;
    await (badge ? worker.navigator.setAppBadge(badge) : worker.navigator.clearAppBadge()).catch(() => {});
  }
  if (notice.read) {
    for (const shown of await worker.registration.getNotifications({ tag })) shown.close();
    return;
  }
  if ((await pages()).some((page) => page.visibilityState === 'visible')) return;
  const who = plain(notice.sender_name) || words.somebody || 'CIM';
  const title = notice.group_name ? (words.where ?? '{who}').replace('{who}', () => who).replace('{where}', () => plain(notice.group_name)) : who;
  const options = { body: plain(notice.text) || words.new || '', tag, renotify: true, data: { conversation: tag } };
  await worker.registration.showNotification(title, options);
}

/** Bring a page to the front, or open one, at a talk.
 * @param {string} conversation */
async function open(conversation) {
  const [page] = (await pages()).sort((one, other) => Number(other.focused) - Number(one.focused));
  if (!page) return worker.clients.openWindow(`/#/${conversation}`);
  page.postMessage({ open: conversation });
  return page.focus();
}

/** The browser has another subscription: tell it, as whoever the page's cookie is of.
 * @param {any} event */
async function changed(event) {
  const before = event.oldSubscription;
  const now = event.newSubscription ?? (before && (await worker.registration.pushManager.subscribe(before.options)));
  if (!now) return;
  const { endpoint, keys } = now.toJSON();
  const headers = { 'Content-Type': 'application/json' };
  const body = JSON.stringify({ kind: 'webpush', address: endpoint, keys });
  await fetch('/v1/pushes', { method: 'PUT', headers, body });
}

worker.addEventListener('push', (/** @type {any} */ event) => {
  let notice = null;
  try {
    notice = event.data?.json();
  } catch {
    // Nothing of ours.
  }
  if (notice && typeof notice === 'object') event.waitUntil(show(notice));
});
worker.addEventListener('notificationclick', (/** @type {any} */ event) => {
  event.notification.close();
  event.waitUntil(open(String(event.notification.data?.conversation ?? '')));
});
worker.addEventListener('pushsubscriptionchange', (/** @type {any} */ event) => event.waitUntil(changed(event)));
// A newer one is as good for pages that are open.
worker.addEventListener('install', () => worker.skipWaiting());
