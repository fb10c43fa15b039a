// Rules: where each stands, what it made, and one tried out on stored history before anybody saves it.
import { add, age, badge, button, code, copy, counted, el, empty, failure, field, foreign, incidentPath, link, loading, off, percent, quantity, section, select, span, stamp, table, when } from "/static/dom.js";

export const title = "Rules";
const PERIODS = [["24h", "24 hours"], ["3d", "3 days"], ["7d", "7 days"], ["", "any time"]];
const TONES = { firing: "bad", armed: "warn", cooling_down: "warn", quiet: "ok", disabled: "quiet" };
const WORDS = { firing: "fires now", armed: "armed", cooling_down: "cools down", quiet: "quiet", disabled: "off" };
const FIRST = '[[rules]]\nname = "busy"\nmetric = "cpu"\nabove = 70\nwindow_s = 30\n';
const LONGEST = 3000;

export async function render(root, params, api) {
  let period = PERIODS.some(([held]) => held === params.query.get("since")) ? params.query.get("since") : "24h";
  let isFirst = true;
  const board = el("section", { class: "card", "aria-label": "Rules in force" });
  const since = select(PERIODS, period, { onchange: (event) => { period = event.target.value; api.query({ since: period }); load(); } });
  const trial = trySection(api);
  add(root, el("div", { class: "row apart end" }, el("h1", {}, title), field("Incidents of", since)), board, trial.element);

  const isHeld = () => board.contains(document.activeElement);

  async function load({ byItself = false } = {}) {
    if (isFirst) board.replaceChildren(loading("Asking how the rules stand…"));
    let got;
    try { got = await api.get("/api/rules", { since: period }); } catch (error) {
      if (error.name === "AbortError") return;
      if (error.status === 401) throw error;
      return board.replaceChildren(failure(error, load));
    }
    if (byItself && isHeld()) return; // since it was asked
    const opened = new Set([...board.querySelectorAll("details[open]")].map((one) => one.dataset.rule));
    isFirst = false;
    trial.file(got.file);
    board.replaceChildren(got.rules.length ? drawn(got.rules, opened, trial) : empty("There are no rules", "The configuration switches the default rules off and has none of its own."));
  }
  await load();
  api.every(5000, async () => { if (!isHeld()) await load({ byItself: true }); });
}

function drawn(rules, opened, trial) {
  const isTold = rules.some((one) => one.standing.length);
  return el("div", {}, isTold ? null : el("p", { class: "quiet" }, "Nobody records at this moment, so no rule's state is known. ", link("/recorder", "See the recorder")), table({
    caption: "In the order in which they stand in the configuration", rows: rules,
    columns: [
      { title: "Rule", cell: (one) => [el("b", {}, foreign(one.name)), one.rule ? null : [" ", badge(one.name === "manual" ? "asked for by hand" : "no longer configured")]] },
      { title: "State", cell: (one) => (one.state ? badge(WORDS[one.state] ?? one.state, TONES[one.state]) : el("span", { class: "quiet" }, one.name === "manual" ? "–" : "unknown")) },
      { title: "Fires", class: "wide", cell: (one) => (one.rule ? condition(one.rule) : el("span", { class: "quiet" }, "–")) },
      { title: "Incidents", class: "number", cell: (one) => (one.incidents ? link(`/?rule=${encodeURIComponent(one.name)}`, String(one.incidents)) : "0") },
      { title: "Last", class: "number", cell: (one) => (one.last_at ? [when(one.last_at), " ", age(one.last_at)] : el("span", { class: "quiet" }, "–")) },
      { title: "", class: "wide", cell: (one) => [standing(one, opened), one.lines ? button("Try a change", () => trial.start(one.lines.join("\n") + "\n")) : null] },
    ],
  }));
}

function condition(rule) {
  const parts = [];
  if (rule.above && !rule.baseline_alone) parts.push(`at least ${quantity(rule.above.value, rule.above.unit)}`);
  if (rule.below) parts.push(`at most ${quantity(rule.below.value, rule.below.unit)}`);
  if (rule.times_baseline) parts.push(`at least ${rule.times_baseline} × its baseline`);
  const of = [...rule.match.names, ...rule.match.users.map((one) => `user ${one}`), ...rule.match.units.map((one) => `unit ${one}`), ...rule.match.not_names.map((one) => `not ${one}`)];
  return [`${rule.metric.replaceAll("_", " ")} ${parts.join(" and ")}, ${percent(rule.min_share)} of ${span(rule.window_seconds)}`, of.length ? el("span", { class: "quiet" }, " ", foreign(of.join(", "))) : null];
}

// Who a rule is busy with, or who is nearest to it.
function standing(one, opened) {
  if (!one.standing.length) return null;
  const rows = one.standing.map((each) => el("li", {}, badge(WORDS[each.state] ?? each.state, TONES[each.state]), " ",
    foreign(each.process_name ?? "the machine"), each.pid ? el("span", { class: "quiet" }, ` ${each.pid}`) : null,
    each.last_values.length ? [": ", quantity(each.last_values[each.last_values.length - 1], each.threshold?.unit)] : null,
    each.distance > 0 && each.threshold ? el("span", { class: "quiet" }, `, ${quantity(each.distance, each.threshold.unit)} below its level`) : null,
    each.suppressed_by ? el("div", { class: "quiet" }, foreign(each.suppressed_by)) : null));
  return el("details", { "data-rule": one.name, open: opened.has(one.name) }, el("summary", {}, one.standing.length === 1 ? "nearest" : counted(one.standing.length, "process")), el("ul", { class: "bare" }, rows));
}

