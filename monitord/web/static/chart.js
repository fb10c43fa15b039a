// A chart of values over time with a span that can be brushed: by mouse, by finger, by whoever calls `select`.
import { el, quantity, stamp } from "/static/dom.js";

// range: from when to when it reaches. series: {label, unit, hue, values}. `at` are Unix seconds. onselect(since, until): Unix seconds, or null where nothing is chosen.
// onlayout(left, width): where the plot itself stands in the element, in pixels.
export async function timeChart(api, { label, at, range, series, height = 190, top = null, onselect, group, onlayout = () => {} }) {
  const UPlot = await api.uplot();
  const place = el("div", { class: "plot" });
  const read = el("p", { class: "reading quiet", "aria-hidden": "true" }, legend(series));
  const made = el("div", { class: "time-chart", role: "img", "aria-label": `${label}: ${series.map(summary).join("; ")}` }, read, place);
  let chart, chosen = null;
  const unit = series[0].unit;

  const draw = () => {
    chart?.destroy();
    const colours = getComputedStyle(document.documentElement);
    const [ink, line] = [colours.getPropertyValue("--quiet").trim(), colours.getPropertyValue("--line").trim()];
    const axis = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 }, font: "12px system-ui, sans-serif" };
    const paint = (one, alpha) => `hsl(${one.hue} 62% ${matchMedia("(prefers-color-scheme: dark)").matches ? 62 : 46}% / ${alpha})`;
    chart = new UPlot({
      width: Math.max(240, place.clientWidth), height, legend: { show: false },
      cursor: { drag: { x: true, y: false, setScale: false, dist: 4 }, sync: { key: group }, points: { size: 6 } },
      scales: { x: { time: true, range: () => range }, y: { range: (_, _low, high) => [0, Math.max(top ?? 0, high * 1.08 || 1)] } },
      axes: [{ ...axis, space: 90, values: CLOCK }, { ...axis, size: 80, splits: null, values: (_, values) => values.map((value) => quantity(value, unit)) }],
      series: [{}, ...series.map((one) => ({ label: one.label, stroke: paint(one, 1), fill: paint(one, 0.13), width: 1.5, points: { show: at.length < 40 }, spanGaps: false }))],
      hooks: {
        draw: [() => queueMicrotask(laidOut)],
        setSelect: [(self) => {
          if (self.select.width < 2) return;
          onselect(self.posToVal(self.select.left, "x"), self.posToVal(self.select.left + self.select.width, "x"));
        }],
        setCursor: [(self) => {
          const index = self.cursor.idx;
          read.replaceChildren(legend(series, index === null || index === undefined ? null : index, at));
        }],
      },
    }, [at, ...series.map((one) => one.values)], place);
    touch(chart, onselect);
  };

  const laidOut = () => {
    if (!chart) return;
    onlayout(chart.over.offsetLeft, chart.over.clientWidth);
    show(chosen);
  };
  const show = (span) => {
    chosen = span;
    if (!chart || chart.status === 0) return;
    if (!span) return chart.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
    const [left, right] = span.map((value) => Math.min(chart.over.clientWidth, Math.max(0, chart.valToPos(value, "x"))));
    chart.setSelect({ left, width: Math.max(2, right - left), top: 0, height: chart.over.clientHeight }, false);
  };

  const sizes = new ResizeObserver(() => {
    if (!chart) return draw();
    if (Math.abs(chart.width - place.clientWidth) > 1 && place.clientWidth > 0) {
      chart.setSize({ width: Math.max(240, place.clientWidth), height });
    }
  });
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  scheme.addEventListener("change", draw);
  sizes.observe(place);
  return { element: made, select: show, close: () => { sizes.disconnect(); scheme.removeEventListener("change", draw); chart?.destroy(); chart = null; } };
}

// Of a tick's step in seconds on: how it is written, and what stands below it where a year, a day … begins.
const CLOCK = [
  [86400, "{MM}-{DD}", "\n{YYYY}", null, null, null, null, null, 1],
  [60, "{HH}:{mm}", "\n{YYYY}-{MM}-{DD}", null, "\n{MM}-{DD}", null, null, null, 1],
  [0.001, "{HH}:{mm}:{ss}", "\n{YYYY}-{MM}-{DD}", null, "\n{MM}-{DD}", null, null, null, 1],
];

function summary(one) {
  const known = one.values.filter((value) => value !== null);
  if (!known.length) return `${one.label} unknown`;
  return `${one.label} from ${quantity(Math.min(...known), one.unit)} to ${quantity(Math.max(...known), one.unit)}`;
}

function legend(series, index = null, at = []) {
  const keys = series.map((one) => {
    const key = el("span", { class: "key" });
    key.style.setProperty("--hue", one.hue);
    return el("span", {}, key, one.label, index === null ? "" : [" ", el("b", {}, quantity(one.values[index], one.unit))]);
  });
  return el("span", { class: "row" }, keys, index === null ? "" : el("span", {}, stamp(new Date(1000 * at[index]))));
}

// A finger draws a span sideways; up and down it scrolls the page.
function touch(chart, onselect) {
  let from = null;
  const x = (event) => event.clientX - chart.over.getBoundingClientRect().left;
  chart.over.addEventListener("pointerdown", (event) => { if (event.pointerType === "touch") from = x(event); });
  chart.over.addEventListener("pointermove", (event) => {
    if (from === null || event.pointerType !== "touch") return;
    const [left, right] = [Math.min(from, x(event)), Math.max(from, x(event))];
    chart.setSelect({ left, width: right - left, top: 0, height: chart.over.clientHeight }, false);
  });
  const end = (event) => {
    if (from === null || event.pointerType !== "touch") return;
    const [left, right] = [Math.min(from, x(event)), Math.max(from, x(event))];
    from = null;
    if (event.type === "pointerup" && right - left > 4) onselect(chart.posToVal(left, "x"), chart.posToVal(right, "x"));
  };
  chart.over.addEventListener("pointerup", end);
  chart.over.addEventListener("pointercancel", end);
}
