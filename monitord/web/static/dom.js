// How every page makes its elements: strings only ever become text. Words for times, amounts and states.

export function el(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

// Puts children behind what is there already; null and false are left out.
export const add = (element, ...children) => filled(element, {}, children);

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name.replace(/^on/, ""), value);
    else if (name === "style" || name.startsWith("on")) throw new Error(`${name} is not set as text`);
    else if (name === "value" && "value" in element) element.value = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false).map(
    (child) => (child instanceof Node ? child : String(child))));
  return element;
}

// --- texts of processes -------------------------------------------------------------------------------------
export const foreign = (text) => el("span", { class: "foreign" }, text ?? "–");
export const code = (text) => el("code", { class: "foreign" }, text ?? "–");
export const shortId = (correlationId) => String(correlationId).slice(0, 8);

// What monitord says to type stands between backticks, as in a terminal.
export const prose = (text) => el("span", { class: "foreign" }, String(text).split("`").map((part, at) => (at % 2 ? el("code", {}, part) : part)));

// Addresses are put together here and nowhere else: what comes from outside is one step of a path.
export function link(href, ...children) {
  if (!href.startsWith("/") || href.startsWith("//")) throw new Error("only addresses of this page");
  return el("a", { href }, ...children);
}
export const incidentPath = (id) => "/incidents/" + encodeURIComponent(id);
const LONGEST_WORD = 200;
export const fleetPath = (query) => "/fleet?" + new URLSearchParams(Object.entries(query).filter(([, word]) => word).map(([name, word]) => [name, String(word).slice(0, LONGEST_WORD)]));
export const incidentLink = (id, ...children) => link(incidentPath(id), ...(children.length ? children : [el("code", {}, shortId(id))]));

// --- blocks -------------------------------------------------------------------------------------------------
let numbered = 0;
export function section(title, ...children) {
  const id = `h${++numbered}`;
  return el("section", { class: "card", "aria-labelledby": id }, el("h2", { id }, title), ...children);
}

export const facts = (pairs) => el("dl", { class: "facts" }, pairs.filter(([, value]) => value !== null && value !== undefined && value !== "")
  .map(([label, value]) => el("div", {}, el("dt", {}, label), el("dd", {}, value))));

export const badge = (text, tone = "quiet") => el("span", { class: `badge ${tone}` }, text);

export function bar(share, kind = "") {
  const fill = el("span", { class: `fill ${kind}` });
  fill.style.width = (100 * Math.min(1, Math.max(0, share || 0))).toFixed(2) + "%";
  return el("span", { class: "bar", "aria-hidden": "true" }, fill);
}

export function button(words, onclick, { tone = "plain", ...more } = {}) {
  return el("button", { type: "button", class: tone, onclick, ...more }, words);
}

// Switches a button off, and returns what switches it on: who came to it by keys then has the focus again, which it lost.
export function off(one) {
  const had = document.activeElement === one;
  one.disabled = true;
  return () => {
    one.disabled = false;
    if (had && document.activeElement === document.body) one.focus();
  };
}

export function field(label, input) {
  input.id ||= `f${++numbered}`;
  return el("div", { class: "field" }, el("label", { for: input.id }, label), input);
}

export function select(options, value, attributes = {}) {
  const made = el("select", attributes, options.map(([held, words]) => el("option", { value: held }, words)));
  made.value = value ?? "";
  return made;
}

// columns: {title, cell(row), class, narrow: false}. open(row): the address that a row leads to.
export function table({ caption, columns, rows, open = null, empty: nothing = null }) {
  const head = el("tr", {}, columns.map((one) => el("th", { scope: "col", class: classOf(one) }, one.title)));
  const body = el("tbody");
  const made = el("table", { class: open ? "openable" : null }, el("caption", {}, caption), el("thead", {}, head), body);
  made.add = (more, { first = false } = {}) => {
    const lines = more.map(made.line);
    if (first) body.prepend(...lines);
    else body.append(...lines);
    return lines;
  };
  made.line = (row) => line(row, columns, open);
  made.add(rows);
  if (!rows.length && nothing) return nothing;
  return made;
}

const classOf = (column) => [column.class, column.narrow === false ? "hidden-narrow" : ""].filter(Boolean).join(" ") || null;

function line(row, columns, open) {
  const cells = columns.map((one, at) => el(at || !open ? "td" : "th", { class: classOf(one), "data-label": one.title, scope: at || !open ? null : "row" }, one.cell(row)));
  const made = el("tr", {}, cells);
  if (open) {
    made.addEventListener("click", (event) => {
      if (event.target.closest("a, button, input, select") || !getSelection().isCollapsed) return;
      made.querySelector("a")?.click();
    });
  }
  return made;
}

// j and k, or the arrow keys, go from row to row; the row's own link has the focus.
export function rowKeys(root) {
  const move = (step) => () => {
    const links = [...root.querySelectorAll("table.openable tbody tr")].map((row) => row.querySelector("a")).filter(Boolean);
    const at = links.indexOf(document.activeElement);
    const next = links[at < 0 ? (step > 0 ? 0 : links.length - 1) : at + step];
    next?.focus();
    next?.scrollIntoView({ block: "nearest" });
  };
  return { j: move(1), ArrowDown: move(1), k: move(-1), ArrowUp: move(-1) };
}

// Colours of a chart's series in their order; what comes behind them is grey.
export const HUES = [28, 205, 155, 280, 48, 340];

