// Passkeys: a form with data-passkey has the browser make ("create") or use ("get") one, puts what
// comes of it into its field "passkey" as JSON, and is sent then. With data-auto it begins by
// itself, as far as the browser lets it.
"use strict";

const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

// The options come as JSON with bytes in base64url. Older browsers do not read that by themselves.
function read(kind, o) {
  const own = kind === "create" ? "parseCreationOptionsFromJSON" : "parseRequestOptionsFromJSON";
  if (PublicKeyCredential[own]) return PublicKeyCredential[own](o);
  const list = (all) => all?.map((c) => ({ ...c, id: bytes(c.id) }));
  o.challenge = bytes(o.challenge);
  if (o.user) o.user = { ...o.user, id: bytes(o.user.id) };
  if (o.allowCredentials) o.allowCredentials = list(o.allowCredentials);
  if (o.excludeCredentials) o.excludeCredentials = list(o.excludeCredentials);
  return o;
}

function write(c) {
  if (c.toJSON) return c.toJSON();
  const r = c.response, out = { clientDataJSON: text(r.clientDataJSON) };
  for (const name of ["attestationObject", "authenticatorData", "signature", "userHandle"]) {
    if (r[name]) out[name] = text(r[name]);
  }
  if (r.getTransports) out.transports = r.getTransports();
  return { id: c.id, rawId: text(c.rawId), type: c.type, response: out, clientExtensionResults: c.getClientExtensionResults() };
}

for (const form of document.querySelectorAll("form[data-passkey]")) {
  const kind = form.dataset.passkey, said = form.querySelector("[data-said]"), button = form.querySelector("button");
  const field = form.querySelector("[name=passkey]");
  const say = (key) => {
    said.textContent = said.dataset[key] ?? "";
    said.hidden = !said.textContent;
  };
  const go = async (asked) => {
    if (!window.PublicKeyCredential) return say("unable");
    say("");
    button.disabled = true;
    try {
      const publicKey = read(kind, JSON.parse(form.dataset.options));
      field.value = JSON.stringify(write(await navigator.credentials[kind]({ publicKey })));
      form.submit();
    } catch (e) {
      button.disabled = false;
      if (e.name === "SecurityError") return say("site");
      if (e.name === "InvalidStateError") return say("has");
      if (asked) say("cancelled"); // a browser that wants to be asked by a click is no failure
    }
  };
  form.addEventListener("submit", (e) => {
    e.preventDefault();
    go(true);
  });
  if ("auto" in form.dataset) go(false);
}
