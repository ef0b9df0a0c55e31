// How somebody learns of a request while they look elsewhere: through the push service of their
// browser's maker, or, where that is not reached, from this page as long as it is open.
"use strict";

const canNotify = "Notification" in window && "serviceWorker" in navigator;

const worker = canNotify || "serviceWorker" in navigator ? navigator.serviceWorker.ready : new Promise(() => {});

// notify tells of a request in the way of the operating system.
async function notify(id) {
  if (!canNotify || Notification.permission !== "granted") return;
  (await worker).showNotification(say("notify.title"), { body: say("notify.body"), tag: id, icon: $("icon").href, requireInteraction: true });
}

// quiet takes the notification of a request away.
async function quiet(id) {
  if (!canNotify) return;
  for (const n of await (await worker).getNotifications({ tag: id })) n.close();
}

// subscribe has the browser's push service reach this device, for every account.
async function subscribe() {
  const first = accounts.values().next().value;
  if (!canNotify || Notification.permission !== "granted" || !first) return;
  if (!("PushManager" in window) || !first.vapid) return note("push", say("push.here"), "");
  try {
    const registration = await worker;
    let s = await registration.pushManager.getSubscription();
    if (s && base64(s.options.applicationServerKey) !== first.vapid) {
      await s.unsubscribe();
      s = null;
    }
    s ??= await registration.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: first.vapid });
    for (const account of accounts.values()) await subscribed(account, s);
    note("push", "", "");
  } catch (e) {
    if (e instanceof Refused && e.gone) return; // the watch finds that out too
    note("push", e instanceof Away ? "" : say("push.here"), "");
  }
}

// offer shows what can be done about notifications.
function offer() {
  const there = accounts.size > 0;
  const state = canNotify ? Notification.permission : "none";
  $("ask").hidden = !there || state !== "default";
  if (there && state === "denied") note("push", say("push.denied"), "");
  if (there && state === "none") note("push", say("push.none"), "");
}
