// The hottest function step by step: a bar a step as high as its CPU, coloured by the function.
import { HUES, el, foreign, percent, quantity, span } from "/static/dom.js";

export function strip(steps, who) {
  const top = Math.max(100, ...steps.map((one) => one.cpu_percent));
  const used = new Map();
  for (const one of steps) if (one.function) used.set(one.function, (used.get(one.function) ?? 0) + one.cpu_percent);
  const heaviest = [...used].sort((a, b) => b[1] - a[1]).slice(0, HUES.length).map(([name]) => name);
  const paint = (element, name) => {
    const at = heaviest.indexOf(name);
    if (at < 0) element.classList.add("other");
    else element.style.setProperty("--hue", HUES[at]);
    return element;
  };
  const said = el("p", { class: "quiet", role: "status" }, "Each bar is a step; point at one, or walk with Tab.");
  const tell = (one) => said.replaceChildren(...words(one));
  const bars = steps.map((one) => {
    const level = el("span", { class: "level" });
    level.style.height = `${Math.max(one.cpu_percent > 0 ? 4 : 0, (100 * one.cpu_percent) / top).toFixed(1)}%`;
    paint(level, one.function);
    return el("button", { type: "button", "aria-label": `${span(-one.at_s)} before: ${one.function ?? "nothing"}, ${quantity(one.cpu_percent, "percent")}`,
      onpointerenter: () => tell(one), onfocus: () => tell(one), onclick: () => tell(one) }, level);
  });
  const legend = el("ul", { class: "legend" }, heaviest.map((name) => el("li", {}, paint(el("span", { class: "key" }), name), foreign(name))));
  const first = steps[0].at_s;
  return el("div", {}, el("div", { class: "strip", role: "group", "aria-label": `The hottest function of ${who}, step by step` }, bars),
    el("div", { class: "row apart quiet" }, el("span", {}, `${span(-first)} before`), el("span", {}, "the alert")), said, legend);
}

const words = (one) => [`${span(-one.at_s)} before: `, el("b", {}, foreign(one.function ?? "nothing ran")),
  one.function ? `, ${percent(one.share)} of ${quantity(one.cpu_percent, "percent")} of one core` : "", one.file ? [" in ", foreign(one.file)] : ""].flat();
