// Hot functions across incidents: how hot each was, when, and in which incident.
import { HUES, add, bar, code, counted, el, empty, failure, field, foreign, incidentLink, link, loading, percent, rowKeys, select, stamp, svg, table, when } from "/static/dom.js";

export const title = "Hot functions";
const PERIODS = [["", "any time"], ["24h", "24 hours"], ["7d", "7 days"], ["30d", "30 days"]];
const NAMES = ["process", "function", "since"];

export async function render(root, params, api) {
  const wanted = Object.fromEntries(NAMES.map((name) => [name, params.query.get(name) ?? ""]));
  const said = el("p", { class: "quiet", role: "status" });
  const list = el("section", { class: "card", "aria-label": "Functions" });
  let asked = 0, typing = 0;

  const change = (name, later = false) => (event) => {
    wanted[name] = event.target.value.trim();
    api.query({ [name]: wanted[name] });
    clearTimeout(typing);
    typing = setTimeout(load, later ? 250 : 0);
  };
  const input = (name, placeholder) => el("input", { type: "search", value: wanted[name], placeholder, autocomplete: "off", spellcheck: "false", maxlength: 256, oninput: change(name, true) });
  const search = input("process", "any, or a pattern: py*");
  const filters = el("form", { class: "filters", role: "search", onsubmit: (event) => event.preventDefault() },
    field("Process", search), field("Function", input("function", "its whole name")), field("Since", select(PERIODS, PERIODS.some(([held]) => held === wanted.since) ? wanted.since : "", { onchange: change("since") })));
  add(root, el("div", { class: "row apart" }, el("h1", {}, title), said), el("div", { class: "card" }, filters), list);

  async function load() {
    const turn = ++asked;
    if (!list.firstChild) list.append(loading("Counting functions…"));
    let got;
    try { got = await api.get("/api/functions", wanted); } catch (error) {
      if (turn !== asked || error.name === "AbortError") return;
      if (error.status === 401) throw error;
      said.textContent = "";
      return list.replaceChildren(failure(error, load));
    }
    if (turn !== asked) return;
    said.textContent = counted(got.functions.length, "function");
    list.replaceChildren(got.functions.length ? drawn(got.functions) : nothing());
  }

  function nothing() {
    if (NAMES.some((name) => wanted[name])) return empty("No function matches", "Widen the period, or take a filter away. A function is asked for by its whole name.");
    return empty("No function is known yet", "Functions come from incidents: from the black box, and from profiles that were taken.", [link("/", "Recent incidents")]);
  }
  api.keys({ ...rowKeys(root), "/": () => search.focus() });
  await load();
  return () => clearTimeout(typing);
}

function drawn(functions) {
  const moments = functions.flatMap((one) => one.history.map((each) => Date.parse(each.at)));
  const range = [Math.min(...moments), Math.max(...moments)];
  return table({
    caption: "By how much time they took across captures; a dot is a capture, as high as the function's own share in it", rows: functions,
    columns: [
      { title: "Function", cell: (one) => [code(one.function), place(one)] },
      { title: "Own time", class: "number", cell: (one) => percent(one.self_share_mean) },
      { title: "", narrow: false, cell: (one) => bar(one.self_share_mean) },
      { title: "Highest", class: "number", cell: (one) => percent(one.self_share_max) },
      { title: "Incidents", class: "number", cell: (one) => [one.incidents, one.code_versions > 1 ? el("span", { class: "quiet" }, ` ${one.code_versions} versions`) : null] },
      { title: "History", class: "wide", cell: (one) => history(one, range) },
    ],
  });
}

const place = (one) => (one.file || one.module ? el("div", { class: "quiet small" }, foreign(`${one.file ?? one.module}${one.line ? `:${one.line}` : ""}`)) : null);

function history(one, range) {
  const rows = [...one.history].reverse();
  const words = `${counted(one.history.length, "capture")}: ${stamp(new Date(rows[rows.length - 1]?.at ?? 0))} to ${stamp(new Date(rows[0]?.at ?? 0))}`;
  if (!rows.length) return el("span", { class: "quiet" }, "–");
  const opened = el("details", { class: "history" }, el("summary", {}, dots(one.history, range, words), el("span", { class: "unseen" }, words)));
  opened.addEventListener("toggle", () => {
    if (!opened.open || opened.querySelector("ol")) return;
    opened.append(el("ol", { class: "occurrences" }, rows.map((each) => el("li", {}, when(each.at), " ", el("b", {}, percent(each.self_share)), " of ", foreign(each.process_name), " ",
      each.incident ? incidentLink(each.incident) : null, each.version > 1 ? el("span", { class: "quiet" }, ` version ${each.version} of its code`) : null))));
  });
  return opened;
}

// A version of the code has a colour of its own.
function dots(occurrences, [first, last], words) {
  const x = (at) => 4 + (192 * (Date.parse(at) - first)) / Math.max(1, last - first);
  return svg("svg", { class: "dots", viewBox: "0 0 200 32", role: "img", "aria-label": words },
    svg("line", { x1: 0, x2: 200, y1: 30, y2: 30, class: "base" }),
    occurrences.map((each) => {
      const dot = svg("circle", { cx: x(each.at).toFixed(1), cy: (28 - 25 * (each.self_share ?? 0)).toFixed(1), r: 2.6 }, svg("title", {}, `${stamp(new Date(each.at))}: ${percent(each.self_share)}`));
      dot.style.setProperty("--hue", HUES[((each.version ?? 1) - 1) % HUES.length]);
      return dot;
    }));
}
