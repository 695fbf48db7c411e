/** Being notified while no page is open: the service worker, and the subscription of this browser (docs/push.md). */

import { bytesOf } from '../cim/packets.js';
import { t } from './texts.js';

/** @typedef {import('../cim/types.js').Client} Client */

/** Whether this browser can. */
export const canPush = () => isSecureContext && 'serviceWorker' in navigator && 'PushManager' in window;

/** Where the service worker is, with what it says. */
function address() {
  const words = { new: t('push.new'), somebody: t('push.somebody'), where: t('push.where') };
  return `/worker.js?words=${encodeURIComponent(JSON.stringify(words))}`;
}

/** Have this browser notified, or renew that; it may fail while the push service cannot be reached.
 * @param {Client} client */
export async function startPush(client) {
  const { push } = /** @type {{ push?: Record<string, string> }} */ (await client.about());
  if (!push?.webpush) return;
  const registration = await navigator.serviceWorker.register(address(), { scope: '/' });
  const key = bytesOf(push.webpush.replace(/-/g, '+').replace(/_/g, '/'));
  const subscription = await subscribed(registration.pushManager, new Uint8Array(key));
  const { endpoint, keys } = subscription.toJSON();
  await client.registerPush({ kind: 'webpush', address: endpoint ?? '', keys });
}

/** @param {PushManager} manager @param {Uint8Array<ArrayBuffer>} key */
async function subscribed(manager, key) {
  const wanted = { userVisibleOnly: true, applicationServerKey: key };
  const before = await manager.getSubscription();
  const its = before?.options.applicationServerKey;
  if (before && its && new Uint8Array(its).toString() === key.toString()) return before;
  // One with a key that is not used any more brings nothing.
  await before?.unsubscribe();
  return manager.subscribe(wanted);
}

/** No longer have this browser notified; the system learns it by the logout, or when it pushes the next time. */
export async function stopPush() {
  if (!canPush()) return;
  const registration = await navigator.serviceWorker.getRegistration('/');
  await (await registration?.pushManager.getSubscription())?.unsubscribe();
  await registration?.unregister();
}

/** Close what is shown of a talk: it has been read.
 * @param {string} conversation */
export async function closeShown(conversation) {
  const registration = canPush() ? await navigator.serviceWorker.getRegistration('/') : undefined;
  for (const shown of (await registration?.getNotifications({ tag: conversation })) ?? []) shown.close();
}

/** Hear which talk a click on a notification opens.
 * @param {(conversation: string) => void} open
 * @returns {() => void} ends it */
export function onOpen(open) {
  if (!canPush()) return () => {};
  const heard = (/** @type {MessageEvent} */ { data }) => {
    if (typeof data?.open === 'string') open(data.open);
  };
  navigator.serviceWorker.addEventListener('message', heard);
  return () => navigator.serviceWorker.removeEventListener('message', heard);
}
