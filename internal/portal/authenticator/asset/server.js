// How this device speaks with the server: every call is signed with the key of its account. The
// service worker has this file too.
"use strict";

// Away says that the server was not reached, or could not answer just now.
class Away extends Error {}

// Refused says that the server does not do it. gone: it does not know this device any more; last:
// it is its user's last second factor.
class Refused extends Error {
  constructor(status, problem) {
    super(problem?.detail || problem?.title || String(status));
    this.status = status;
    this.gone = status === 410;
    this.last = problem?.type === "urn:countersign:last";
  }
}

// Unsigned says that the key of an account cannot be used any more.
class Unsigned extends Error {}

const clock = {
  ahead: 0, // milliseconds that the server's clock is ahead of ours, as far as it was needed to be heard
  seen: 0, // the same, as last seen
  now() { return Date.now() + this.seen; },
};

const patience = 35_000; // milliseconds for a call; the server holds one for 25 s at most
const unfit = 60_000; // milliseconds that a clock may be off before a refused call is tried again by the server's

const text = (s) => new TextEncoder().encode(s);
const base64 = (b) => btoa(String.fromCharCode(...new Uint8Array(b))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
const sign = async (key, s) => base64(await crypto.subtle.sign({ name: "ECDSA", hash: "SHA-256" }, key, text(s)));

// call asks for VERB in the name of an account.
async function call(account, verb, body, signal, pin) {
  try {
    return await once(account, verb, body, signal, pin);
  } catch (e) {
    if (!(e instanceof Refused) || e.gone || Math.abs(clock.seen - clock.ahead) < unfit) throw e;
    clock.ahead = clock.seen; // our clock is wrong; the page says so
    return once(account, verb, body, signal, pin);
  }
}

async function once(account, verb, body, signal, pin) {
  const path = "/authenticator/api/" + verb;
  const sent = JSON.stringify(body);
  const time = String(Math.round((Date.now() + clock.ahead) / 1000));
  const nonce = base64(crypto.getRandomValues(new Uint8Array(16)));
  let signature;
  try {
    const digest = base64(await crypto.subtle.digest("SHA-256", text(sent)));
    signature = await sign(account.key, ["countersign-device-v1", "POST", path, time, nonce, digest].join("\n"));
  } catch {
    throw new Unsigned();
  }
  const beside = pin ? { "Countersign-PIN": base64(text(pin)) } : {}; // what is signed may be kept
  return post(path, sent, signal, { ...beside, "Countersign-Device": account.device, "Countersign-Time": time, "Countersign-Nonce": nonce, "Countersign-Signature": signature });
}

// post sends a body and returns the answer's.
async function post(path, sent, signal, headers) {
  const limit = AbortSignal.timeout(patience);
  const began = Date.now();
  let answer, problem;
  try {
    answer = await fetch(path, { method: "POST", body: sent, headers: { "Content-Type": "application/json", ...headers }, credentials: "omit", cache: "no-store",
      redirect: "error", signal: signal ? AbortSignal.any([signal, limit]) : limit });
    const at = Date.parse(answer.headers.get("Date"));
    if (at) clock.seen = measured(at, began, Date.now());
    if (answer.status === 204) return null;
    problem = await answer.json().catch(() => null);
  } catch (e) {
    if (signal?.aborted) throw signal.reason;
    throw new Away(e.message);
  }
  if (answer.ok && problem) return problem;
  if (answer.ok || answer.status >= 500 || answer.status === 429) throw new Away(String(answer.status));
  throw new Refused(answer.status, problem);
}

// measured is how far the server's clock is ahead if it wrote `at`, in whole seconds, at the end
// of a call. Less than what a call and the rounding make unsure is nothing.
function measured(at, began, ended) {
  if (at + 1000 >= began && at <= ended) return 0;
  return at + 500 - ended;
}

// activate makes a key pair and gives the server its public half for a code that is good once.
async function activate(code, name) {
  const pair = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, false, ["sign", "verify"]);
  const proof = await sign(pair.privateKey, "countersign-activate-v1\n" + code);
  const public_key = base64(await crypto.subtle.exportKey("raw", pair.publicKey));
  const said = await post("/authenticator/api/activate", JSON.stringify({ code, name, public_key, proof }));
  const account = { device: said.device, user: said.user, group: said.group, vapid: said.vapid_key, key: pair.privateKey, since: Date.now() };
  await store.put("accounts", account);
  return { account, totp: said.totp };
}

// subscribed gives the server the place where the browser is reached, unless it has it already.
async function subscribed(account, subscription) {
  const { endpoint, keys } = subscription.toJSON();
  if (account.endpoint === endpoint) return;
  await call(account, "subscribe", { endpoint, p256dh: keys.p256dh, auth: keys.auth });
  account.endpoint = endpoint;
  await store.put("accounts", account);
}
