// The frame: who may ask, which page is shown, what every page may use.
import { ago, el, failure, loading, button, field, foreign, prose } from "/static/dom.js";
import { PAGES } from "/static/pages.js";

const main = document.getElementById("main");
const KEPT = "monitord-key";
let visit = null; // what the page that is shown has: {controller, timers, keys, tidy}
let about = { allows_actions: false }, known = null; // `known`: when about is

export class ApiError extends Error {
  constructor(message, kind, status) {
    super(message);
    this.kind = kind;
    this.status = status;
  }
}

const ahead = -new Date().getTimezoneOffset(); // minutes
const clock = [Math.abs(ahead) / 60, Math.abs(ahead) % 60].map((one) => String(Math.floor(one)).padStart(2, "0")).join(":");
document.getElementById("zone").textContent = `Times are of this browser's zone, ${Intl.DateTimeFormat().resolvedOptions().timeZone} (now UTC${ahead < 0 ? "−" : "+"}${clock}).`;

// --- asking -------------------------------------------------------------------------------------------------
async function request(path, { query = {}, method = "GET", body = null, signal = null } = {}) {
  const address = new URL(path, location.origin);
  if (address.origin !== location.origin) throw new ApiError("only this server is asked", "usage", 0);
  for (const [name, value] of Object.entries(query)) {
    if (value !== null && value !== undefined && value !== "") address.searchParams.set(name, value);
  }
  const headers = { "X-Monitord-Key": localStorage.getItem(KEPT) ?? "" };
  if (body !== null) Object.assign(headers, { "Content-Type": "application/json", "X-Monitord-Action": "1" });
  let answer;
  try {
    answer = await fetch(address, { method, headers, signal, body: body === null ? undefined : JSON.stringify(body), redirect: "error" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("The server does not answer.", "offline", 0);
  }
  if (answer.ok) return answer;
  const said = await answer.json().catch(() => ({}));
  throw new ApiError(said.error ?? `HTTP ${answer.status}`, said.kind ?? "failure", answer.status);
}

async function logIn(token) {
  const answer = await fetch("/api/session", { method: "POST", headers: { Authorization: `Bearer ${token}` } });
  if (!answer.ok) throw new ApiError((await answer.json().catch(() => ({}))).error ?? "refused", "refused", answer.status);
  localStorage.setItem(KEPT, (await answer.json()).key);
}

function apiFor(mine) {
  const { signal } = mine.controller;
  const told = async (path, options) => (await request(path, { signal, ...options })).json();
  return {
    signal,
    get: async (path, query) => {
      const said = await told(path, { query });
      if (said.warnings) notice(said.warnings);
      return said;
    },
    text: async (path, query) => (await request(path, { query, signal })).text(),
    blob: async (path, query) => (await request(path, { query, signal })).blob(),
    post: (path, body = {}) => told(path, { method: "POST", body }),
    known: () => known,
    get actions() { return about.allows_actions; },
    every(milliseconds, look) {
      const again = async () => {
        if (signal.aborted) return;
        if (!document.hidden) {
          try {
            await look();
            connection(true);
          } catch (error) {
            if (error.name === "AbortError") return;
            if (error.status === 401) return askForToken(error);
            connection(false, error);
          }
        }
        mine.timers.push(setTimeout(again, milliseconds));
      };
      mine.timers.push(setTimeout(again, milliseconds));
    },
    go: (path, { query = {} } = {}) => go(address(path, query)),
    query: (changed) => {
      const search = new URLSearchParams(location.search);
      for (const [name, value] of Object.entries(changed)) value ? search.set(name, value) : search.delete(name);
      history.replaceState(null, "", address(location.pathname, Object.fromEntries(search)));
      return search;
    },
    keys: (bindings) => Object.assign(mine.keys, bindings),
    announce: (words) => { document.getElementById("announced").textContent = words; },
    uplot: async () => {
      if (!document.querySelector('link[href="/assets/uplot/uPlot.min.css"]')) {
        document.head.append(el("link", { rel: "stylesheet", href: "/assets/uplot/uPlot.min.css" }));
      }
      return (await import("/static/uplot.js")).default;
    },
  };
}

function address(path, query) {
  const search = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== ""));
  return path + (search.size ? `?${search}` : "");
}

// --- what stands around a page ------------------------------------------------------------------------------
const trouble = document.getElementById("trouble");
function notice(lines) {
  trouble.replaceChildren(...lines.map((line) => el("span", {}, prose(line))));
  trouble.hidden = !lines.length;
}
let isConnected = true;
function connection(works, error = null) {
  if (works && isConnected) return;
  isConnected = works;
  if (works) lookAround();
  else notice([error.kind === "offline" ? "The server does not answer; this page goes on trying." : error.message]);
}
async function lookAround() {
  try {
    about = await (await request("/api/about")).json();
    notice(about.trouble ? [about.trouble] : []);
  } catch { /* the page itself says what is wrong */ }
}

function navigation(shown) {
  document.getElementById("pages").replaceChildren(...PAGES.filter((page) => page.word).map((page) =>
    el("a", { href: page.path, "aria-current": page.path === shown ? "page" : null }, page.word)));
  document.querySelector("#pages [aria-current]")?.scrollIntoView({ inline: "center", block: "nearest" }); // on a phone not all words have room
}

