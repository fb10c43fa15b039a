// One incident: the verdict first, then where the time went, what was before, what was captured, what to do.
import { add, age, badge, bar, button, code, copy, counted, el, empty, facts, failure, field, foreign, incidentLink, incidentPath, link, loading, off, percent, quantity,
  section, shortId, span, stamp, table, trend, when } from "/static/dom.js";
import { flameGraph, speedscope } from "/static/profile.js";
import { strip } from "/static/strip.js";

export const title = "Incident";
let last = {}; // what was said of what was done last: {path, words}
const PENDING = { running: "its profile is being taken now", waiting: "its profile waits for its turn" };

export async function render(root, params, api) {
  const path = `/api/incidents/${encodeURIComponent(params.id)}`;
  const [one] = await Promise.all([api.get(path), api.known()]); // what may be done is known, too
  const work = { count: 0 }; // what is being done: the page stays as it is until it is done
  const profile = one.has_profile ? profileSection(path, one, api) : null;
  add(root, head(path, one, api, work), verdict(one), stripSection(path, one, api), profile?.element ?? hotspots(one), before(one), captured(one),
    explanation(path, api), alike(path, api), comparing(one, api), notes(path, one, api), details(one));
  if (profile) api.keys({ f: () => profile.show("flame"), s: () => profile.show("speedscope") });
  if (one.pending) {
    const had = one.captures.length;
    api.every(2000, async () => {
      const again = await api.get(path);
      if (work.count) return; // begun meanwhile, perhaps
      if (again.pending !== one.pending || again.captures.length !== had) api.go(location.pathname);
    });
  }
}

// --- the head: who, how much, when, what can be done --------------------------------------------------------
function head(path, one, api, doing) {
  const said = el("span", { class: "quiet", role: "status" });
  const tell = (words) => { // and once more where the page is drawn anew meanwhile
    last = { path, words };
    said.replaceChildren();
    add(said, words ?? "");
  };
  if (last.path === path) tell(last.words);
  else last = {};
  const act = (words, work, more) => button(words, async (event) => {
    const on = off(event.target);
    doing.count++;
    tell("");
    try { tell(await work()); } catch (error) {
      if (error.name !== "AbortError") said.replaceChildren(badge("not done", "bad"), " ", foreign(error.message));
    }
    on();
    doing.count--;
  }, more);
  const again = () => api.go(location.pathname);
  const changing = api.actions ? [
    one.pid ? act("Capture again", async () => {
      said.replaceChildren(el("span", { class: "dot", "aria-hidden": "true" }), "profiling for 10 s, or waiting for a process like it…");
      const made = (await api.post(`${path}/capture-again`)).incident;
      return ["made ", incidentLink(made.correlation_id), " · ", link(`${incidentPath(made.correlation_id)}/compare/${encodeURIComponent(one.correlation_id)}`, "compare both")];
    }) : null,
    act(one.pinned ? "Let go" : "Keep", async () => { await api.post(`${path}/pin`, { undo: one.pinned }); again(); }, { title: one.pinned ? "Let it go with its age again" : "Keep it past its age" }),
  ] : [el("span", { class: "quiet small" }, "To capture again, keep it or leave a note: ", code("monitord web --allow-actions"))];
  const metric = one.metric ?? one.trigger_metric;
  return el("header", { class: "stack" },
    el("div", { class: "row apart" },
      el("div", {}, el("h1", {}, foreign(one.name), one.pid ? el("span", { class: "quiet" }, ` pid ${one.pid}`) : null),
        el("p", { class: "quiet" }, when(one.raised_at), " · ", age(one.raised_at), " · ", code(one.short_id),
          one.late ? [" ", badge("late", "warn")] : null, one.pinned ? [" ", badge("kept")] : null, one.summary ? [" ", badge("summary: its evidence is gone", "warn")] : null)),
      el("div", { class: "number" }, el("div", { class: "figure" }, quantity(one.trigger_value, one.unit)), el("span", { class: "quiet" }, foreign(metric.replaceAll("_", " "))))),
    el("div", { class: "row actions", role: "group", "aria-label": "What can be done" },
      act("Copy summary", async () => {
        const text = await api.text(`${path}/summary`);
        return (await copied(text)) ? "copied, redacted: paste it into a ticket or a chat" : "";
      }, { tone: "primary" }),
      act("Save report", async () => { save(await api.blob(`${path}/report`), `${one.short_id}.report.html`); return "saved, redacted"; }),
      act("Where it lies", async () => ["it lies in ", code((await api.get(`${path}/place`)).place)]),
      changing, said));
}

