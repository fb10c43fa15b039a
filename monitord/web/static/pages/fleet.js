// The fleet: its hosts, their incidents and functions, what came on several at once. Asked when one says so: a question reads a bucket.
import { add, age, badge, bar, code, counted, el, empty, failure, field, fleetPath, foreign, link, loading, percent, prose, quantity, rowKeys, select, span, table, when } from "/static/dom.js";
import { METRICS } from "/static/pages.js";

export const title = "Fleet";
const PERIODS = [["", "yesterday and today (UTC)"], ["1h", "1 hour"], ["7d", "7 days"], ["30d", "30 days"]];
const LIMIT = 100;
const AHEAD_MS = 600_000; // of a clock

const anyOf = (options) => [["", "any"], ...options];
const FILTERS = {
  host: ["Host", "any, or a pattern: web*"], text: ["Search", "name, command line, reason"], process: ["Process", "any, or a pattern: py*"],
  rule: ["Rule", "any"], cause: ["Cause", "any"], user: ["User", "any"], unit: ["Unit or container", "any"], until: ["Until", "now; 2h, 03:00, yesterday"],
  metric: ["Trigger", anyOf(METRICS.map((one) => [one, one.replaceAll("_", " ")]))], pinned: ["Kept", anyOf([["1", "kept"]])], since: ["Since", PERIODS],
  window_s: ["Within", [["", "5 min"], ["60", "1 min"], ["1800", "30 min"], ["3600", "1 h"], ["86400", "1 d"]]],
  hosts: ["On so many hosts", [["", "2"], ["3", "3"], ["5", "5"], ["10", "10"], ["50", "50"], ["100", "100"]]],
};

const figure = (value) => (value === null ? "–" : quantity(value, "percent"));
const times = (at) => [when(at), " ", age(at)];
const place = (one) => (one.file || one.module ? el("div", { class: "quiet small" }, foreign(`${one.file ?? one.module}${one.line ? `:${one.line}` : ""}`)) : null);
const hostLink = (host) => link(fleetPath({ view: "recent", host }), foreign(host));
const WAITS = "A question reads the hosts' files in the bucket and may take some seconds; one goes at a time.";

const VIEWS = {
  hosts: {
    words: "Hosts", noun: "host", filters: ["host", "since", "until"], caption: "With most incidents first; a row opens its incidents", nothing: "No host shipped anything in that time",
    columns: [
      { title: "Host", cell: (one) => hostLink(one.host_id) },
      { title: "Incidents", class: "number", cell: (one) => el("b", {}, one.incidents) },
      { title: "CPU", class: "number", cell: (one) => figure(one.machine_percent_mean) },
      { title: "At most", class: "number", narrow: false, cell: (one) => figure(one.machine_percent_max) },
      { title: "Memory", class: "number", narrow: false, cell: (one) => figure(one.memory_percent_max) },
      { title: "CPUs", class: "number", narrow: false, cell: (one) => one.cpu_count ?? "–" },
      { title: "Heard of", class: "number", cell: (one) => [times(one.last_at), Date.parse(one.last_at) > Date.now() + AHEAD_MS ? [" ", badge("clock ahead", "warn")] : null] },
    ],
  },
  recent: {
    words: "Incidents", noun: "incident", filters: ["text", "host", "process", "function", "metric", "rule", "cause", "user", "unit", "pinned", "since", "until"],
    caption: "Newest first; a row opens the functions of its process on its host. `monitord fleet show ID` fetches the evidence", nothing: "No incident matches",
    columns: [
      { title: "Process", cell: (one) => [link(fleetPath({ view: "hot", host: one.host_id, process: one.process_name }), foreign(one.name || "–")), one.pid ? el("span", { class: "quiet" }, ` ${one.pid}`) : null] },
      { title: "Host", cell: (one) => hostLink(one.host_id) },
      { title: "", class: "number", cell: (one) => el("b", {}, one.trigger_value === null ? "–" : quantity(one.trigger_value, one.trigger_unit)) },
      { title: "Trigger", cell: (one) => [foreign(one.trigger_metric?.replaceAll("_", " ")), one.pinned ? [" ", badge("kept")] : null] },
      { title: "Hottest function", class: "wide", cell: (one) => (one.hottest_function ? code(one.hottest_function) : el("span", { class: "quiet" }, "–")) },
      { title: "Cause", narrow: false, cell: (one) => (one.cause && one.cause !== "unknown" ? badge(one.cause) : el("span", { class: "quiet" }, "–")) },
      { title: "ID", narrow: false, cell: (one) => code(one.short_id) },
      { title: "When", class: "number", cell: (one) => times(one.raised_at) },
    ],
  },
  hot: {
    words: "Functions", noun: "function", filters: ["host", "process", "function", "module", "since", "until"],
    caption: "By how much time they took over all hosts; a row opens the incidents in which it was the hottest", nothing: "No function was hot on any host in that time",
    columns: [
      { title: "Function", cell: (one) => [link(fleetPath({ view: "recent", function: one.function }), code(one.function)), place(one)] },
      { title: "Own time", class: "number", cell: (one) => percent(one.self_share_mean) },
      { title: "", narrow: false, cell: (one) => bar(one.self_share_mean) },
      { title: "Highest", class: "number", narrow: false, cell: (one) => percent(one.self_share_max) },
      { title: "Hosts", class: "number", cell: (one) => one.hosts },
      { title: "Incidents", class: "number", narrow: false, cell: (one) => one.incidents ?? "–" },
      { title: "Last", class: "number", cell: (one) => times(one.last_at) },
    ],
  },
  same: {
    words: "At once", noun: "occurrence", filters: ["host", "process", "rule", "window_s", "hosts", "since", "until"],
    caption: "One rule, one function, on several hosts; a row opens the incidents", nothing: "No incident came on several hosts in that time",
    columns: [
      { title: "What", cell: (one) => link(fleetPath({ view: "recent", rule: one.rule, since: one.began_at, until: behind(one.ended_at) }), code(one.what || "–")) },
      { title: "Process", cell: (one) => foreign(one.process) },
      { title: "Rule", narrow: false, cell: (one) => foreign(one.rule) },
      { title: "Hosts", class: "number", cell: (one) => el("b", {}, one.hosts) },
      { title: "Incidents", class: "number", narrow: false, cell: (one) => one.incidents },
      { title: "Within", class: "number", narrow: false, cell: (one) => span((Date.parse(one.ended_at) - Date.parse(one.began_at)) / 1000) },
      { title: "Began", class: "number", cell: (one) => times(one.began_at) },
    ],
  },
};
const behind = (at) => new Date(Date.parse(at) + 1).toISOString(); // `until` is exclusive

