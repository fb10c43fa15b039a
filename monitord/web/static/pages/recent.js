// Recent incidents: a list that narrows as one types and grows by itself at the top.
import { add, age, badge, button, counted, el, empty, failure, field, foreign, incidentPath, link, quantity, rowKeys, select, table, when } from "/static/dom.js";
import { METRICS } from "/static/pages.js";

export const title = "Recent incidents";
const PERIODS = [["", "any time"], ["15min", "15 minutes"], ["1h", "1 hour"], ["1d", "1 day"], ["7d", "7 days"]];
const NAMES = ["text", "process", "metric", "rule", "cause", "since", "until", "pinned", "user", "unit", "function"];
const FURTHER = ["until", "pinned", "user", "unit", "function"];
const PAGE = 100;
const ROWS_KEPT_UP = 2000;
const SETTLES_MS = 180_000; // an incident is stored at its alert; its profile, function and cause come later

export const evidenceTone = (status) => (status === "ok" ? "ok" : ["partial", "late"].includes(status) ? "warn" : "bad");

const COLUMNS = [
  { title: "Process", cell: (one) => [link(incidentPath(one.correlation_id), foreign(one.name)), one.pid ? el("span", { class: "quiet" }, ` ${one.pid}`) : null] },
  { title: "", class: "number", cell: (one) => [el("b", {}, quantity(one.trigger_value, one.unit))] },
  { title: "Trigger", cell: (one) => [foreign(one.trigger_metric.replaceAll("_", " ")), one.pinned ? [" ", badge("kept")] : null, one.times_this_week_at_least > 1 ? [" ", badge(`${one.times_this_week === null ? "≥" : ""}${one.times_this_week_at_least}× this week`)] : null] },
  { title: "Hottest function", class: "wide", cell: (one) => (one.hottest_function ? el("code", { class: "foreign" }, one.hottest_function) : el("span", { class: "quiet" }, "–")) },
  { title: "Cause", narrow: false, cell: (one) => (one.cause && one.cause !== "unknown" ? badge(one.cause) : el("span", { class: "quiet" }, "–")) },
  { title: "Evidence", narrow: false, cell: (one) => evidence(one) },
  { title: "When", class: "number", cell: (one) => [when(one.raised_at), " ", age(one.raised_at)] },
];

function evidence(one) {
  const who = !one.profiler || ["auto", "none"].includes(one.profiler) ? "profile" : one.profiler;
  if (one.status === "ok") return [el("span", { class: "quiet" }, foreign(who)), one.late ? [" ", badge("late", "warn")] : null];
  return badge(one.pid ? one.status.replaceAll("_", " ") : "no process", one.pid ? evidenceTone(one.status) : "quiet");
}

