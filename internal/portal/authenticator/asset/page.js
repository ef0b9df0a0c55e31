// What the page says, and how.
"use strict";

const $ = (id) => document.getElementById(id);
const tongue = navigator.languages?.find((l) => l.split("-")[0] === document.documentElement.lang) ?? document.documentElement.lang;

// say returns a text of the catalogue, with values for its placeholders in their order.
function say(key, ...values) {
  const found = $("texts").content.querySelector(`[data-key="${key}"]`);
  return (found?.textContent ?? key).replace(/%[sd]/g, () => String(values.shift()));
}

// note shows a line that stays until the next one of its place: "said" tells what was done,
// "away" that the server is not there, "clock" that the clock is wrong, and so on.
function note(place, words, tone) {
  const box = $(place);
  if (box.textContent === (words ?? "") && box.className === (words ? "note " + tone : "")) return;
  box.replaceChildren();
  box.className = words ? "note " + tone : "";
  if (!words) return;
  const p = document.createElement("p");
  p.textContent = words;
  box.append(p);
}

// part is a new copy of a template.
const part = (id) => $(id).content.cloneNode(true).firstElementChild;

// put fills the elements that say what they hold by data-is; one without a value goes, and its
// name with it.
function put(root, values) {
  for (const e of root.querySelectorAll("[data-is]")) {
    const v = values[e.dataset.is];
    if (v === undefined || v === null || v === "") {
      if (e.tagName === "DD") e.previousElementSibling.remove();
      e.remove();
    } else {
      e.textContent = v;
    }
  }
  return root;
}

// on has what lies in root and is called name do something, once at a time; what goes wrong is
// told.
function on(root, name, kind, act) {
  const e = root.matches?.(`[data-do=${name}]`) ? root : root.querySelector(`[data-do=${name}]`);
  let busy = false;
  e?.addEventListener(kind, async (event) => {
    event.preventDefault();
    if (busy) return;
    busy = true;
    try {
      await act(event);
    } catch (e) {
      tellError(e);
    } finally {
      busy = false;
    }
  });
}

function tellError(e) {
  if (e instanceof Away) away(true);
  else if (e instanceof Unsigned) note("said", say("keys.unusable"), "bad");
  else if (e instanceof Refused) note("said", say("refused", e.message), "bad");
  else note("said", say(e.message) === e.message ? say("wrong", e.message) : say(e.message), "bad");
}

// away says that the server is not reached, or that it is again.
function away(is) {
  note("away", is ? say("away") : "", "warn");
  clockOff();
}

const bearable = 20_000; // milliseconds that a clock may be off: codes are good for half a minute more or less

// clockOff says so if this device's clock is wrong.
function clockOff() {
  const s = Math.round(Math.abs(clock.seen) / 1000);
  note("clock", Math.abs(clock.seen) < bearable ? "" : say(clock.seen > 0 ? "clock.behind" : "clock.ahead", s), "warn");
}

const time = (seconds) => new Date(seconds * 1000).toLocaleString(tongue, { dateStyle: "medium", timeStyle: "medium" });
const pause = (ms, signal) => new Promise((done) => {
  const t = setTimeout(done, ms);
  signal?.addEventListener("abort", () => { clearTimeout(t); done(); }, { once: true });
});
