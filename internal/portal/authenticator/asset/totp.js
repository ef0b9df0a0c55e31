// One-time codes by the clock (RFC 6238), which need no server.
"use strict";

const totp = {
  // parse takes what a person gives: an otpauth link, or a secret in base32 alone. It returns a
  // record to keep, whose key cannot be read back, or throws with the key of a text.
  async parse(given, label) {
    let secret = given, p = new URLSearchParams(), name = "";
    if (/^otpauth:/i.test(given.trim())) {
      let link;
      try {
        link = new URL(given.trim().replace(/^otpauth:/i, "https:"));
        name = decodeURIComponent(link.pathname.slice(1));
      } catch {
        throw new Error("codes.bad.link");
      }
      if (link.host.toLowerCase() !== "totp") throw new Error("codes.bad.kind");
      p = link.searchParams;
      secret = p.get("secret") ?? "";
    }
    const hash = { SHA1: "SHA-1", SHA256: "SHA-256", SHA512: "SHA-512" }[(p.get("algorithm") ?? "SHA1").toUpperCase().replace("-", "")];
    const digits = Number(p.get("digits") ?? 6), period = Number(p.get("period") ?? 30);
    if (!hash || ![6, 7, 8].includes(digits) || !(Number.isInteger(period) && period >= 5 && period <= 300)) throw new Error("codes.bad.kind");
    const key = await crypto.subtle.importKey("raw", this.base32(secret), { name: "HMAC", hash }, false, ["sign"]);
    const [before, after] = name.includes(":") ? [name.slice(0, name.indexOf(":")), name.slice(name.indexOf(":") + 1)] : ["", name];
    return { id: crypto.randomUUID(), issuer: (p.get("issuer") ?? before).trim().slice(0, 64), label: (label || after).trim().slice(0, 64), digits, period, key, since: Date.now() };
  },

  base32(s) {
    const clean = s.toUpperCase().replace(/[\s=-]/g, "");
    if (clean.length < 8 || clean.length > 512 || /[^A-Z2-7]/.test(clean)) throw new Error("codes.bad.secret");
    const out = new Uint8Array(Math.floor(clean.length * 5 / 8));
    let bits = 0, held = 0, at = 0;
    for (const c of clean) {
      held = (held << 5 | "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(c)) & 0xfff;
      bits += 5;
      if (bits >= 8) out[at++] = held >> (bits -= 8) & 0xff;
    }
    return out;
  },

  // code returns the code at a time in milliseconds.
  async code(one, now) {
    const counter = new DataView(new ArrayBuffer(8));
    counter.setBigUint64(0, BigInt(Math.floor(now / 1000 / one.period)));
    const mac = new DataView(await crypto.subtle.sign("HMAC", one.key, counter));
    const at = mac.getUint8(mac.byteLength - 1) & 15;
    return String((mac.getUint32(at) & 0x7fffffff) % 10 ** one.digits).padStart(one.digits, "0");
  },

  // left is how many seconds a code is still good.
  left(one, now) { return one.period - Math.floor(now / 1000) % one.period; },
};