// --- states -------------------------------------------------------------------------------------------------
export const loading = (words = "Loading…") => el("div", { class: "state loading", role: "status" }, el("span", { class: "dot", "aria-hidden": "true" }), words);
export const empty = (title, ...hints) => el("div", { class: "state empty" }, el("p", { class: "title" }, title), hints.map((hint) => el("p", {}, hint)));
export function failure(error, retry = null) {
  const words = WORDS[error?.kind] ?? "This did not work";
  return el("div", { class: "state failed", role: "alert" }, el("p", { class: "title" }, words), el("p", {}, prose(error?.message ?? String(error))),
    retry ? button("Try again", retry) : null);
}
const WORDS = {
  not_found: "Not found", usage: "This question can't be answered", permission: "Not permitted", busy: "Busy: try again in some seconds",
  unreachable: "The recorder does not answer", storage: "The store can't be read now", config: "The configuration can't be used",
  offline: "No answer: does `monitord web` still run?", refused: "Refused",
};

// --- words for values, as on the command line (monitord/export/units.py) ------------------------------------
const scaled = (value, step, names) => {
  let at = 0;
  while (Math.abs(value) >= step * 0.9995 && at < names.length - 1) (value /= step), at++;
  return `${value.toFixed(at === 0 || value >= 99.95 ? 0 : 1)} ${names[at]}`;
};
const DISK = ["B", "kB", "MB", "GB", "TB", "PB"];
const number = (value, digits = 0) => value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
export function quantity(value, unit) {
  if (value === null || value === undefined || Number.isNaN(value)) return "unknown";
  if (unit === "percent") return (value > 0 && value < 9.95 ? number(value, 1) : number(value)) + " %";
  if (unit === "bytes") return scaled(value, 1024, ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]);
  if (unit === "disk_bytes") return scaled(value, 1000, DISK);
  if (unit === "bytes_per_s") return scaled(value, 1000, DISK) + "/s";
  if (unit === "seconds") return span(value);
  return number(value);
}
export function percent(share) {
  if (share === null || share === undefined) return "–";
  return (100 * share).toFixed(share < 0.0995 ? 1 : 0) + " %";
}
export function span(seconds) {
  if (seconds < 9.95) return seconds.toFixed(1).replace(/\.0$/, "") + " s";
  for (const [size, unit, name] of [[172800, 86400, "d"], [7200, 3600, "h"], [120, 60, "min"]]) {
    if (seconds >= size) return `${(seconds / unit).toFixed(0)} ${name}`;
  }
  return seconds.toFixed(0) + " s";
}
const IRREGULAR = { process: "processes", pass: "passes" };
export function counted(count, noun) {
  const [, before, last] = noun.match(/^(.* )?(\S+)$/);
  return `${number(count)} ${before ?? ""}${count === 1 ? last : IRREGULAR[last] ?? last + "s"}`;
}

const two = (value) => String(value).padStart(2, "0");
export function stamp(moment, { withDate = true } = {}) {
  const day = `${moment.getFullYear()}-${two(moment.getMonth() + 1)}-${two(moment.getDate())}`;
  const clock = `${two(moment.getHours())}:${two(moment.getMinutes())}:${two(moment.getSeconds())}`;
  return withDate ? `${day} ${clock}` : clock;
}
export function ago(iso, now = Date.now()) {
  const seconds = (now - Date.parse(iso)) / 1000;
  if (seconds < -1) return "in " + span(-seconds);
  return seconds < 1 ? "now" : span(Math.round(seconds)) + " ago";
}
// How long ago, as an element: the frame has it grow while the page stands open.
export const age = (iso) => el("span", { class: "quiet age", "data-at": iso }, ago(iso));
export function when(iso) {
  if (!iso) return el("span", { class: "quiet" }, "unknown");
  const moment = new Date(iso);
  const isToday = moment.toDateString() === new Date().toDateString();
  return el("time", { datetime: iso, title: `${stamp(moment)} (${iso})` }, stamp(moment, { withDate: !isToday }));
}

export async function copy(text) {
  await navigator.clipboard.writeText(text);
}

// A line over time as a small picture with its words: points are [seconds, value or null], marks [seconds, words].
export function trend({ title, points, unit, marks = [], top = null }) {
  const known = points.filter(([, value]) => value !== null && value !== undefined);
  if (!known.length) return null;
  const values = known.map(([, value]) => value);
  const [low, high] = [0, Math.max(top ?? 0, ...values, 1e-9)];
  const [first, last] = [points[0][0], Math.max(points[points.length - 1][0], ...marks.map(([at]) => at))];
  const x = (at) => (last === first ? 0 : (300 * (at - first)) / (last - first));
  const y = (value) => 58 - (54 * (value - low)) / (high - low);
  const runs = [];
  let run = null;
  for (const [at, value] of points) {
    if (value === null || value === undefined) run = null;
    else {
      if (!run) runs.push((run = []));
      run.push(`${x(at).toFixed(1)},${y(value).toFixed(1)}`);
    }
  }
  const summary = `${title}: from ${quantity(Math.min(...values), unit)} to ${quantity(Math.max(...values), unit)}, at the end ${quantity(values[values.length - 1], unit)}`;
  const drawn = svg("svg", { viewBox: "0 0 300 60", preserveAspectRatio: "none", role: "img", "aria-label": summary },
    marks.map(([at, words]) => svg("line", { x1: x(at), x2: x(at), y1: 0, y2: 60, class: "cut" }, svg("title", {}, words))),
    runs.map((one) => [
      svg("polygon", { class: "area", points: `${one[0].split(",")[0]},60 ${one.join(" ")} ${one[one.length - 1].split(",")[0]},60` }),
      svg("polyline", { class: "line", points: one.join(" "), "vector-effect": "non-scaling-stroke" }),
    ]));
  return el("figure", { class: "trend" }, el("figcaption", {}, el("span", {}, title), el("b", {}, quantity(Math.max(...values), unit))), drawn);
}