async function copied(text) {
  try {
    await copy(text);
    return true;
  } catch { // no clipboard for this page: it is shown to be copied by hand
    const area = el("textarea", { readonly: true, rows: 12, "aria-label": "Summary" }, text);
    const dialog = el("dialog", { "aria-label": "Summary", onclose: () => dialog.remove() }, el("h2", {}, "Summary"), area, button("Close", () => dialog.close()));
    document.body.append(dialog);
    dialog.showModal();
    area.select();
    return false;
  }
}

function verdict(one) {
  const cause = one.cause;
  const sentence = one.verdict ?? (cause && cause.kind !== "unknown" ? cause.sentence : one.reason);
  return el("section", { class: "card stack", "aria-label": "Verdict" },
    el("p", { class: "lead" }, foreign(sentence)),
    el("p", { class: "row" }, cause && cause.kind !== "unknown" ? [badge(`cause: ${cause.kind}`, "warn"), badge(cause.confidence)] : badge("cause unknown"),
      one.pending ? badge(PENDING[one.pending], "ok") : null, one.repeats ? badge(`${counted(one.repeats, "repeat")} not kept apart`) : null),
    one.verdict && cause && !one.verdict.includes(cause.sentence.slice(0, 30)) ? el("p", {}, foreign(cause.sentence)) : null,
    sentence !== one.reason ? el("p", { class: "quiet" }, foreign(one.reason)) : null,
    cause?.evidence?.length ? facts(cause.evidence.map((each) => [foreign(each.label), foreign(each.text)])) : null,
    cause?.runner_up ? el("p", { class: "quiet" }, "It may be ", foreign(cause.runner_up), " instead. ", cause.decides ? ["What would decide: ", foreign(cause.decides)] : null) : null);
}

// --- what ran, step by step ---------------------------------------------------------------------------------
function stripSection(path, one, api) {
  if (!one.captures.some((each) => each.role === "before")) return null;
  const made = section("What ran before", loading("Reading what ran…"));
  api.get(`${path}/timeline`).then((told) => {
    const body = told.timeline?.length ? strip(told.timeline, one.name) : el("p", { class: "quiet" }, foreign(told.trouble ?? "Nothing ran in that time."));
    const ran = told.processes?.length ? table({
      caption: "Who ran", rows: told.processes, columns: [
        { title: "Process", cell: (each) => [foreign(each.name), el("span", { class: "quiet" }, ` ${each.pid}`), each.ended ? [" ", badge("ended")] : null] },
        { title: "CPU", class: "number", cell: (each) => quantity(each.cpu_percent, "percent") },
        { title: "Hottest function", class: "wide", cell: (each) => (each.function ? code(each.function) : "–") },
        { title: "Share", class: "number", cell: (each) => percent(each.share) },
      ] }) : null;
    made.replaceChildren(made.firstChild, body, ...(ran ? [ran] : []));
  }).catch((error) => error.name === "AbortError" || made.replaceChildren(made.firstChild, failure(error)));
  return made;
}

