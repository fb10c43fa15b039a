// The recorder: whether it runs, what it costs, how full its store is, its jobs, and what is degraded.
import { add, age, badge, code, counted, el, facts, failure, foreign, incidentLink, loading, quantity, section, span, table, when } from "/static/dom.js";

export const title = "Recorder";

export async function render(root, _params, api) {
  const place = el("div", { class: "stack" });
  add(root, el("h1", {}, title), place);

  async function load() {
    let got;
    try { got = await api.get("/api/recorder"); } catch (error) {
      if (error.name === "AbortError") return;
      if (error.status === 401) throw error;
      return place.replaceChildren(failure(error, load));
    }
    place.replaceChildren(...drawn(got));
  }
  place.append(loading("Asking the recorder…"));
  await load();
  api.every(5000, load);
}

function drawn(got) {
  const said = got.status;
  return [lead(got), cost(got, said), degraded(said), store(got), blackBox(said.black_box), jobs(said.jobs), going(said, got.cache)].filter(Boolean);
}

function lead(got) {
  const runs = got.problem ? badge("does not report", "bad") : badge("records", "ok");
  const state = got.running ? runs : badge("not running", "bad");
  return el("section", { class: "card", "aria-label": "State" },
    el("p", { class: "row" }, state, got.status.version ? el("span", {}, "monitord ", foreign(got.status.version)) : null, got.status.pid ? el("span", { class: "quiet" }, `pid ${got.status.pid}`) : null),
    got.problem ? el("p", { role: "alert" }, foreign(got.problem)) : null,
    facts([
      ["since", got.running && got.status.started_at ? [when(got.status.started_at), " ", age(got.status.started_at)] : null],
      ["last look", got.status.taken_at ? [when(got.status.taken_at), " ", age(got.status.taken_at)] : null],
      ["data", code(got.data_dir)],
      ["configuration", got.status.config_paths?.length ? code(got.status.config_paths.join(", ")) : got.running ? "defaults" : null],
    ]));
}

function cost(got, said) {
  if (!got.running) return null;
  const figures = [
    ["CPU of one core", number(said.own_cpu_percent) ? `${said.own_cpu_percent.toFixed(2)} %` : "unknown"],
    ["memory", number(said.own_rss_bytes) ? quantity(said.own_rss_bytes, "bytes") : "unknown"],
    ["a pass every", number(said.interval_s) ? span(said.interval_s) : "unknown"],
    ["processes seen", number(said.process_count) ? said.process_count.toLocaleString("en") : "unknown"],
    ["passes lost", number(said.lost_passes) ? said.lost_passes.toLocaleString("en") : "0"],
  ];
  return section("Its own cost", el("dl", { class: "figures" }, figures.map(([words, value]) => el("div", {}, el("dt", {}, words), el("dd", {}, value)))));
}

function degraded(said) {
  const reasons = said.degraded ?? [];
  const missing = Object.entries(said.missing_sources ?? {});
  if (!reasons.length && !missing.length) return null;
  return section("What is degraded", el("ul", { class: "bare" },
    reasons.map((one) => el("li", {}, badge("degraded", "warn"), " ", foreign(String(one)))),
    missing.map(([name, why]) => el("li", {}, badge("without", "quiet"), " ", foreign(`${name}: ${why}`)))));
}

const PARTS = [["artefact_bytes", "evidence", 28], ["database_bytes", "database", 205], ["wal_bytes", "write-ahead log", 155], ["set_aside_bytes", "set aside", 340], ["other_bytes", "other", 280]];

function store(got) {
  const used = got.usage;
  if (!used.budget_bytes) return section("Store", el("p", { class: "quiet" }, "Its budget is not known: the configuration can't be read."));
  const share = used.total_bytes / used.budget_bytes;
  const parts = el("div", { class: "parts", "aria-hidden": "true" }, PARTS.map(([name, , hue]) => {
    const part = el("span");
    part.style.width = `${((100 * (used[name] ?? 0)) / Math.max(used.budget_bytes, used.total_bytes)).toFixed(2)}%`;
    part.style.setProperty("--hue", hue);
    return part;
  }));
  const legend = el("ul", { class: "legend" }, PARTS.filter(([name]) => used[name]).map(([name, words, hue]) => {
    const key = el("span", { class: "key" });
    key.style.setProperty("--hue", hue);
    return el("li", {}, key, `${words} ${quantity(used[name], "disk_bytes")}`);
  }));
  const counts = got.counts;
  return section("Store", el("p", { class: "lead" }, `${quantity(used.total_bytes, "disk_bytes")} of ${quantity(used.budget_bytes, "disk_bytes")} (${(100 * share).toFixed(0)} %)`, " ", share > 0.95 ? badge("full: the mildest go first", "warn") : null), parts, legend,
    facts([
      ["incidents", counts && `${counts.incidents.toLocaleString("en")}, ${counts.pinned.toLocaleString("en")} kept`],
      ["captures", counts?.captures.toLocaleString("en")],
      ["summaries", counts && counts.summaries ? `${counted(counts.summaries, "incident")} without evidence by now` : null],
      ["history", got.history ? [when(got.history[0]), " to ", when(got.history[1])] : "none yet"],
      ["free on the disk", number(used.free_disk_bytes) ? quantity(used.free_disk_bytes, "disk_bytes") : null],
    ]), got.long_wal ? el("p", { class: "limit" }, badge("long", "warn"), " ", foreign(got.long_wal.detail), ". ", code(got.long_wal.fix)) : null, counts === null ? el("p", { class: "quiet" }, "There is no store yet, or it can't be read now.") : null);
}

