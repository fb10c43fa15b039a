// The machine over time: a span is brushed, and the page says who ran in it, in which functions, on which stacks.
import { add, badge, bar, button, code, counted, el, empty, failure, field, foreign, incidentLink, incidentPath, link, loading, off, percent, quantity, section, select, span, stamp, table, when } from "/static/dom.js";
import { timeChart } from "/static/chart.js";
import { flameGraph } from "/static/profile.js";
import { secondsStrip } from "/static/seconds.js";

export const title = "Timeline of the machine";
const PERIODS = [["1h", "1 hour"], ["6h", "6 hours"], ["24h", "24 hours"], ["3d", "3 days"], ["14d", "14 days"], ["all", "all that is stored"]];
const LONGEST_STACKS_S = 300;
const RECORDERS_S = 100; // of so long the recorder's black box holds stacks, whatever a span's length
const TOO_LONG = `Stacks are shown of spans of ${span(LONGEST_STACKS_S)} at most, and of the last ${RECORDERS_S} s: choose another one.`;
const SECONDS = { "1h": 3600, "6h": 21600, "24h": 86400, "3d": 259200, "14d": 1209600 };

export async function render(root, params, api) {
  const number = (name) => { const held = Number(params.query.get(name)); return params.query.has(name) && Number.isFinite(held) ? held : null; };
  let period = SECONDS[params.query.get("period")] || params.query.get("period") === "all" ? params.query.get("period") : "24h";
  let isUnasked = !params.query.has("period") && !params.query.has("begin");
  let view = number("begin") !== null && number("end") > number("begin") ? [number("begin"), number("end")] : null;
  let chosen = number("from") !== null && number("to") > number("from") ? [number("from"), number("to")] : null;
  let charts = [], asked = 0, detailed = 0, stored = null, course = null;

  const said = el("p", { class: "quiet", role: "status" });
  const choice = select(PERIODS, period, { onchange: (event) => { [period, view] = [event.target.value, null]; load(); } });
  const from = el("input", { type: "datetime-local", step: "1", onchange: typed });
  const to = el("input", { type: "datetime-local", step: "1", onchange: typed });
  const zoomIn = button("Zoom in", () => zoom(chosen), { disabled: true });
  const zoomOut = button("Zoom out", () => wider(), { disabled: true });
  const clear = button("Clear", () => choose(null), { disabled: true });
  const drawn = el("div", { class: "stack", tabindex: "0", role: "group", "aria-label": "Charts: drag to choose a span, or arrow keys; plus and minus zoom" });
  const details = el("div", { class: "stack" });
  const head = el("div", { class: "row apart end" }, el("h1", {}, title), field("Period", choice));
  const controls = el("div", { class: "row end" }, field("From", from), field("To", to), zoomIn, zoomOut, clear);
  add(root, head, el("section", { class: "card stack", "aria-label": "Stored history" }, drawn, controls, said), details, nowSection(api));

  const isHeld = () => view || chosen || drawn.contains(document.activeElement);

  async function load({ byItself = false } = {}) {
    const turn = ++asked;
    api.query({ period, begin: view && String(Math.round(view[0])), end: view && String(Math.round(view[1])) });
    const now = Date.now() / 1000;
    const [since, until] = view ?? [period === "all" ? (stored ? stored[0] : now - SECONDS["14d"]) : now - SECONDS[period], now];
    if (!charts.length) drawn.replaceChildren(loading("Reading the stored history…"));
    let got;
    try {
      got = await api.get("/api/timeline", { since: iso(since), until: iso(until), points: Math.max(60, Math.min(1200, Math.round(drawn.clientWidth || 800))) });
    } catch (error) {
      if (turn !== asked || error.name === "AbortError") return;
      if (error.status === 401) throw error;
      shut();
      return drawn.replaceChildren(failure(error, load));
    }
    if (turn !== asked || (byItself && isHeld())) return; // held since it was asked
    const first = stored === null && period === "all" && !view;
    stored = got.stored?.map((one) => Date.parse(one) / 1000) ?? null;
    if (first && stored && stored[0] < since) return load();
    if (isUnasked && stored && stored[0] > until - (until - since) / 10) [period, choice.value] = ["all", "all"];
    if (isUnasked && period === "all") { // a recorder that is new: a day would be a stroke at the chart's end
      isUnasked = false;
      return load();
    }
    isUnasked = false;
    course = { ...got, range: [since, until] };
    await show(got);
  }

  async function show(got) {
    shut();
    zoomOut.disabled = !view && period === "all";
    if (!got.at.length) {
      drawn.replaceChildren(stored
        ? empty("Nothing is stored of this time", `There is history from ${stamp(new Date(stored[0] * 1000))} to ${stamp(new Date(stored[1] * 1000))}.`, button("Show all that is stored", () => { [period, view, choice.value] = ["all", null, "all"]; load(); }))
        : empty("No history yet", "The recorder writes it once a minute.", ["Does it run? ", link("/recorder", "See the recorder")]));
      return tell();
    }
    const options = { at: got.at, range: course.range, onselect: (since, until) => choose([since, until]), group: "timeline" };
    const above = marks(got, course.range);
    const onlayout = (left, width) => { [above.style.marginLeft, above.style.width] = [`${left}px`, `${width}px`]; };
    const made = await Promise.all([
      timeChart(api, { ...options, onlayout, label: "CPU and memory", top: 100, series: [
        { label: "CPU", unit: "percent", hue: 24, values: got.machine_percent }, { label: "memory", unit: "percent", hue: 210, values: got.memory_percent }] }),
      timeChart(api, { ...options, label: "Disks and network", height: 130, series: [
        { label: "disks", unit: "bytes_per_s", hue: 150, values: got.disk_bytes_per_s }, { label: "network", unit: "bytes_per_s", hue: 285, values: got.network_bytes_per_s }] }),
    ]);
    if (api.signal.aborted) return made.forEach((one) => one.close());
    charts = made;
    drawn.replaceChildren(above, ...charts.map((one) => one.element));
    for (const one of charts) one.select(chosen);
    tell();
  }

  function shut() {
    charts.forEach((one) => one.close());
    charts = [];
  }

  // Incidents stand above the chart at their time; where many stand in one place, one mark counts them.
  function marks(got, [first, last]) {
    const places = new Map();
    for (const one of got.incidents) {
      const at = Date.parse(one.raised_at) / 1000;
      const place = Math.round((80 * (at - first)) / Math.max(1, last - first));
      if (place >= 0 && place <= 80) places.set(place, [...(places.get(place) ?? []), { ...one, second: at }]);
    }
    const row = el("div", { class: "marks", role: "list", "aria-label": "Incidents in this period" });
    for (const [place, held] of [...places].sort((a, b) => a[0] - b[0])) {
      const times = held.map((one) => one.second);
      const words = held.length === 1 ? `${held[0].process_name}: ${held[0].reason ?? held[0].rule}` : `${counted(held.length, "incident")}, from ${stamp(new Date(1000 * Math.min(...times)))}`;
      const item = el("span", { role: "listitem" }, held.length === 1
        ? el("a", { class: "mark-of", href: incidentPath(held[0].correlation_id), title: words, "aria-label": words }, "▾")
        : el("button", { type: "button", class: "mark-of", title: words, "aria-label": words, onclick: () => choose([Math.min(...times) - 30, Math.max(...times) + 30]) }, held.length > 99 ? "99+" : held.length));
      item.style.left = `${(100 * place) / 80}%`;
      row.append(item);
    }
    return row;
  }

  function tell() {
    const incidents = course ? course.incidents.length + course.incidents_left_out : 0;
    const whole = course ? `${counted(incidents, "incident")} in this period` : "";
    said.replaceChildren(chosen ? `Chosen: ${named(chosen)}` : `Drag over the chart to choose a span. ${whole}`);
    zoomIn.disabled = clear.disabled = !chosen;
    for (const [input, at] of [[from, chosen?.[0]], [to, chosen?.[1]]]) input.value = at ? local(at) : "";
  }

  function choose(span, { quickly = true } = {}) {
    chosen = span && [Math.round(span[0] * 1000) / 1000, Math.round(span[1] * 1000) / 1000];
    api.query({ from: chosen && String(chosen[0]), to: chosen && String(chosen[1]) });
    for (const one of charts) one.select(chosen);
    tell();
    clearTimeout(waiting);
    waiting = setTimeout(() => detail().catch((error) => details.replaceChildren(failure(error, detail))), quickly ? 0 : 350);
  }
  let waiting = 0;

  function typed() {
    const [since, until] = [from, to].map((input) => Date.parse(input.value) / 1000);
    if (since < until) choose([since, until]);
    else if (from.value && to.value) said.replaceChildren(badge("not a span", "bad"), " the end must come after the beginning");
  }

  function zoom(span) {
    if (!span) return;
    view = [Math.max(0, span[0] - 5), span[1] + 5];
    load();
  }

  function wider() {
    if (!view) {
      const next = PERIODS[PERIODS.findIndex(([held]) => held === period) + 1];
      if (next) [period, choice.value] = [next[0], next[0]];
      return load();
    }
    const length = view[1] - view[0];
    view = [Math.max(0, view[0] - length), Math.min(Date.now() / 1000, view[1] + length)];
    const reach = period === "all" ? Infinity : SECONDS[period];
    if (view[1] - view[0] >= reach) view = null;
    load();
  }

  const move = (sign) => (event) => {
    if (!course?.at.length) return;
    const [first, last] = [course.at[0], course.at[course.at.length - 1]];
    const step = Math.max(1, chosen ? (chosen[1] - chosen[0]) / 2 : (last - first) / 20);
    const at = chosen ?? [last, last + step];
    const moved = event.shiftKey && chosen ? [at[0], Math.max(at[0] + 1, at[1] + sign * step)] : [at[0] + sign * step, at[1] + sign * step];
    if (moved[0] >= first - step && moved[0] <= last) choose(moved, { quickly: false });
  };
  api.keys({ ArrowLeft: move(-1), ArrowRight: move(1), "+": () => zoom(chosen), "-": wider, Escape: () => choose(null) });

  async function detail() {
    const turn = ++detailed;
    if (!chosen) return details.replaceChildren();
    const [since, until] = chosen;
    const query = { since: iso(since), until: iso(until) };
    details.replaceChildren(loading("Looking who ran…"));
    let found;
    try {
      const got = await api.get("/api/timeline/span", query);
      found = parts(got, [since, until]);
      if (turn === detailed) api.announce(`${counted(got.processes.length, "process")} ran from ${named([since, until])}`);
    } catch (error) { // the recorder may know the stacks of a store that can't be read
      if (error.name === "AbortError") return;
      found = [failure(error, detail)];
    }
    if (turn !== detailed) return;
    const stacks = el("div", { class: "stack" }, el("p", { class: "quiet" }, TOO_LONG));
    details.replaceChildren(...found, section("Stacks of this span", stacks));
    const isLate = until > Date.now() / 1000 - RECORDERS_S;
    if (until - since <= LONGEST_STACKS_S || isLate) await showStacks(api, stacks, query, () => turn === detailed);
  }

  await load();
  if (chosen) await detail();
  api.every(15000, async () => { if (!isHeld()) await load({ byItself: true }); });
  return () => { shut(); clearTimeout(waiting); };
}