// --- where the time went ------------------------------------------------------------------------------------
function profileSection(path, one, api) {
  const body = el("div", { role: "tabpanel", tabindex: "-1" });
  const views = {
    flame: ["Flame graph", async () => flameGraph(JSON.parse(await api.text(`${path}/flamegraph`)))],
    functions: ["Functions", async () => functions(one)],
    speedscope: ["speedscope", async () => speedscope(await api.blob(`${path}/profile`, { form: "speedscope", raw: 1 }), `${one.name} ${one.short_id}`, api.signal)],
  };
  const tabs = Object.fromEntries(Object.entries(views).map(([name, [words]]) => [name,
    el("button", { type: "button", role: "tab", "aria-selected": "false", onclick: () => show(name) }, words)]));
  let turn = 0;
  async function show(name) {
    const mine = ++turn;
    for (const [each, tab] of Object.entries(tabs)) tab.setAttribute("aria-selected", String(each === name));
    body.replaceChildren(loading("Reading the profile…"));
    try {
      const drawn = await views[name][1]();
      if (mine === turn) body.replaceChildren(drawn);
    } catch (error) {
      if (mine === turn && error.name !== "AbortError") body.replaceChildren(failure(error, () => show(name)));
    }
  }
  const kept = el("span", { class: "quiet", role: "status" });
  const downloads = el("span", { class: "row" }, el("span", { class: "quiet" }, "Save, redacted:"), ["speedscope", "pprof", "folded"].map((form) => button(form, async (event) => {
    const on = off(event.target);
    kept.replaceChildren();
    try { save(await api.blob(`${path}/profile`, { form }), `${one.short_id}.${form === "speedscope" ? "speedscope.json" : form}`); } catch (error) {
      if (error.name !== "AbortError") kept.replaceChildren(badge("not saved", "bad"), " ", foreign(error.message));
    }
    on();
  })), kept);
  const element = section(whereTitle(one), el("div", { class: "row apart" }, el("div", { class: "tabs", role: "tablist" }, Object.values(tabs)), downloads), body);
  show(one.hotspots.length && one.metric !== "memory" ? "flame" : "functions");
  return { element, show };
}

