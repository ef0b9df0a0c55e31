// The app as a whole.
"use strict";

// start shows what this device keeps. A link that brought a code has it in its fragment, which no
// server sees, and which goes from the address bar at once.
async function start() {
  const brought = location.hash.slice(1);
  if (brought) history.replaceState(null, "", location.pathname);
  $("name").value = deviceName();
  wire();
  if (!window.isSecureContext || !window.crypto?.subtle || !window.indexedDB || !("serviceWorker" in navigator)) {
    return note("said", say("browser.unfit"), "bad");
  }
  await settle();
  try {
    for (const one of await store.all("codes")) list(one);
    for (const one of await store.all("accounts")) begin(one);
  } catch {
    return note("said", say("keys.none"), "bad");
  }
  const lost = kept.names();
  if (accounts.size === 0 && lost.length) note("said", say("keys.lost", lost.join(", ")), "bad");
  else kept.save();
  $("add").open = accounts.size === 0 || brought !== "";
  if (brought) {
    try { $("code").value = decodeURIComponent(brought); } catch { $("code").value = brought; }
    $("name").focus();
  }
  $("no-codes").hidden = codes.size > 0;
  count();
  offer();
  subscribe();
  setInterval(() => { count(); tick(); }, 1000);
  document.body.dataset.ready = "yes";
}

// wire has the page do what it offers.
function wire() {
  on($("add"), "activate", "submit", take);
  on($("add-code"), "add-code", "submit", addCode);
  on(document.body, "ask", "click", async () => {
    await Notification.requestPermission();
    offer();
    await subscribe();
  });
  on($("camera"), "close", "click", () => $("camera").close());
  on($("update"), "update", "click", () => location.reload());
  canScan().then((can) => {
    for (const e of document.querySelectorAll("[data-scan]")) {
      e.hidden = !can;
      on(e, "scan", "click", scanned);
    }
  });
  addEventListener("online", look);
  addEventListener("hashchange", () => location.hash.length > 1 && location.reload()); // another link, while the app was open
  document.addEventListener("visibilitychange", () => { if (!document.hidden) { look(); tick(); } });
}

// settle has the service worker keep the app on this device, and offers a newer one when there is.
async function settle() {
  const workers = navigator.serviceWorker;
  const before = workers.controller;
  workers.addEventListener("message", look); // a push came
  workers.addEventListener("controllerchange", () => { $("update").hidden = !before; });
  try {
    const registration = await workers.register("/authenticator/sw.js", { scope: "/authenticator/", updateViaCache: "none" });
    setInterval(() => registration.update().catch(() => {}), 3_600_000);
  } catch { /* away, and it is there from before; or it works without */ }
}

start();