// --- what a span says ---------------------------------------------------------------------------------------
function parts(got, chosen) {
  const isKnown = got.passes > 0;
  const figures = el("p", { class: "lead" }, isKnown
    ? [`The machine used ${quantity(got.mean_percent, "percent")} of its CPU, at most ${quantity(got.highest_percent, "percent")}.`]
    : nearest(got.nearest));
  const most = Math.max(1, ...got.processes.map((one) => one.cpu_seconds));
  const ran = got.processes.length ? table({
    caption: got.processes_left_out ? `${counted(got.processes_left_out, "process")} more used less` : "Most CPU first",
    columns: [
      { title: "Process", cell: (one) => [foreign(one.name), el("span", { class: "quiet" }, ` ${one.pid}`)] },
      { title: "CPU time", class: "number", cell: (one) => quantity(one.cpu_seconds, "seconds") },
      { title: "", narrow: false, cell: (one) => bar(one.cpu_seconds / most) },
      { title: "Highest", class: "number", cell: (one) => quantity(one.highest_cpu_percent, "percent") },
      { title: "Memory", class: "number", cell: (one) => quantity(one.highest_rss_bytes, "bytes") },
      { title: "Disks", class: "number", narrow: false, cell: (one) => quantity(one.disk_bytes, "disk_bytes") },
    ], rows: got.processes.slice(0, 25),
  }) : null;
  const functions = got.functions.length ? table({
    caption: "Of the incidents in this span: from the black box and from captures",
    columns: [
      { title: "Function", class: "wide", cell: (one) => code(one.function) },
      { title: "Own time", class: "number", cell: (one) => percent(one.self_share_mean) },
      { title: "Incidents", class: "number", cell: (one) => one.incidents },
      { title: "Last", narrow: false, cell: (one) => incidentLink(one.last_incident) },
    ], rows: got.functions,
  }) : null;
  const incidents = got.incidents.length ? table({
    caption: got.incidents_left_out ? `${counted(got.incidents_left_out, "older incident")} not shown` : "Newest first", open: true,
    columns: [
      { title: "Process", cell: (one) => link(incidentPath(one.correlation_id), foreign(one.process_name)) },
      { title: "Rule", cell: (one) => foreign(one.rule) },
      { title: "When", class: "number", cell: (one) => when(one.raised_at) },
      { title: "Hottest function", class: "wide", cell: (one) => (one.hottest_function ? code(one.hottest_function) : el("span", { class: "quiet" }, "–")) },
    ], rows: got.incidents,
  }) : null;
  return [
    section(named(chosen), figures, ran, got.limits.map((one) => el("p", { class: "quiet limit" }, one))),
    functions && section("Functions", functions),
    incidents && section("Incidents", incidents),
  ].filter(Boolean);
}

