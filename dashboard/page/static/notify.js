// Notifications: asked for by the reader, through the browser's own push service; they say that a case is urgent, never
// which. Without HTTPS, or where the server sends none, there is nothing to switch on.
import { wish } from "./server.js";

export function canNotify(me) {
  return Boolean(me?.push_key && me.may_sign && "serviceWorker" in navigator && "PushManager" in globalThis && "Notification" in globalThis);
}

async function subscription() {
  const worker = await navigator.serviceWorker.ready;
  return worker.pushManager.getSubscription();
}

export async function isNotified(me) {
  return canNotify(me) && Notification.permission === "granted" && (await subscription()) !== null;
}

/** Switches notifications on; "" or why not. */
export async function notifyMe(me) {
  if ((await Notification.requestPermission()) !== "granted") return "This browser does not allow notifications from this page.";
  try {
    const worker = await navigator.serviceWorker.ready;
    const made = (await worker.pushManager.getSubscription()) ?? (await worker.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: bytes(me.push_key) }));
    const { endpoint, keys } = made.toJSON();
    return (await wish("/api/push/subscribe", { endpoint, p256dh: keys.p256dh, auth: keys.auth })).error;
  } catch (error) {
    return `The browser's push service cannot be reached: ${error.message}`;
  }
}

/** Switches them off in this browser. */
export async function notifyMeNot() {
  const known = await subscription().catch(() => null);
  if (!known) return;
  await wish("/api/push/unsubscribe", { endpoint: known.endpoint });
  await known.unsubscribe();
}

function bytes(text) {
  const plain = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(plain, (one) => one.charCodeAt(0));
}
