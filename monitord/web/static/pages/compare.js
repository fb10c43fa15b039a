// Two profiles beside each other: what is hotter, cooler, new or gone, and one flame graph of both.
import { add, badge, bar, code, el, empty, foreign, incidentLink, percent, section, table } from "/static/dom.js";
import { flameGraph } from "/static/profile.js";
import { failure, loading } from "/static/dom.js";

export const title = "Compare";

export async function render(root, params, api) {
  const path = `/api/incidents/${encodeURIComponent(params.id)}`;
  const found = await api.get(`${path}/compare/${encodeURIComponent(params.other)}`);
  const graph = section("Both in one flame graph", loading("Reading both…"));
  add(root, el("h1", {}, "What changed"),
    el("div", { class: "grid" }, side("Before", found.before, params.other === "baseline"), side("After", found.after, false)),
    section("Functions", functions(found), found.remarks.map((each) => el("p", { class: "quiet" }, foreign(each)))), graph);
  try {
    graph.replaceChildren(graph.firstChild, flameGraph(JSON.parse(await api.text(`${path}/flamegraph`, { before: params.other }))));
  } catch (error) {
    if (error.name !== "AbortError") graph.replaceChildren(graph.firstChild, failure(error));
  }
}

const side = (words, one, isBaseline) => el("section", { class: "card", "aria-label": words },
  el("p", { class: "quiet" }, words, isBaseline ? ": its baseline" : ""), el("p", {}, foreign(one.title)), incidentLink(one.correlation_id));

const TONES = { hotter: "bad", new: "bad", cooler: "ok", gone: "ok" };

// Where the numbers beside it are rounded to the same, a function is unchanged: its callees moved.
const verdict = (one) => (["hotter", "cooler"].includes(one.verdict)
  && percent(one.before?.self_share) === percent(one.after?.self_share) ? "unchanged" : one.verdict);

function functions(found) {
  return table({
    caption: "What moved by more than chance explains, then what only its code changed",
    rows: [...found.moved, ...found.edited],
    columns: [
      { title: "Function", class: "wide", cell: (one) => [el("b", {}, code(one.function)), el("div", { class: "quiet" }, code(one.file ?? ""))] },
      { title: "", cell: (one) => [badge(verdict(one), TONES[verdict(one)] ?? "quiet"), ["changed", "renamed"].includes(one.code) ? [" ", badge(`code ${one.code}`, "warn")] : null] },
      { title: "Before", class: "number", cell: (one) => percent(one.before?.self_share) },
      { title: "After", class: "number", cell: (one) => percent(one.after?.self_share) },
      { title: "", narrow: false, cell: (one) => bar(one.after?.self_share) },
    ],
    empty: empty("Nothing moved", "No function's share differs by more than chance explains."),
  });
}
