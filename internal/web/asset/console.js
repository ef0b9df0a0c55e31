// What a page does by itself. Everything works without it, but for looking for news.
"use strict";

// Times are shown in the reader's zone and the page's language, in the reader's own variety of it
// if the browser has one; the title keeps what the server wrote.
const page = document.documentElement.lang;
const tongue = navigator.languages?.find((l) => l.split("-")[0] === page) ?? page;
function localTimes(root) {
  for (const at of root.querySelectorAll("time[datetime]")) {
    const when = new Date(at.dateTime);
    if (isNaN(when)) continue;
    at.title = at.dateTime;
    at.textContent = when.toLocaleString(tongue, at.dataset.form === "date" ? { dateStyle: "medium" } :
      { dateStyle: "medium", timeStyle: "medium" });
  }
}

// fetchPart gets the part of a page that has changed. It keeps nobody signed in when active
// is false.
async function fetchPart(url, active, signal) {
  const headers = { "Countersign-Part": "1" };
  if (!active) headers["Countersign-Poll"] = "1";
  const answer = await fetch(url, { headers, signal, credentials: "same-origin", redirect: "error" });
  if (answer.status === 401) location.reload();
  if (!answer.ok) throw new Error(answer.status);
  return answer.text();
}

// What is wider than its box is scrolled by keyboard too, and says what it is.
function scrollers(root) {
  for (const box of root.querySelectorAll(".wide")) {
    const wide = box.scrollWidth > box.clientWidth;
    if (!wide) {
      box.removeAttribute("tabindex");
      continue;
    }
    box.tabIndex = 0;
    box.setAttribute("role", "group");
    const section = box.closest("section");
    const name = box.getAttribute("aria-label") ?? section?.getAttribute("aria-label") ?? section?.querySelector("h2")?.textContent ?? document.querySelector("h1")?.textContent;
    box.setAttribute("aria-label", name ?? "");
  }
}

// data-say: what a screen reader is told of a part, when that has changed. The rest of the part
// changes in silence.
function tell(before, target) {
  const now = what(target);
  const said = document.getElementById("said");
  if (said && now && now !== before) said.textContent = now;
}

function what(target) {
  return [...target.querySelectorAll("[data-say]")].map((e) => e.textContent.replace(/\s+/g, " ").trim()).join(" ");
}

function put(target, html) {
  outdated(target, false);
  if (target.contains(document.activeElement)) return;
  const before = what(target);
  target.innerHTML = html;
  localTimes(target);
  scrollers(target);
  tell(before, target);
}

// What a page shows is old once it could not be fetched: it says so, until it can again.
function outdated(target, is) {
  if (target.classList.contains("stale") === is) return;
  target.classList.toggle("stale", is);
  const note = document.getElementById("outdated");
  if (!note) return;
  note.replaceChildren();
  if (!document.querySelector(".stale")) return;
  const p = document.createElement("p");
  p.className = "note warn";
  p.textContent = note.dataset.text;
  note.append(p);
}

// data-poll: an element whose content is fetched again every data-every milliseconds while
// somebody looks at the page.
for (const live of document.querySelectorAll("[data-poll]")) {
  const look = async () => {
    if (!document.hidden) {
      try {
        put(live, await fetchPart(live.dataset.poll, false));
      } catch {
        outdated(live, true);
      }
    }
    setTimeout(look, Number(live.dataset.every) || 3000);
  };
  setTimeout(look, Number(live.dataset.every) || 3000);
}

// data-search: a form whose answer goes into the element it names, as somebody types.
for (const form of document.querySelectorAll("form[data-search]")) {
  const target = document.getElementById(form.dataset.search);
  let running, timer;
  const search = async () => {
    running?.abort();
    running = new AbortController();
    const url = new URL(form.action);
    url.search = new URLSearchParams(new FormData(form)).toString();
    try {
      const html = await fetchPart(url, true, running.signal);
      put(target, html);
      history.replaceState(null, "", url);
    } catch (e) {
      if (e.name !== "AbortError") outdated(target, true);
    }
  };
  form.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(search, 150); });
  form.addEventListener("submit", (e) => { e.preventDefault(); clearTimeout(timer); search(); });
}

// A form is sent once.
document.addEventListener("submit", (e) => {
  if (e.defaultPrevented || "download" in e.target.dataset) return; // of a file the page stays
  const buttons = e.target.querySelectorAll("button");
  setTimeout(() => { for (const b of buttons) b.disabled = true; });
});
window.addEventListener("pageshow", () => { for (const b of document.querySelectorAll("button:disabled")) b.disabled = false; });

localTimes(document);
scrollers(document);
const widths = new ResizeObserver(() => scrollers(document));
widths.observe(document.body);

// data-away: a part of a page that answers 401 when the server has started over, which ends every
// session; the page then goes where its link leads.
for (const link of document.querySelectorAll("a[data-away]")) {
  const look = async () => {
    try {
      const headers = { "Countersign-Part": "1", "Countersign-Poll": "1" };
      const answer = await fetch(link.dataset.away, { headers, credentials: "same-origin", redirect: "error" });
      if (answer.status === 401) return location.assign(link.href);
    } catch {
      // it is away
    }
    setTimeout(look, 500);
  };
  setTimeout(look, 500);
}

// Days of a report begin in the reader's zone, which the server is told by a cookie.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
if (zone) {
  document.cookie = "zone=" + encodeURIComponent(zone) + "; path=/; max-age=31536000; SameSite=Lax; Secure";
  const shown = document.querySelector("[data-zone]");
  if (shown && shown.dataset.zone !== zone && !sessionStorage.getItem("zone")) {
    sessionStorage.setItem("zone", zone); // once: a server may not know it
    location.reload();
  }
}

// data-await: a form that asks what was answered elsewhere. It sends itself, and its answer comes
// when there is one; whoever begins to type a code instead is left in peace.
for (const form of document.querySelectorAll("form[data-await]")) {
  addEventListener("load", () => setTimeout(() => form.requestSubmit()));
  for (const other of document.querySelectorAll("main details")) other.addEventListener("toggle", () => { if (other.open) window.stop(); });
}
