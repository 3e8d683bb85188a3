// Keeps a page as the guard is: follows its events, fetches the page anew, and says when the guard is away.
const AGAIN = 2000; // milliseconds between two looks for a guard that is away
const PAUSE = 700; // milliseconds between two refreshes
const GONE = 1200; // milliseconds without a connection before the page says so

let events = null;
let awayTimer = 0;
let away = false;
let refreshTimer = 0;
let fetching = false;
let wanted = false;
let shown = "";

export const $ = (selector, from = document) => from.querySelector(selector);

export function say(text) {
  const place = $("#say");
  if (place && place.textContent !== text) place.textContent = text;
}

// --- the page, patched in place: focus, open parts, what was typed and the scroll position stay -------------

function same(one, other) {
  return one.nodeType === other.nodeType && one.nodeName === other.nodeName && (one.id || "") === (other.id || "");
}

function patch(now, next) {
  if (now.isEqualNode(next)) return;
  if (now.nodeType !== Node.ELEMENT_NODE) {
    if (now.nodeValue !== next.nodeValue) now.nodeValue = next.nodeValue;
    return;
  }
  if (now.hasAttribute("data-keep")) return;
  patchAttributes(now, next);
  if (now.nodeName === "INPUT" || now.nodeName === "TEXTAREA" || now.nodeName === "SELECT") return;
  patchChildren(now, next);
}

function patchAttributes(now, next) {
  for (const { name } of [...now.attributes]) {
    const kept = name === "open" || (name === "value" && now.nodeName === "INPUT");
    if (!next.hasAttribute(name) && !kept) now.removeAttribute(name);
  }
  for (const { name, value } of next.attributes) {
    if (now.getAttribute(name) !== value && !(name === "value" && now === document.activeElement)) {
      now.setAttribute(name, value);
    }
  }
}

function patchChildren(now, next) {
  let here = now.firstChild;
  for (const child of [...next.childNodes]) {
    let match = here;
    while (match && !same(match, child)) match = match.nextSibling;
    if (!match) {
      now.insertBefore(child.cloneNode(true), here);
      continue;
    }
    while (here !== match) {
      const gone = here;
      here = here.nextSibling;
      gone.remove();
    }
    here = match.nextSibling;
    patch(match, child);
  }
  while (here) {
    const gone = here;
    here = here.nextSibling;
    gone.remove();
  }
}

export function show(html) {
  const next = new DOMParser().parseFromString(html, "text/html");
  for (const part of document.querySelectorAll("[data-live]")) {
    const other = next.getElementById(part.id);
    if (other) {
      ago(other);
      patch(part, other);
    }
  }
  document.title = next.title;
  document.body.dataset.csrf = next.body.dataset.csrf || "";
  document.dispatchEvent(new CustomEvent("shown"));
}

export async function refresh() {
  if (fetching) {
    wanted = true;
    return;
  }
  fetching = true;
  wanted = false;
  try {
    const answer = await fetch(location.href, { cache: "no-cache" });
    if (answer.redirected && new URL(answer.url).pathname === "/login") {
      location.assign("/login");
    } else if (answer.status === 200) {
      const text = await answer.text();
      const before = stateOf();
      if (text !== shown) show(text);
      shown = text;
      if (before !== stateOf()) say(stateOf());
    } else if ([403, 404, 422].includes(answer.status)) {
      location.reload(); // what this page was about is gone: the guard's own page says so
    }
  } catch {
    lost();
  } finally {
    fetching = false;
    if (wanted) soon();
  }
}

function stateOf() {
  return ($("#readiness") || $("#health"))?.innerText.replace(/\s+/g, " ").trim() || "";
}

function soon() {
  if (!refreshTimer) {
    refreshTimer = setTimeout(() => {
      refreshTimer = 0;
      refresh();
    }, PAUSE);
  }
}

// --- the connection ------------------------------------------------------------------------------------------

function connect() {
  if (events || document.hidden) return;
  const source = new EventSource("/api/v1/events");
  events = source;
  let first = true;
  source.addEventListener("open", found);
  source.addEventListener("standing", () => {
    found();
    // The page is as new as its first event, unless it lay in the browser's cache or the guard was away.
    if (first) refresh();
    else soon();
    first = false;
  });
  source.addEventListener("job", (event) => {
    const job = JSON.parse(event.data);
    document.dispatchEvent(new CustomEvent("job", { detail: job }));
    soon();
  });
  source.addEventListener("error", () => {
    disconnect();
    lost();
    setTimeout(connect, AGAIN);
  });
}

function disconnect() {
  events?.close();
  events = null;
}

function lost() {
  if (away || awayTimer || document.hidden) return;
  awayTimer = setTimeout(() => {
    awayTimer = 0;
    away = true;
    tell();
  }, GONE);
}

function found() {
  clearTimeout(awayTimer);
  awayTimer = 0;
  if (away) say("The guard is back.");
  away = false;
  tell();
}

function tell() {
  document.documentElement.classList.toggle("is-away", away);
  const banner = $("#away");
  if (banner) banner.hidden = !away;
  const word = $("#link-text");
  if (word) word.textContent = away ? "guard away" : "live";
  $("#link")?.classList.toggle("on", !away);
}

// --- times as people say them ----------------------------------------------------------------------------------

const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60]];
const words = new Intl.RelativeTimeFormat("en", { numeric: "always", style: "narrow" });

export function ago(from) {
  for (const element of from.querySelectorAll("time[datetime]")) {
    const at = new Date(element.getAttribute("datetime"));
    const seconds = Math.round((at - Date.now()) / 1000);
    const text = inWords(at, seconds);
    if (element.textContent !== text) element.textContent = text;
    const title = `${at.toISOString().slice(0, 19).replace("T", " ")} UTC`;
    if (element.title !== title) element.title = title;
  }
}

function inWords(at, seconds) {
  const size = Math.abs(seconds);
  if (size < 45) return seconds > 5 ? "in a moment" : "just now";
  if (size > 14 * 86400) return at.toISOString().slice(0, 10);
  const [unit, length] = UNITS.find(([, each]) => size >= each) || UNITS[2];
  const number = Math.max(1, Math.round(size / length));
  const names = { day: number === 1 ? "day" : "days", hour: "h", minute: "min" };
  return seconds < 0 ? `${number} ${names[unit]} ago` : `in ${number} ${names[unit]}`;
}

// --- colours ---------------------------------------------------------------------------------------------------

const THEMES = ["", "light", "dark"];
const NAMES = { "": "as the system", light: "light", dark: "dark" };

function colours() {
  const button = $("#theme");
  if (!button) return;
  const label = () => {
    const now = document.documentElement.dataset.theme || "";
    button.setAttribute("aria-label", `Colours: ${NAMES[now]}`);
    button.title = `Colours: ${NAMES[now]}`;
  };
  button.hidden = false;
  label();
  button.addEventListener("click", () => {
    const root = document.documentElement;
    const next = THEMES[(THEMES.indexOf(root.dataset.theme || "") + 1) % THEMES.length];
    if (next) root.dataset.theme = next;
    else delete root.dataset.theme;
    try {
      if (next) localStorage.setItem("theme", next);
      else localStorage.removeItem("theme");
    } catch {
      // Not kept, but shown.
    }
    label();
    say(`Colours: ${NAMES[next]}`);
  });
}

export function start() {
  ago(document);
  colours();
  connect();
  setInterval(() => ago(document), 15000);
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) disconnect();
    else connect();
  });
  addEventListener("pagehide", disconnect);
  addEventListener("pageshow", connect);
}