// --- trying out ---------------------------------------------------------------------------------------------
function trySection(api) {
  let turn = 0, file = "";
  const text = el("textarea", { rows: "9", spellcheck: "false", autocomplete: "off", maxlength: LONGEST, class: "mono", value: FIRST });
  const since = select([["1h", "1 hour"], ["24h", "24 hours"], ["3d", "3 days"], ["", "all that is stored"]], "24h");
  const found = el("div", { class: "stack", "aria-live": "polite" });
  const go = el("button", { class: "primary" }, "Try it on stored history");
  const form = el("form", { class: "stack", onsubmit: (event) => { event.preventDefault(); run(); } },
    field("Rules, as a configuration file has them", text), el("div", { class: "row end" }, field("History of", since), go));
  text.addEventListener("keydown", (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); run(); } });

  async function run() {
    const mine = ++turn;
    const on = off(go);
    found.replaceChildren(loading("Replaying history…"));
    try {
      const got = await api.get("/api/rules/trial", { rules: text.value, since: since.value });
      if (mine === turn) found.replaceChildren(...result(got, text.value, file, api));
    } catch (error) {
      if (mine === turn && error.name !== "AbortError") found.replaceChildren(failure(error));
    } finally { if (mine === turn) on(); }
  }
  const element = section("Try a rule", el("p", { class: "quiet" }, "Trying saves nothing: history is replayed through the detector that judges live. Ctrl+Enter tries it."), form, found);
  return {
    element,
    file: (path) => { file = path; },
    start: (words) => { text.value = words; found.replaceChildren(); element.scrollIntoView({ block: "start", behavior: "auto" }); text.focus(); },
  };
}

function result(got, text, file, api) {
  const tried = got.rules.map((rule) => `${rule.name} would have fired ${counted(rule.fired, "time")}`).join("; ");
  const fresh = got.alerts.filter((one) => !one.incident).length;
  const lead = got.passes ? `${tried}${got.alerts.length ? ` (${fresh} of them no incident then)` : ""}.` : "No history is stored of this time, so nothing could be tried.";
  const history = got.passes ? el("p", { class: "quiet" }, `${counted(got.passes, "stored pass")}, from ${stamp(new Date(got.first))} to ${stamp(new Date(got.last))}${got.step_seconds ? `, usually ${span(got.step_seconds)} apart` : ""}.`) : null;
  const limits = got.limits.length ? el("div", { class: "limits" }, el("h3", {}, "What history can't show"), el("ul", {}, got.limits.map((one) => el("li", {}, got.rules.length > 1 ? [code(one.rule), ": "] : null, foreign(one.text))))) : null;
  const alerts = got.alerts.length ? table({
    caption: got.alerts.length > 200 ? `The first 200 of ${counted(got.alerts.length, "alert")}` : "What it would have told", rows: got.alerts.slice(0, 200),
    columns: [
      { title: "When", cell: (one) => when(one.raised_at) },
      { title: "Process", cell: (one) => [foreign(one.process_name), one.pid ? el("span", { class: "quiet" }, ` ${one.pid}`) : null] },
      { title: "Why", class: "wide", cell: (one) => [foreign(one.reason), one.suppressed_by ? el("div", { class: "quiet" }, "no capture: ", foreign(one.suppressed_by)) : null] },
      { title: "Then", cell: (one) => (one.incident ? link(incidentPath(one.incident), "was an incident") : badge("new", "warn")) },
    ],
  }) : null;
  const said = el("span", { class: "quiet", role: "status" });
  const saving = api.actions ? button("Save it", async (event) => {
    const on = off(event.target);
    try { const saved = await api.post("/api/rules", { rules: text }); said.replaceChildren("Saved in ", code(saved.file), ": ", foreign(saved.hint), "."); } catch (error) {
      if (error.name !== "AbortError") said.replaceChildren(badge("not saved", "bad"), " ", foreign(error.message));
    } finally { on(); }
  }, { tone: "primary" }) : null;
  const byHand = el("p", {}, "Put it into ", code(file), ", then type ", code("monitord service reload"), ". To save it from here: ", code("monitord web --allow-actions"));
  const save = got.passes || got.rules.length ? el("div", {}, el("h3", {}, "To save it"), saving ? null : byHand,
    el("p", { class: "row" }, saving, button("Copy the rule", async () => {
      try { await copy(text); said.textContent = "Copied."; } catch { said.textContent = "The browser did not let it be copied."; }
    }), said)) : null;
  return [el("p", { class: "lead" }, foreign(lead)), history, got.stopped ? el("p", {}, badge("stopped early", "warn"), " ", foreign(got.stopped)) : null, limits, alerts, save].filter(Boolean);
}
