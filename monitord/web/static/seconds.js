// The last seconds side by side, each as high as its CPU: one or several are brushed by mouse, by finger or with the arrow keys.
import { HUES, el, foreign, quantity, stamp } from "/static/dom.js";

// onselect(since, until): Unix seconds; until is not in it any more.
export function secondsStrip(onselect) {
  const said = el("p", { class: "quiet", role: "status" }, "Each bar is a second. Click one, drag over several, or use the arrow keys, with Shift for more than one.");
  const list = el("div", { class: "strip seconds", role: "listbox", tabindex: "0", "aria-multiselectable": "true", "aria-label": "The last seconds, by CPU" });
  const legend = el("ul", { class: "legend" });
  let shown = [], anchor = null, focus = null, isDragging = false;

  const chosen = () => (anchor === null ? null : [Math.min(anchor, focus), Math.max(anchor, focus)]);

  function update(seconds) {
    shown = seconds.map((one) => ({ ...one, second: Math.round(Date.parse(one.at) / 1000) }));
    if (anchor !== null && shown.length && Math.max(anchor, focus) < shown[0].second) anchor = focus = null;
    const most = Math.max(100, ...shown.map((one) => one.cpu_percent));
    const used = new Map();
    for (const one of shown) if (one.name) used.set(one.name, (used.get(one.name) ?? 0) + one.process_percent);
    const leaders = [...used].sort((a, b) => b[1] - a[1]).slice(0, HUES.length).map(([name]) => name);
    list.replaceChildren(...shown.map((one) => bar(one, most, leaders)));
    legend.replaceChildren(...leaders.map((name) => el("li", {}, paint(el("span", { class: "key" }), name, leaders), foreign(name))));
    mark();
  }

  function bar(one, most, leaders) {
    const level = paint(el("span", { class: "level" }), one.name, leaders);
    level.style.height = `${Math.max(one.cpu_percent > 0 ? 3 : 0, (100 * one.cpu_percent) / most).toFixed(1)}%`;
    return el("div", { class: "second", role: "option", id: `second-${one.second}`, "aria-label": words(one), title: words(one), "data-second": one.second }, level);
  }

  function mark() {
    const span = chosen();
    for (const one of list.children) {
      const second = Number(one.dataset.second);
      one.setAttribute("aria-selected", String(span !== null && second >= span[0] && second <= span[1]));
    }
    if (focus === null) list.removeAttribute("aria-activedescendant");
    else list.setAttribute("aria-activedescendant", `second-${focus}`);
  }

  function choose(second, { extends: more = false } = {}) {
    if (!more || anchor === null) anchor = second;
    focus = second;
    mark();
    const one = shown.find((each) => each.second === second);
    if (one) said.replaceChildren(words(one));
  }

  const done = () => { const span = chosen(); if (span) onselect(span[0], span[1] + 1); };
  const under = (event) => {
    const bars = [...list.children];
    const found = bars.find((one) => event.clientX < one.getBoundingClientRect().right) ?? bars[bars.length - 1];
    return found ? Number(found.dataset.second) : null;
  };
  list.addEventListener("pointerdown", (event) => {
    const second = under(event);
    if (second === null) return;
    isDragging = true;
    list.setPointerCapture(event.pointerId);
    choose(second, { extends: event.shiftKey });
  });
  list.addEventListener("pointermove", (event) => { const second = under(event); if (isDragging && second !== null) choose(second, { extends: true }); });
  list.addEventListener("pointerup", () => { if (isDragging) done(); isDragging = false; });
  list.addEventListener("pointercancel", () => { isDragging = false; });
  list.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, Home: -1e9, End: 1e9 }[event.key];
    if (step !== undefined && shown.length) {
      event.preventDefault();
      event.stopPropagation();
      const [first, last] = [shown[0].second, shown[shown.length - 1].second];
      choose(Math.min(last, Math.max(first, (focus ?? last + 1) + step)), { extends: event.shiftKey });
    } else if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      event.stopPropagation();
      done();
    }
  });
  return { element: el("div", {}, list, said, legend), update };
}

function paint(element, name, leaders) {
  const at = leaders.indexOf(name);
  if (at < 0) element.classList.add("other");
  else element.style.setProperty("--hue", HUES[at]);
  return element;
}

const words = (one) => `${stamp(new Date(1000 * one.second), { withDate: false })}: ${quantity(one.cpu_percent, "percent")} of one core${one.name ? `, most by ${one.name} (${quantity(one.process_percent, "percent")})` : ", nothing ran"}`;