function blackBox(box) {
  if (!box) return null;
  const scopes = { machine: "all processes", "own processes": "own processes alone", dumps: "without rings" };
  return section("Black box", el("p", { class: "row" }, box.state === "on" ? badge("on", "ok") : badge("off", "warn"), box.scope ? scopes[box.scope] ?? foreign(box.scope) : null, box.reason ? el("span", { class: "quiet" }, foreign(box.reason)) : null),
    box.state === "on" ? facts([["keeps", number(box.kept_s) ? span(box.kept_s) : null], ["a second", number(box.rate_hz) ? counted(box.rate_hz, "sample") : null], ["Python stacks", number(box.python_stacks) ? box.python_stacks.toLocaleString("en") : null],
      ["its CPU", number(box.own_cpu_percent) ? `${box.own_cpu_percent.toFixed(2)} % of one core` : null], ["lost", box.lost ? box.lost.toLocaleString("en") : null]]) : null);
}

function jobs(held) {
  const rows = Object.entries(held ?? {}).filter(([, job]) => job && typeof job === "object").map(([name, job]) => ({ name, ...job }));
  if (!rows.length) return null;
  const moment = (at, nothing) => (at ? [when(at), " ", age(at)] : el("span", { class: "quiet" }, nothing));
  return section("Jobs", table({ caption: "What tidies the store", rows, columns: [
    { title: "Job", cell: (one) => foreign(one.name.replaceAll("_", " ")) },
    { title: "Last run", class: "number", cell: (one) => moment(one.last_run, "not yet") },
    { title: "Next", class: "number", cell: (one) => moment(one.next_run, "–") },
    { title: "Outcome", class: "wide", cell: (one) => (one.outcome ? foreign(one.outcome) : el("span", { class: "quiet" }, "–")) },
  ] }));
}

function going(said, cache) {
  const counters = said.storage?.counters, sent = said.uploader;
  const errors = (counters?.errors ?? []).reduce((sum, one) => sum + (one.count ?? 0), 0);
  const pairs = [
    ["so far", said.counts ? Object.entries(said.counts).filter(([, value]) => number(value)).map(([name, value]) => `${value.toLocaleString("en")} ${value === 1 ? name.replace(/s$/, "") : name}`).join(", ") : null],
    ["artefacts", counters ? `${counters.writes ?? 0} written, ${counters.reads ?? 0} read, ${counters.deletes ?? 0} deleted${errors ? `, ${errors} failed` : ""}` : null],
    ["this page's memory", cache ? `${cache.hits} of ${cache.hits + cache.misses} remote artefacts came from it; it holds ${cache.entries}` : null],
    ["last incident", said.last_incident ? incidentLink(said.last_incident) : null],
    ["capturing", said.capture?.correlation_id ? incidentLink(said.capture.correlation_id) : null],
    ["sent away", sent ? [`${sent.moved ?? 0} sent`, sent.url ? [" to ", foreign(sent.url)] : null, sent.waiting_artefacts ? `, ${sent.waiting_artefacts} wait` : null, sent.last_error ? [": ", foreign(sent.last_error)] : null] : null],
  ];
  const alerts = said.storage?.alerts ?? [];
  if (!pairs.some(([, value]) => value) && !alerts.length) return null;
  return section("What went in and out", facts(pairs), alerts.length ? el("ul", { class: "bare" }, alerts.map((one) => el("li", {}, badge(one.level, one.level === "critical" ? "bad" : "warn"), " ", foreign(one.message), one.fix ? [" ", foreign(one.fix)] : null))) : null);
}

const number = (value) => typeof value === "number" && Number.isFinite(value);