export async function render(root, params, api) {
  const wanted = Object.fromEntries(NAMES.map((name) => [name, params.query.get(name) ?? ""]));
  const list = el("section", { class: "card", "aria-label": "Incidents" });
  const said = el("p", { class: "quiet", role: "status" });
  let shown, newest = 0, changed = Date.now(), seen = new Map(), asked = 0, hasMore = null;

  const filtered = () => NAMES.some((name) => wanted[name]);
  const unknown = (rows) => rows.filter((one) => !seen.has(one.correlation_id));
  const put = (rows, options) => {
    const lines = shown.add(rows, options);
    rows.forEach((one, at) => seen.set(one.correlation_id, { line: lines[at], said: JSON.stringify(one) }));
    return lines;
  };

  // What is said otherwise by now takes its row's place, and its focus; what matches only now comes in between.
  function freshen(rows) {
    let below = null;
    for (const one of [...rows].reverse()) {
      const held = seen.get(one.correlation_id), said = JSON.stringify(one);
      if (held?.said === said || !(held || below)) {
        below = held?.line ?? null;
        continue;
      }
      const line = shown.line(one), hadFocus = held?.line.contains(document.activeElement);
      if (held) held.line.replaceWith(line);
      else below.before(line);
      if (hadFocus) line.querySelector("a").focus({ preventScroll: true });
      seen.set(one.correlation_id, { line, said });
      below = line;
    }
  }
  const tell = () => {
    const count = seen.size;
    said.replaceChildren(el("span", { class: "dot live", "aria-hidden": "true" }), hasMore ? `the newest ${counted(count, "incident")}` : counted(count, "incident"), filtered() ? " that match" : "", " · live");
  };

  // Where the next page begins: at the oldest row's moment, behind as many as are shown of it.
  let oldest = { at: null, count: 0 };
  const remember = (rows) => {
    for (const one of rows) oldest = one.raised_at === oldest.at ? { at: one.raised_at, count: oldest.count + 1 } : { at: one.raised_at, count: 1 };
  };
  const behind = ({ at, count }) => ({ until: new Date(Date.parse(at) + 1).toISOString(), offset: count });

  async function load() {
    const turn = ++asked;
    const got = await api.get("/api/incidents", { ...wanted, limit: PAGE });
    if (turn !== asked) return;
    [newest, seen, hasMore] = [got.newest_id, new Map(), got.next_offset];
    oldest = { at: null, count: 0 };
    remember(got.rows);
    shown = table({ caption: "Newest first; a row opens the incident", columns: COLUMNS, rows: [], open: true });
    put(got.rows);
    list.replaceChildren(got.rows.length ? shown : nothing(got.notes), more, trouble);
    more.hidden = hasMore === null;
    tell();
  }

  function nothing(notes) {
    if (filtered()) return empty("No incident matches", ...(notes.length ? notes.map(foreign) : ["Widen the period, or take a filter away."]));
    return empty("Nothing went wrong yet", "When a process breaks a rule, it appears here by itself.", ["Try it: ", el("code", {}, "timeout 30 sh -c 'while :; do :; done'")]);
  }

  const trouble = el("div");
  const more = button("Show older", () => older().catch((error) => {
    if (error.name !== "AbortError") trouble.replaceChildren(failure(error)); // the button itself is there to try again
  }));

  async function older() {
    const turn = asked;
    const got = await api.get("/api/incidents", { ...wanted, ...behind(oldest), limit: PAGE });
    if (turn !== asked) return;
    trouble.replaceChildren();
    remember(got.rows);
    hasMore = got.next_offset;
    put(unknown(got.rows));
    more.hidden = hasMore === null;
    tell();
  }

  let typing = 0;
  const change = (name, later = false) => (event) => {
    wanted[name] = event.target.value.trim();
    api.query({ [name]: wanted[name] });
    clearTimeout(typing);
    typing = setTimeout(() => load().catch((error) => error.name === "AbortError" || broken(error)), later ? 250 : 0);
  };
  const input = (name, placeholder, type = "search") => el("input", { type, value: wanted[name], placeholder, autocomplete: "off", spellcheck: "false", maxlength: 256, oninput: change(name, true) });
  const search = input("text", "name, command line, reason");
  const filters = el("form", { class: "filters", role: "search", onsubmit: (event) => event.preventDefault() },
    field("Search", search),
    field("Process", input("process", "any, or a pattern: py*")),
    field("Trigger", select([["", "any"], ...METRICS.map((one) => [one, one.replaceAll("_", " ")])], wanted.metric, { onchange: change("metric") })),
    field("Rule", input("rule", "any")),
    field("Cause", input("cause", "any")),
    field("Since", periods(wanted.since, change("since"))));
  const further = el("details", { open: FURTHER.some((name) => wanted[name]) }, el("summary", {}, "More filters"),
    el("div", { class: "filters" },
      field("Function", input("function", "any, or a pattern: parse*")), field("User", input("user", "any")), field("Unit or container", input("unit", "any")),
      field("Until", input("until", "now; 2h, 03:00, yesterday")), field("Kept", select([["", "any"], ["1", "kept"], ["0", "not kept"]], wanted.pinned, { onchange: change("pinned") }))));

  add(root, el("div", { class: "row apart" }, el("h1", {}, title), said), el("div", { class: "card stack" }, filters, further), list);
  list.append(el("div", { class: "state" }, "Loading…"));
  const broken = (error) => {
    if (error.name === "AbortError" || error.status === 401) throw error;
    list.replaceChildren(failure(error, () => load().catch(broken)));
    said.replaceChildren();
  };
  await load().catch(broken);

  api.every(2000, async () => {
    if (newest === 0 || !seen.size) return load();
    const turn = asked;
    const got = await api.get("/api/incidents", { ...wanted, limit: PAGE, after: newest });
    if (turn !== asked) return;
    if (got.newest_id !== newest) [newest, changed] = [got.newest_id, Date.now()];
    const rows = unknown(got.rows); // before what is freshened: else these would be drawn there, and nobody be told
    if (rows.length) {
      for (const row of put(rows, { first: true })) row.classList.add("new");
      api.announce(`${counted(rows.length, "new incident")}: ${rows[0].name}`);
      tell();
    }
    if (Date.now() - changed < SETTLES_MS) {
      const latest = await api.get("/api/incidents", { ...wanted, limit: PAGE });
      if (turn === asked) freshen(latest.rows);
    }
  });
  api.keys({ ...rowKeys(root), "/": () => search.focus() });

  const seesEnd = new IntersectionObserver((entries) => {
    if (entries.some((one) => one.isIntersecting) && !more.hidden && seen.size < ROWS_KEPT_UP) more.click();
  }, { rootMargin: "400px" });
  seesEnd.observe(more);
  return () => { clearTimeout(typing); seesEnd.disconnect(); };
}

function periods(value, onchange) {
  const options = PERIODS.some(([held]) => held === value) ? PERIODS : [...PERIODS, [value, value]];
  return select(options, value, { onchange });
}
