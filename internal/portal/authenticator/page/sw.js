// The service worker: keeps the app on this device, so that codes are shown without a server, and
// tells of requests while no page is open. It is made for each language and version.
"use strict";

importScripts({{range $i, $f := .Shared}}{{if $i}}, {{end}}{{js $f}}{{end}});

const cacheName = "authenticator-" + {{js .Version}};
const home = "/authenticator/";
const files = [home{{range .Files}}, {{js .}}{{end}}];

self.addEventListener("install", (e) => e.waitUntil(install()));
self.addEventListener("activate", (e) => e.waitUntil(takeOver()));
self.addEventListener("fetch", (e) => {
  const at = new URL(e.request.url);
  if (e.request.method !== "GET" || at.origin !== location.origin || !at.pathname.startsWith(home) || at.pathname.startsWith(home + "api/")) return;
  if (e.request.mode === "navigate") e.respondWith(page(e));
  else e.respondWith(file(e.request));
});

async function install() {
  await (await caches.open(cacheName)).addAll(files);
  await self.skipWaiting();
}

async function takeOver() {
  for (const name of await caches.keys()) {
    if (name.startsWith("authenticator-") && name !== cacheName) await caches.delete(name);
  }
  await self.clients.claim();
}

// page is the server's, so that a newer one is there at once; the kept one if the server does not
// answer soon, or not as it should.
async function page(e) {
  const cache = await caches.open(cacheName);
  const fresh = fetch(e.request).then(async (answer) => {
    if (answer.ok && answer.type === "basic" && new URL(e.request.url).pathname === home) await cache.put(home, answer.clone());
    return answer;
  });
  e.waitUntil(fresh.catch(() => {}));
  const soon = await Promise.race([fresh.catch(() => null), new Promise((done) => setTimeout(done, 4000, null))]);
  if (soon && soon.status < 500) return soon;
  return (await cache.match(home)) ?? fresh;
}

async function file(request) {
  return (await caches.match(request)) ?? fetch(request);
}

self.addEventListener("push", (e) => e.waitUntil(pushed(e.data)));

// pushed tells of a request. What it is about the server says to the page alone, so that no lock
// screen shows it. Somebody who looks at the page already sees it there.
async function pushed(data) {
  let id = "request";
  try { id = String(data.json().id); } catch { /* it is told of all the same */ }
  const pages = await open();
  for (const p of pages) p.postMessage("look");
  if (pages.some((p) => p.focused)) return;
  await self.registration.showNotification({{js (t "say.notify.title")}}, { body: {{js (t "say.notify.body")}}, tag: id, renotify: true, requireInteraction: true, icon: {{js .Icon}}, lang: {{js (t "language")}} });
}

self.addEventListener("notificationclick", (e) => {
  e.notification.close();
  e.waitUntil(openPage());
});

async function openPage() {
  const [page] = await open();
  return page ? page.focus() : self.clients.openWindow(home);
}

// open are the pages of this app that are open; the portal's are no place to answer.
async function open() {
  const all = await self.clients.matchAll({ type: "window", includeUncontrolled: true });
  return all.filter((p) => new URL(p.url).pathname === home);
}

// The push service gives this browser another address now and then.
self.addEventListener("pushsubscriptionchange", (e) => e.waitUntil((async () => {
  const s = e.newSubscription ?? (e.oldSubscription && await self.registration.pushManager.subscribe(e.oldSubscription.options));
  if (!s) return;
  for (const account of await store.all("accounts")) await subscribed(account, s).catch(() => {});
})()));