// Of a span between two stored passes: what the one before it saw.
function nearest(moment) {
  if (moment?.totals && moment.totals.machine_percent !== null) {
    const leader = moment.leaders[0];
    return ["No pass was stored in this span. The last one before its end, at ", when(moment.taken_at), `, saw ${quantity(moment.totals.machine_percent, "percent")} of the CPU used`,
      leader ? [", most by ", foreign(leader.name), ` (${quantity(leader.cpu_percent, "percent")} of one core)`] : "", "."];
  }
  return moment?.unknown ? ["Nothing is known of this span: ", foreign(moment.unknown.reason), "."] : "Nothing is stored of this span.";
}

async function showStacks(api, place, query, isWanted, origin = "stored", incident = null) {
  place.replaceChildren(loading("Reading the stacks…"));
  try {
    const got = await api.get("/api/timeline/stacks", { ...query, origin: origin === "now" ? "now" : null, incident });
    if (!isWanted()) return;
    if (got.is_too_long) return place.replaceChildren(el("p", { class: "quiet" }, TOO_LONG));
    const isPart = Date.parse(got.since) > Date.parse(query.since) + 1000;
    const from = got.origin.kind === "now"
      ? el("p", { class: "quiet" }, got.origin.scope === "machine" ? "All processes of the machine, but this page's own." : "Your own processes alone.")
      : got.origin.kind === "recorder"
        ? el("p", { class: "quiet" }, "From the recorder's black box", isPart ? [", which holds ", when(got.since), " and later: "] : ": ", got.origin.scope === "machine" ? "all processes of the machine." : "the recorder's own user's processes alone.")
      : el("p", { class: "quiet" }, "From the black box of ", incidentLink(got.origin.incident), got.origin.of_machine ? ": the whole machine" : [": ", foreign(got.origin.process_name), " and what it started"]);
    const others = got.others.length ? el("p", { class: "row" }, "Also: ", got.others.slice(0, 8).map((one) =>
      button(one.of_machine ? "the whole machine" : foreign(`${one.process_name} ${one.pid ?? ""}`), () => showStacks(api, place, query, isWanted, origin, one.incident)))) : null;
    const back = incident ? el("p", {}, button("Back", () => showStacks(api, place, query, isWanted, origin))) : null;
    const hottest = got.hottest.length ? table({ caption: got.origin.kind === "incident" ? "Functions, by their own time" : "Of all that ran: functions, by their own time", columns: [
      { title: "Function", class: "wide", cell: (one) => code(one.function) },
      { title: "Own time", class: "number", cell: (one) => percent(one.self_share) },
      { title: "File", class: "wide", cell: (one) => el("span", { class: "quiet" }, code(one.file)) },
    ], rows: got.hottest.slice(0, 15) }) : null;
    const ran = got.consumers.length ? table({ caption: "Who ran, busiest first", columns: [
      { title: "Process", cell: (one) => [foreign(one.name), el("span", { class: "quiet" }, ` ${one.pid}`), one.ended ? [" ", badge("ended")] : null] },
      { title: "CPU", class: "number", cell: (one) => quantity(one.cpu_percent, "percent") },
      { title: "Hottest function", class: "wide", cell: (one) => code(one.function) },
      { title: "", class: "number", cell: (one) => percent(one.share) },
    ], rows: got.consumers.slice(0, 15) }) : null;
    place.replaceChildren(...[back, from, others, got.tree.total ? flameGraph(got.tree) : empty("Nothing ran in it", "The black box saw no process at work in these seconds."), ran, hottest].filter(Boolean));
  } catch (error) {
    if (!isWanted() || error.name === "AbortError") return;
    if (error.status === 404) place.replaceChildren(el("p", { class: "quiet" }, foreign(error.message)), api.actions ? snapshot(api) : null);
    else place.replaceChildren(failure(error, () => showStacks(api, place, query, isWanted, origin, incident)));
  }
}

