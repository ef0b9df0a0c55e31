// Accounts that this device approves sign-ins of.
"use strict";

const accounts = new Map(); // by device id

// Beside the database the browser keeps a list of what should be in it, so that it shows if the
// database is lost.
const kept = {
  names() { try { return JSON.parse(localStorage.getItem("accounts")) ?? []; } catch { return []; } },
  save() { try { localStorage.setItem("accounts", JSON.stringify([...accounts.values()].map((a) => a.user))); } catch { /* it keeps nothing */ } },
};

// begin takes an account on.
function begin(account) {
  accounts.set(account.device, account);
  const row = put(part("account"), { user: account.user, group: account.group, since: new Date(account.since).toLocaleDateString(tongue, { dateStyle: "medium" }) });
  row.id = "account-" + account.device;
  on(row, "remove", "click", async () => {
    try {
      await call(account, "remove", {});
    } catch (e) {
      if (e instanceof Refused && e.status === 403) return note("said", e.last ? say("account.last", account.user) : say("account.stays", account.user), "bad");
      if (!(e instanceof Refused && e.gone || e instanceof Unsigned)) throw e;
    }
    await forget(account, "left");
  });
  $("accounts").append(row);
  $("accounts").hidden = false;
  offer();
  watch(account);
}

// forget drops an account and says why: it was removed elsewhere, or here.
async function forget(account, why) {
  if (accounts.get(account.device) !== account) return;
  accounts.delete(account.device);
  kept.save();
  show(account, []);
  $("account-" + account.device).remove();
  $("accounts").hidden = accounts.size === 0;
  if (accounts.size === 0) {
    $("add").open = true;
    const s = await (await navigator.serviceWorker?.getRegistration())?.pushManager?.getSubscription();
    s?.unsubscribe();
  }
  offer();
  note("said", say("account." + why, account.user), why === "left" ? "good" : "bad");
  await store.remove("accounts", account.device);
}

// codeOf finds the activation code in what somebody typed or scanned: the code, or the link that
// ends in it. Of a link to another server it throws.
function codeOf(given) {
  const s = given.trim();
  if (!/^https?:/i.test(s)) return s.replace(/\s/g, "");
  let link;
  try { link = new URL(s); } catch { throw new Error("activate.bad"); }
  if (link.origin !== location.origin) throw Object.assign(new Error("activate.elsewhere"), { host: link.host });
  return decodeURIComponent(link.hash.slice(1)).replace(/\s/g, "");
}

// deviceName is what this device may be called.
function deviceName() {
  const agent = navigator.userAgent;
  const find = (all) => all.find(([mark]) => agent.includes(mark))?.[1];
  const browser = find([["Edg", "Edge"], ["OPR", "Opera"], ["Firefox", "Firefox"], ["FxiOS", "Firefox"], ["CriOS", "Chrome"], ["Chrome", "Chrome"], ["Safari", "Safari"]]);
  const system = find([["Android", "Android"], ["iPhone", "iPhone"], ["iPad", "iPad"], ["Windows", "Windows"], ["Mac", "Mac"], ["CrOS", "ChromeOS"], ["Linux", "Linux"]]);
  return [system, browser].filter(Boolean).join(", ");
}

// take activates this device by what is in the form.
async function take() {
  let code;
  try {
    code = codeOf($("code").value);
  } catch (e) {
    return note("said", say(e.message, e.host), "bad");
  }
  if (!code) return note("said", say("activate.bad"), "bad");
  try {
    const made = await activate(code, $("name").value.trim());
    away(false);
    if (made.totp) await keep(await totp.parse(made.totp));
    begin(made.account);
    kept.save();
    $("code").value = "";
    $("add").open = false;
    note("said", say("activate.done", made.account.user), "good");
    navigator.storage?.persist?.(); // so that the browser does not throw the key away to make room
    await subscribe();
  } catch (e) {
    if (!(e instanceof Refused)) throw e;
    note("said", say("activate.refused"), "bad");
  }
}