function askForToken(error) {
  leave();
  const input = el("input", { type: "password", autocomplete: "off", spellcheck: "false" });
  const said = el("p", { class: "quiet", role: "alert" });
  const form = el("form", { class: "row", onsubmit: async (event) => {
    event.preventDefault();
    try {
      await logIn(input.value.trim().replace(/^.*#token=/, ""));
      known = lookAround();
      show();
    } catch (refused) { said.textContent = refused.message; }
  } }, field("Token", input), el("button", { class: "primary" }, "Open"));
  main.replaceChildren(el("section", { class: "card token" }, el("h1", {}, "This page needs its token"),
    el("p", {}, "Open the address that ", el("code", {}, "monitord web"), " printed, or paste it here."), form, said));
  if (error.status !== 401) said.textContent = error.message;
  input.focus();
}

// --- pages --------------------------------------------------------------------------------------------------
function matching(path) {
  for (const page of PAGES) {
    const names = [];
    const pattern = page.path.replace(/\{(\w+)\}/g, (_, name) => (names.push(name), "([^/]+)"));
    const found = path.match(new RegExp(`^${pattern}$`));
    try {
      if (found) return { page, names: Object.fromEntries(names.map((name, at) => [name, decodeURIComponent(found[at + 1])])) };
    } catch { return null; } // no address of ours
  }
  return null;
}

function leave() {
  if (!visit) return;
  visit.controller.abort();
  visit.timers.forEach(clearTimeout);
  try { visit.tidy?.(); } catch (error) { console.error(error); }
  visit = null;
}

async function show() {
  leave();
  const mine = (visit = { controller: new AbortController(), timers: [], keys: {}, tidy: null });
  const found = matching(location.pathname);
  navigation(found?.page.path);
  document.title = "monitord";
  const root = el("div", { class: "page" });
  main.replaceChildren(loading());
  const observer = new MutationObserver(() => { observer.disconnect(); main.replaceChildren(root); });
  observer.observe(root, { childList: true });
  if (!found) {
    root.append(el("h1", {}, "Nothing is here"), el("p", {}, "There is no page at ", foreign(location.pathname), ". ", el("a", { href: "/" }, "Recent incidents")));
    return;
  }
  try {
    const module = await import(`/static/pages/${found.page.module}.js`);
    if (mine !== visit) return;
    document.title = `${module.title ?? found.page.word ?? "monitord"} · monitord`;
    const tidy = await module.render(root, { ...found.names, query: new URLSearchParams(location.search) }, apiFor(mine));
    if (mine !== visit) tidy?.();
    else mine.tidy = tidy;
  } catch (error) {
    observer.disconnect();
    if (mine !== visit || error.name === "AbortError") return;
    if (error.status === 401) return askForToken(error);
    if (!(error instanceof ApiError)) console.error(error);
    main.replaceChildren(failure(error, show));
  }
}

function go(to) {
  const isHere = to === location.pathname + location.search;
  if (isHere) return show(); // as it is now: no step that one would go back by
  history.pushState(null, "", to);
  show();
  scrollTo(0, 0);
  main.focus({ preventScroll: true });
}

addEventListener("popstate", () => show());
addEventListener("unhandledrejection", (event) => { // what was done by hand and did not work is said, whoever forgot to say it
  const error = event.reason;
  if (!(error instanceof ApiError) && error?.name !== "AbortError") return;
  event.preventDefault();
  if (error.status === 401) askForToken(error);
  else if (error instanceof ApiError) notice([error.message]);
});
document.addEventListener("click", (event) => {
  const anchor = event.target.closest?.("a[href]");
  if (!anchor || event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey || anchor.target || anchor.download) return;
  const to = new URL(anchor.href);
  if (to.origin !== location.origin || to.hash || to.pathname.startsWith("/api/") || to.pathname.startsWith("/assets/")) return;
  event.preventDefault();
  go(to.pathname + to.search);
});

const TYPED = "input, textarea, select, [contenteditable]";
document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest?.(TYPED)) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (event.key === "?") return help();
  const bound = visit?.keys[event.key];
  if (!bound || event.target.closest?.(".flame")) return;
  event.preventDefault();
  bound(event);
});

const WORDS = {
  j: "next row, also ↓", k: "previous row, also ↑", "/": "search", f: "flame graph", s: "speedscope", ArrowLeft: "earlier span", ArrowRight: "later span; with Shift: its end", "+": "zoom in", "-": "zoom out",
};
const SIGNS = { ArrowLeft: "←", ArrowRight: "→" };
function help() {
  const keys = Object.keys(visit?.keys ?? {}).filter((key) => WORDS[key]);
  const dialog = el("dialog", { "aria-label": "Keys", onclose: () => dialog.remove() }, el("h2", {}, "Keys"),
    el("dl", { class: "facts" }, [...keys.map((key) => [SIGNS[key] ?? key, WORDS[key]]), ["Enter", "open"], ["Esc", visit?.keys.Escape ? "choose nothing" : "leave a field; in a flame graph: zoom out"], ["?", "this"]].map(
      ([key, words]) => el("div", {}, el("dt", {}, el("kbd", {}, key)), el("dd", {}, words)))),
    button("Close", () => dialog.close()));
  document.body.append(dialog);
  dialog.showModal();
}

// --- start --------------------------------------------------------------------------------------------------
async function start() {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (token) {
    history.replaceState(null, "", location.pathname + location.search);
    try { await logIn(token); } catch (error) { return askForToken(error); }
  }
  known = lookAround();
  show();
  setInterval(() => document.hidden || lookAround(), 15000);
  setInterval(() => { for (const age of main.querySelectorAll(".age")) age.textContent = ago(age.dataset.at); }, 1000);
}
start();