function snapshot(api) {
  const said = el("span", { class: "quiet", role: "status" });
  const take = button("Keep a snapshot of the last minute", async () => {
    const on = off(take);
    said.textContent = "Taking it…";
    try {
      const made = await api.post("/api/snapshots", {});
      api.go(incidentPath(made.incident));
    } catch (error) {
      on();
      said.replaceChildren(foreign(error.message));
    }
  });
  return el("p", { class: "row" }, take, said);
}

// --- the last seconds, as they come -------------------------------------------------------------------------
function nowSection(api) {
  const place = el("div", { class: "stack" });
  const said = el("p", { class: "quiet" }, "Every second of the last ", "100 s, and the stacks of any of them. The page asks the recorder, and opens a black box of its own, as ", el("code", {}, "monitord top"), " does; nothing is stored.");
  const start = button("Look at what runs now", () => begin(), { tone: "primary" });
  place.append(said, el("p", {}, start));
  let turn = 0;

  async function begin() {
    start.disabled = true;
    place.replaceChildren(loading("Opening the kernel's rings…"));
    try { draw(await api.get("/api/timeline/now")); } catch (error) {
      if (error.name === "AbortError") return;
      place.replaceChildren(failure(error, begin));
    }
  }

  function draw(first) {
    const stacks = el("div", { class: "stack" });
    const strip = secondsStrip((since, until) => {
      const mine = ++turn;
      showStacks(api, stacks, { since: iso(since), until: iso(until) }, () => mine === turn, "now");
    });
    const limits = el("p", { class: "quiet" });
    const update = (got) => {
      strip.update(got.seconds);
      limits.replaceChildren(...got.limits.map((one) => el("span", {}, foreign(one), ". ")), got.seconds.length || got.limits.length ? "" : "The first second is not over yet.");
    };
    place.replaceChildren(strip.element, limits, stacks);
    update(first);
    api.every(1500, async () => {
      const got = await api.get("/api/timeline/now");
      if (!strip.element.matches(":active")) update(got);
    });
  }
  return section("The last seconds", place);
}

// --- words --------------------------------------------------------------------------------------------------
const iso = (seconds) => new Date(1000 * seconds).toISOString();
const pad = (value) => String(value).padStart(2, "0");
function local(seconds) {
  const moment = new Date(1000 * seconds);
  return `${moment.getFullYear()}-${pad(moment.getMonth() + 1)}-${pad(moment.getDate())}T${pad(moment.getHours())}:${pad(moment.getMinutes())}:${pad(moment.getSeconds())}`;
}
function named([since, until]) {
  const [first, last] = [new Date(1000 * since), new Date(1000 * until)];
  return `${stamp(first)} – ${stamp(last, { withDate: first.toDateString() !== last.toDateString() })}, ${span(until - since)}`;
}
