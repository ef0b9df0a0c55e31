// Requests that wait for an answer: fetched for each account as long as the page is open.
"use strict";

const shown = new Map(); // requests on the page, by id: one that two devices in this browser have is shown once
const done = new Set(); // nonces of those that were answered here: a look begun before that may bring them back
let knock = new AbortController(); // aborted: look now

// look has every account look for requests now.
function look() {
  const old = knock;
  knock = new AbortController();
  old.abort(new DOMException("look", "AbortError"));
}

// watch looks for requests of an account until it is no account of this device any more.
async function watch(account) {
  let wait = 0, failed = 0, known = []; // nonces of what waits as far as the page knows: no news
  while (accounts.get(account.device) === account) {
    const signal = knock.signal;
    try {
      const said = await call(account, "pending", { wait, known }, signal);
      away(false);
      failed = 0;
      show(account, said.requests);
      known = said.requests.map((r) => r.nonce);
      wait = 25;
      await pause(200, signal); // whatever the server holds for news
    } catch (e) {
      if (signal.aborted) {
        wait = 0;
      } else if (e instanceof Refused && e.gone) {
        await forget(account, "removed");
      } else {
        tellError(e);
        await pause(Math.min(30, 2 ** failed++) * 1000, signal);
        wait = 0;
      }
    }
  }
}

// show puts the requests of an account on the page, and takes those away that wait no more.
function show(account, list) {
  const now = new Set(list.map((r) => r.id));
  for (const [id, one] of shown) {
    if (one.account === account && !now.has(id) && !one.busy) drop(id);
  }
  for (const r of list.filter((r) => !done.has(r.nonce)).toSorted((a, b) => a.asked - b.asked)) {
    const one = shown.get(r.id);
    if (one && !one.busy && one.account === account && one.r.nonce !== r.nonce) drop(r.id); // asked anew for the same sign-in
    if (!shown.has(r.id)) add(account, r);
  }
  count();
}

function add(account, r) {
  const card = put(part("request"), { application: r.application, user: account.user, source: r.source, place: country(r.place), text: r.text, asked: time(r.asked) });
  const id = r.id;
  const one = { account, card, r, busy: false };
  shown.set(id, one);
  const field = named(card, "number", id, r.number), pin = named(card, "pin", id, r.pin);
  card.setAttribute("aria-label", say("request.title", r.application));
  on(card, "approve", "submit", () => answer(id, "approve", r.number ? field.value : undefined, r.pin ? pin.value : undefined));
  on(card, "deny", "click", () => answer(id, "deny"));
  on(card, "fraud", "click", () => answer(id, "fraud"));
  $("requests").prepend(card);
  note("said", "", "");
  $("news").textContent = say("request.new", r.application);
  if (document.hidden) notify(r.id);
}

// country is what the page's language calls a country.
const country = (code) => code && new Intl.DisplayNames(tongue, { type: "region" }).of(code);

// named returns a field of a card, joined to its label; if it is not wanted, it goes.
function named(card, name, id, wanted) {
  const field = card.querySelector(`[name=${name}]`), box = field.closest(".field");
  field.id = box.querySelector("label").htmlFor = name + "-" + id;
  if (!wanted) box.remove();
  return field;
}

// answer sends what somebody decided. A request whose answer got lost stays, to be answered again.
async function answer(id, act, number, pin) {
  const one = shown.get(id);
  one.busy = true;
  try {
    const said = await call(one.account, "answer", { id: one.r.id, nonce: one.r.nonce, act, number }, undefined, pin);
    away(false);
    done.add(one.r.nonce);
    drop(id);
    note("said", say("outcome." + said.outcome, one.r.application), said.outcome === "accepted" ? "good" : said.outcome === "denied" ? "warn" : "bad");
    if (act === "fraud" && said.outcome === "denied") note("said", say("outcome.fraud"), "warn");
    $("main").focus();
  } catch (e) {
    if (!(e instanceof Refused && e.gone)) throw e;
    await forget(one.account, "removed");
  } finally {
    one.busy = false;
    look();
  }
}

function drop(id) {
  const one = shown.get(id);
  one.card.remove();
  shown.delete(id);
  quiet(id);
  count();
}

// count says how many requests wait, and takes those away whose time is over.
function count() {
  for (const [id, one] of shown) {
    const left = Math.ceil(one.r.expires - clock.now() / 1000);
    if (left <= 0 && !one.busy) {
      drop(id);
      note("said", say("outcome.expired", one.r.application), "warn");
      continue;
    }
    one.card.querySelector(".left").textContent = say("request.left", Math.max(left, 0));
  }
  const n = shown.size;
  $("none").hidden = n > 0 || accounts.size === 0;
  document.title = (n ? `(${n}) ` : "") + document.title.replace(/^\(\d+\) /, "");
  if (n) navigator.setAppBadge?.(n).catch(() => {});
  else navigator.clearAppBadge?.().catch(() => {});
}
