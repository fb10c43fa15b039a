
"use strict";
// Draws a tree of nodes into .flame-graph of `page`, which has .flame-said, .flame-search and .flame-reset as well: a document, or an
// element of one. Names are only ever set as text, never as markup.
function drawFlameGraph(page, data) {
  const [graph, said, search, reset] = ["graph", "said", "search", "reset"].map((id) => page.querySelector(".flame-" + id));
  const ROW = 21, NARROWEST = 0.0008, HUES = { python: 34, native: 205, kernel: 285, group: 60 };
  const isOfTwo = data.before !== null;

  const nodes = data.nodes.map(([parent, fn, total, own, before], id) => {
    const [name, place, kind] = data.functions[fn];
    return { id, parent, name, place, kind, total, own, before, children: [], depth: 0, left: 0 };
  });
  for (const node of nodes) {
    const parent = nodes[node.parent];
    if (!parent) continue;
    node.depth = parent.depth + 1;
    const last = parent.children[parent.children.length - 1];
    node.left = last === undefined ? parent.left : nodes[last].left + nodes[last].total;
    parent.children.push(node.id);
  }
  const root = nodes[0];
  let zoomed = root, words = "", buttons = new Map();

  const percent = (share) => (100 * share).toFixed(share < 0.0995 ? 2 : 1) + " %";
  const share = (node) => (data.total ? node.total / data.total : 0);
  const change = (node) => (data.total ? (node.total - node.before) / data.total : 0);
  const amount = (value) => value.toLocaleString("en", { maximumFractionDigits: 1 }) + " " + data.unit;

  function hash(text) {
    let value = 0;
    for (let i = 0; i < text.length; i++) value = (value * 31 + text.charCodeAt(i)) >>> 0;
    return value / 4294967296;
  }

  function paint(button, node) {
    let hue = HUES[node.kind] ?? 60, colour = node.kind === "group" ? 6 : 62 + 30 * hash(node.name);
    if (isOfTwo) {
      const moved = change(node);
      hue = moved >= 0 ? 6 : 215;
      colour = node === root ? 0 : Math.min(90, 420 * Math.abs(moved));
    } else hue += 20 * (hash(node.place + node.name) - 0.5);
    button.style.setProperty("--hue", hue.toFixed(0));
    button.style.setProperty("--colour", colour.toFixed(0) + "%");
  }

  function moved(node) {
    if (!isOfTwo) return "";
    const points = 100 * change(node);
    if (Math.abs(points) < 0.05) return "";
    return (points >= 0 ? " ▲ +" : " ▼ −") + Math.abs(points).toFixed(1) + " points";
  }

  function label(node) {
    const place = node.place ? ", " + node.place : "";
    return `${node.name}${place}: ${percent(share(node))}, ${amount(node.total)}, ` +
      `itself ${percent(data.total ? node.own / data.total : 0)}${moved(node)}`;
  }

  const isHit = (node) => (node.name + "\n" + node.place).toLowerCase().includes(words);

  function visible() {
    // The way down to the zoomed node, then everything below it that is wide enough to be seen.
    const shown = [];
    for (let at = nodes[zoomed.parent]; at; at = nodes[at.parent]) shown.unshift(at);
    const waiting = [zoomed];
    while (waiting.length) {
      const node = waiting.pop();
      if (node !== zoomed && node.total < zoomed.total * NARROWEST) continue;
      shown.push(node);
      for (let i = node.children.length - 1; i >= 0; i--) waiting.push(nodes[node.children[i]]);
    }
    return shown;
  }

  function draw() {
    const shown = visible(), fragment = document.createDocumentFragment();
    buttons = new Map();
    let deepest = 0;
    for (const node of shown) {
      const isAbove = node.depth < zoomed.depth;
      const width = isAbove ? 100 : zoomed.total ? (100 * node.total) / zoomed.total : 100;
      const left = isAbove || !zoomed.total ? 0 : (100 * (node.left - zoomed.left)) / zoomed.total;
      const button = document.createElement("button");
      button.type = "button";
      button.className = "frame" + (isAbove ? " above" : "") + (width < 1.2 ? " narrow" : "");
      button.style.left = left.toFixed(4) + "%";
      button.style.width = width.toFixed(4) + "%";
      button.style.top = node.depth * ROW + "px";
      button.dataset.id = node.id;
      button.tabIndex = -1;
      button.setAttribute("aria-label", label(node));
      if (width >= 1.2) button.textContent = node.name + (isOfTwo && node !== root ? moved(node).slice(0, 2) : "");
      paint(button, node);
      buttons.set(node.id, button);
      fragment.append(button);
      deepest = Math.max(deepest, node.depth);
    }
    graph.replaceChildren(fragment);
    graph.style.height = (deepest + 1) * ROW + "px";
    buttons.get(zoomed.id).tabIndex = 0;
    reset.disabled = zoomed === root;
    mark();
  }

  function mark() {
    graph.classList.toggle("searching", words !== "");
    for (const [id, button] of buttons) button.classList.toggle("hit", words !== "" && isHit(nodes[id]));
    if (words === "") return tell(zoomed);
    // What is found inside something found already counts once.
    let found = 0;
    const names = new Set(), waiting = [root];
    while (waiting.length) {
      const node = waiting.pop();
      if (isHit(node)) {
        found += node.total;
        names.add(node.name + "\n" + node.place);
      } else for (const child of node.children) waiting.push(nodes[child]);
    }
    const functions = names.size === 1 ? "1 function" : names.size + " functions";
    say(percent(data.total ? found / data.total : 0), ` in ${functions} with “${search.value.trim()}” and what they called`);
  }

  function say(strong, rest) {
    const bold = document.createElement("b");
    bold.textContent = strong;
    said.replaceChildren(bold, rest);
  }

  function tell(node) {
    say(node.name, label(node).slice(node.name.length));
  }

  function zoom(node, keepsFocus) {
    zoomed = node;
    draw(node);
    if (keepsFocus) buttons.get(node.id).focus();
  }

  function neighbour(node, key) {
    const parent = nodes[node.parent];
    if (key === "ArrowUp") return parent;
    if (key === "ArrowDown") return nodes[node.children[0]];
    if (!parent) return undefined;
    const at = parent.children.indexOf(node.id) + (key === "ArrowRight" ? 1 : -1);
    return nodes[parent.children[at]];
  }

  const nodeOf = (event) => {
    const button = event.target.closest ? event.target.closest(".frame") : null;
    return button ? nodes[Number(button.dataset.id)] : undefined;
  };
  graph.addEventListener("click", (event) => {
    const node = nodeOf(event);
    if (node) zoom(node, true);
  });
  graph.addEventListener("focusin", (event) => {
    const node = nodeOf(event);
    if (!node) return;
    for (const button of buttons.values()) button.tabIndex = -1;
    event.target.tabIndex = 0;
    if (words === "") tell(node);
  });
  graph.addEventListener("pointerover", (event) => {
    const node = nodeOf(event);
    if (node) tell(node);
  });
  graph.addEventListener("pointerleave", mark);
  graph.addEventListener("keydown", (event) => {
    const node = nodeOf(event);
    if (!node || !event.key.startsWith("Arrow") || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    const next = neighbour(node, event.key);
    const button = next ? buttons.get(next.id) : undefined;
    if (button) button.focus();
  });
  page.addEventListener("keydown", (event) => {
    if (event.key === "/" && event.target !== search) {
      event.preventDefault();
      search.focus();
      search.select();
    } else if (event.key === "Escape") {
      if (event.target === search && search.value) {
        search.value = "";
        words = "";
        mark();
      } else if (zoomed !== root) zoom(nodes[zoomed.parent], event.target !== search);
    }
  });
  search.addEventListener("input", () => {
    words = search.value.trim().toLowerCase();
    mark();
  });
  search.form.addEventListener("submit", (event) => event.preventDefault());
  reset.addEventListener("click", () => zoom(root, true));
  draw();
}

// In a page that is only this graph; other pages call it themselves.
if (document.getElementById("profile")) drawFlameGraph(document, JSON.parse(document.getElementById("profile").textContent));