export function save(blob, name) {
  const address = URL.createObjectURL(blob);
  const anchor = el("a", { href: address, download: name });
  anchor.click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

const place = (spot) => (spot.file ? (spot.line ? `${spot.file}:${spot.line}` : spot.file) : `(${spot.module ?? spot.kind})`);

function functions(one) {
  const spots = one.hotspots.filter((spot) => Math.max(spot.self_share, spot.total_share) >= 0.005);
  return table({
    caption: "The hottest functions: itself, and with what it called",
    rows: spots.length ? spots : one.hotspots,
    columns: [
      { title: "Itself", class: "number", cell: (spot) => percent(spot.self_share) },
      { title: "", narrow: false, cell: (spot) => bar(spot.self_share, spot.kind) },
      { title: "With calls", class: "number", cell: (spot) => percent(spot.total_share) },
      { title: "Function", class: "wide", cell: (spot) => [el("b", {}, code(spot.function)), spot.source_line ? el("div", { class: "quiet" }, code(spot.source_line)) : null] },
      { title: "Place", class: "wide", cell: (spot) => el("span", { class: "quiet" }, code(place(spot))) },
    ],
    empty: empty("No function is known", "What was captured holds no stacks; below stands why."),
  });
}

const whereTitle = (one) => (one.captures.some((each) => each.id === one.id && each.notes?.only_waited) ? "Where it waited" : "Where the time went");

const hotspots = (one) => (one.hotspots.length ? section(whereTitle(one), functions(one)) : null);

// --- whether it happened before -----------------------------------------------------------------------------
function alike(path, api) {
  const made = section("Incidents like this one", loading("Looking for incidents like it…"));
  api.get(`${path}/similar`).then((told) => {
    const body = table({
      caption: told.again || "The most alike first", rows: told.rows, columns: [
        { title: "Incident", cell: (each) => incidentLink(each.correlation_id) },
        { title: "When", cell: (each) => when(each.raised_at) },
        { title: "Process", cell: (each) => foreign(each.name) },
        { title: "What", class: "wide", cell: (each) => foreign([each.hottest_function, each.cause].filter(Boolean).join(", ")) },
        { title: "The same", cell: (each) => each.agrees.join(", ") },
      ],
      empty: empty("No other incident is like it", "None has a hot function, a statement, or process and cause in common with it."),
    });
    made.replaceChildren(made.firstChild, body, ...(told.more ? [el("p", { class: "quiet" }, `and ${told.more} more`)] : []));
  }).catch((error) => error.name === "AbortError" || made.replaceChildren(made.firstChild, failure(error)));
  return made;
}

// --- before it ----------------------------------------------------------------------------------------------
const SERIES = [["cpu_percent", "Its CPU, of one core", "percent", 100], ["machine_percent", "The machine's CPU", "percent", 100], ["rss_bytes", "Its memory", "bytes"],
  ["disk_bytes_per_s", "Its disk traffic", "bytes_per_s"], ["network_bytes_per_s", "All network traffic", "bytes_per_s"],
  ["memory_available_bytes", "Free memory", "bytes"], ["thread_count", "Threads", "count"], ["fd_count", "Open files", "count"]];

function before(one) {
  if (one.history.length < 2) return null;
  const seconds = (iso) => Date.parse(iso) / 1000;
  const marks = [[seconds(one.crossed_at), `crossed at ${stamp(new Date(one.crossed_at), { withDate: false })}`], [seconds(one.raised_at), `alert at ${stamp(new Date(one.raised_at), { withDate: false })}`]];
  const drawn = SERIES.map(([key, words, unit, top]) => {
    const points = one.history.map((point) => [seconds(point.taken_at), point[key] ?? null]);
    return points.some(([, value]) => value) ? trend({ title: words, points, unit, marks, top }) : null;
  }).filter(Boolean);
  if (!drawn.length) return null;
  const length = seconds(one.history[one.history.length - 1].taken_at) - seconds(one.history[0].taken_at);
  return section("Before the alert", el("p", { class: "quiet" }, `The last ${span(length)}, each with its highest value; dashed: the threshold was crossed, then the alert.`), el("div", { class: "trends" }, drawn));
}

// --- what was captured, and what was not --------------------------------------------------------------------
function captured(one) {
  const had = one.captures.filter((each) => ["ok", "partial"].includes(each.status));
  const columns = [
    { title: "What", cell: (each) => foreign(each.role) },
    { title: "By", cell: (each) => foreign([each.profiler, each.profiler_version].filter(Boolean).join(" ")) },
    { title: "How", cell: (each) => [each.status === "ok" ? badge("ok", "ok") : badge(each.status, "warn"), each.late ? [" ", badge("late", "warn")] : null] },
    { title: "Samples", class: "number", cell: (each) => (each.sample_count ? quantity(each.sample_count, "count") : "–") },
    { title: "For", class: "number", cell: (each) => (each.duration_seconds ? span(each.duration_seconds) : "–") },
    { title: "Size", class: "number", cell: (each) => (each.size_bytes ? quantity(each.size_bytes, "disk_bytes") : "–") },
    { title: "When", class: "number", cell: (each) => when(each.captured_at) },
  ];
  const missing = one.not_captured.length ? [el("h3", {}, "What could not be captured"), table({
    caption: "Why, and what to type so that it works next time", rows: one.not_captured, columns: [
      { title: "Tool", cell: (each) => foreign(each.profiler) },
      { title: "Outcome", cell: (each) => badge(each.status.replaceAll("_", " "), "bad") },
      { title: "Why", class: "wide", cell: (each) => [foreign(each.reason ?? "unknown"), each.fix ? el("div", {}, el("span", { class: "quiet" }, "Fix: "), code(each.fix)) : null] },
    ] })] : null;
  return section("What was captured", had.length ? table({ caption: "Evidence that is kept", rows: had, columns })
    : empty("Nothing was captured", one.not_captured.length ? "Below stands why." : "No tool was asked."), missing);
}

// --- in sentences; beside another; notes; the rest ----------------------------------------------------------
function explanation(path, api) {
  const body = el("div", {});
  const made = el("details", { class: "card" }, el("summary", {}, "Explained in sentences"), body);
  made.addEventListener("toggle", async () => {
    if (!made.open || body.childElementCount) return;
    body.replaceChildren(loading());
    try {
      const told = await api.get(`${path}/explanation`);
      body.replaceChildren(el("ul", { class: "sentences" }, told.sentences.map((each) => el("li", {}, foreign(each.text)))));
    } catch (error) { if (error.name !== "AbortError") body.replaceChildren(failure(error)); }
  });
  return made;
}

function comparing(one, api) {
  if (!one.has_profile) return null;
  const other = el("input", { type: "text", placeholder: "id of another", autocomplete: "off", spellcheck: "false", maxlength: 64 });
  const form = el("form", { class: "row end", onsubmit: (event) => {
    event.preventDefault();
    if (other.value.trim()) api.go(`${incidentPath(one.correlation_id)}/compare/${encodeURIComponent(other.value.trim())}`);
  } }, field("With another", other), el("button", {}, "Compare"));
  const found = el("ul", { class: "legend" });
  api.get("/api/incidents", { process: one.name.slice(0, 200), limit: 8 }).then((got) => {
    found.append(...got.rows.filter((row) => row.correlation_id !== one.correlation_id).map((row) => el("li", {},
      link(bothPath(one, row), shortId(row.correlation_id), ` · ${quantity(row.trigger_value, row.unit)} · `, age(row.raised_at)))));
  }).catch(() => {});
  return section("Compare", el("div", { class: "row end" },
    one.baseline ? link(`${incidentPath(one.correlation_id)}/compare/baseline`, "With its baseline, from quiet times") : el("span", { class: "quiet" }, "No baseline of this program is kept."), form), found);
}

// The later of two is looked at beside the earlier.
function bothPath(one, other) {
  const [later, earlier] = Date.parse(one.raised_at) >= Date.parse(other.raised_at) ? [one, other] : [other, one];
  return `${incidentPath(later.correlation_id)}/compare/${encodeURIComponent(earlier.correlation_id)}`;
}

function notes(path, one, api) {
  if (!one.annotations.length && !api.actions) return null;
  const text = el("textarea", { maxlength: 2000, "aria-label": "Note" });
  const said = el("span", { class: "quiet", role: "status" });
  const form = api.actions ? el("form", { class: "stack", onsubmit: async (event) => {
    event.preventDefault();
    try { await api.post(`${path}/note`, { text: text.value }); api.go(location.pathname); } catch (error) { said.replaceChildren(foreign(error.message)); }
  } }, text, el("div", { class: "row" }, el("button", { class: "primary" }, "Leave the note"), said)) : null;
  return section("Notes", one.annotations.map((each) => el("p", {}, when(each.taken_at), " ", foreign(each.text))), form);
}

function details(one) {
  const process = one.process ?? {};
  const command = Array.isArray(process.command_line) ? process.command_line.join(" ") : process.command_line;
  const context = Object.entries(one.context ?? {}).map(([name, held]) => [foreign(name.replaceAll("_", " ")), el("span", { class: "foreign mono" }, typeof held === "object" ? JSON.stringify(held, null, 1) : String(held))]);
  return el("details", { class: "card" }, el("summary", {}, "The process and its surroundings"),
    facts([["rule", foreign(one.rule)], ["threshold", one.threshold ? quantity(one.threshold.value, one.threshold.unit) : null], ["window", span(one.window_seconds)],
      ["command", command ? code(command) : null], ["executable", process.executable ? code(process.executable) : null], ["user", process.user ? foreign(process.user) : null],
      ["unit", process.unit ? foreign(process.unit) : null], ["cgroup", process.cgroup ? code(process.cgroup) : null], ["container", process.container_id ? code(process.container_id) : null],
      ["parent", process.parent_pid ? String(process.parent_pid) : null], ["started", process.started_at ? when(process.started_at) : null],
      ["threads", process.thread_count ? String(process.thread_count) : null], ["open files", process.fd_count ? String(process.fd_count) : null]]),
    context.length ? [el("h3", {}, "Around it"), facts(context)] : null,
    one.baseline?.text ? [el("h3", {}, "Beside its baseline"), el("p", {}, foreign(Array.isArray(one.baseline.text) ? one.baseline.text.join("\n") : one.baseline.text))] : null);
}