export async function render(root, params, api) {
  const name = Object.hasOwn(VIEWS, params.query.get("view") ?? "") ? params.query.get("view") : "hosts";
  const view = VIEWS[name];
  const wanted = Object.fromEntries(view.filters.map((each) => [each, params.query.get(each) ?? ""]));
  const said = el("p", { class: "quiet", role: "status" });
  const list = el("section", { class: "card", "aria-label": view.words });
  const notes = el("section", { class: "card", "aria-label": "Notes", hidden: true });
  let asked = 0;

  const ask = () => {
    api.query(wanted);
    return load();
  };
  const filters = el("form", { class: "filters", role: "search", onsubmit: (event) => { event.preventDefault(); ask(); } },
    view.filters.map((each) => control(each, wanted, ask)), el("button", { class: "primary" }, "Ask"));
  const others = Object.entries(VIEWS).map(([each, { words }]) =>
    link(fleetPath({ view: each, host: wanted.host, since: wanted.since, until: wanted.until }), words));
  Object.keys(VIEWS).forEach((each, at) => { others[at].className = "button"; if (each === name) others[at].setAttribute("aria-current", "page"); });
  add(root, el("div", { class: "row apart" }, el("h1", {}, title), said), el("nav", { class: "row", "aria-label": "Questions" }, others), el("div", { class: "card" }, filters), list, notes);

  async function load() {
    const turn = ++asked;
    said.textContent = "";
    notes.hidden = true;
    list.replaceChildren(loading("Asking the fleet…"), el("p", { class: "quiet small" }, WAITS));
    let got;
    try { got = await api.get(`/api/fleet/${name}`, { ...wanted, limit: LIMIT }); } catch (error) {
      if (turn !== asked || error.name === "AbortError") return;
      if (error.status === 401) throw error;
      return list.replaceChildren(failure(error, load));
    }
    if (turn !== asked) return;
    if (!got.is_configured) return list.replaceChildren(unconfigured());
    said.textContent = `${got.rows.length === LIMIT ? "the first " : ""}${counted(got.rows.length, view.noun)}`;
    list.replaceChildren(table({ caption: prose(view.caption), columns: view.columns, rows: got.rows, open: true, empty: empty(view.nothing, "Widen the period, or take a filter away.") }));
    notes.replaceChildren(el("h2", {}, "Notes"), el("ul", {}, got.notes.map((note) => el("li", {}, foreign(note)))));
    notes.hidden = !got.notes.length;
  }
  api.keys({ ...rowKeys(root), "/": () => filters.querySelector("input").focus() });
  await load();
}

function control(name, wanted, ask) {
  const [label, held] = FILTERS[name] ?? [name[0].toUpperCase() + name.slice(1), name === "module" ? "its whole name" : "any"];
  const take = (event) => { wanted[name] = event.target.value.trim(); };
  if (typeof held === "string") return field(label, el("input", { type: "search", value: wanted[name], placeholder: held, autocomplete: "off", spellcheck: "false", maxlength: 256, oninput: take }));
  const options = held.some(([value]) => value === wanted[name]) ? held : [...held, [wanted[name], wanted[name]]];
  return field(label, select(options, wanted[name], { onchange: (event) => { take(event); ask(); } }));
}

const unconfigured = () => empty("No fleet is configured", "Hosts that ship to one bucket are shown here together.",
  ["Name the bucket: ", el("code", {}, "monitord config set fleet.url s3://BUCKET/PREFIX"), ", then start ", el("code", {}, "monitord web"), " again."]);
