// A profile in the page: our own flame graph, and speedscope in a frame of its own with a stricter world around it.
import { el, foreign } from "/static/dom.js";
import { drawFlameGraph } from "/static/flamegraph.js";

export function flameGraph(tree) {
  const keys = tree.before === null
    ? [["python", "Python"], ["native", "native"], ["kernel", "kernel"]].map(([kind, words]) => el("span", {}, swatch(HUES[kind]), words))
    : [[6, "▲ hotter than before"], [215, "▼ cooler"]].map(([hue, words]) => el("span", {}, swatch(hue), words));
  const made = el("div", { class: "flame" },
    el("form", { role: "search" }, el("input", { class: "flame-search", type: "search", autocomplete: "off", spellcheck: "false", placeholder: "function or file", "aria-label": "Search the flame graph" }),
      el("button", { type: "button", class: "flame-reset", disabled: true }, "Whole profile")),
    el("p", { class: "flame-said", role: "status" }),
    el("div", { class: "flame-graph", role: "group", "aria-label": "Flame graph: callers above, what they called below, width is share" }),
    el("p", { class: "row quiet" }, keys, el("span", {}, "Click or Enter: zoom. Esc: out again. Arrow keys: move. /: search.")),
    el("p", { class: "quiet" }, foreign(tree.summary)),
    tree.notes.map((note) => el("p", { class: "quiet" }, "Note: ", foreign(note))));
  drawFlameGraph(made, tree);
  return made;
}

const HUES = { python: 34, native: 205, kernel: 285 };
function swatch(hue) {
  const key = el("span", { class: "key" });
  key.style.setProperty("--hue", hue);
  return key;
}

export function speedscope(blob, title, signal) {
  const address = URL.createObjectURL(blob);
  signal.addEventListener("abort", () => URL.revokeObjectURL(address));
  const hash = `profileURL=${encodeURIComponent(address)}&title=${encodeURIComponent(title)}`;
  return el("iframe", { class: "viewer", title: "speedscope", src: `/assets/speedscope/index.html#${hash}` });
}
