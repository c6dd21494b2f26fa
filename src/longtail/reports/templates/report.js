"use strict";
(function () {
  const data = JSON.parse(document.getElementById("data").textContent);
  const narrow = window.matchMedia("(max-width: 760px)");
  const dark = window.matchMedia("(prefers-color-scheme: dark)");

  /* ---- colours by role --------------------------------------------------------------- */
  function themed(value, style) {
    if (typeof value === "string" && value.startsWith("var(")) {
      return style.getPropertyValue(value.slice(4, -1)).trim();
    }
    if (Array.isArray(value)) {
      const plain = value.every((v) => v === null || typeof v === "number");
      return plain ? value : value.map((v) => themed(v, style));
    }
    if (value && typeof value === "object") {
      const out = {};
      for (const key of Object.keys(value)) out[key] = themed(value[key], style);
      return out;
    }
    return value;
  }
  const escaped = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

  /* ---- charts ------------------------------------------------------------------------ */
  function hasWebGL() {
    try {
      const canvas = document.createElement("canvas");
      return Boolean(canvas.getContext("webgl2") || canvas.getContext("webgl"));
    } catch (error) { return false; }
  }
  let webgl = null;

  function axis(given, style) {
    const grid = style.getPropertyValue("--rule").trim();
    return Object.assign({
      gridcolor: grid, linecolor: grid, zeroline: false, automargin: true, fixedrange: narrow.matches,
      tickfont: { size: 11 }
    }, given, { title: Object.assign({ font: { size: 12 }, standoff: 8 }, given.title) });
  }

  function layout(given, style) {
    const ink = style.getPropertyValue("--ink").trim();
    const out = Object.assign({
      margin: { l: 8, r: 8, t: 8, b: 8, pad: 0 }, paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)", hovermode: "closest", showlegend: undefined,
      font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: ink },
      legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", xanchor: "left", font: { size: 11 } },
      dragmode: narrow.matches ? false : "zoom",
      hoverlabel: { font: { size: 12 } }
    }, given);
    for (const key of Object.keys(out)) {
      if (/^[xy]axis\d*$/.test(key)) out[key] = axis(out[key], style);
    }
    return out;
  }

  function named(spec) {
    if (!spec.names) return;
    const text = spec.names.map((i) => escaped(data.table.columns[0].values[i]));
    for (const t of spec.named_traces) {
      spec.data[t].text = text;
      const share = spec.data[t].yaxis === "y2";
      spec.data[t].hovertemplate = "%{text}<br>" + (share ? "recall %{y:.1%}" : "%{y} samples") + "<extra></extra>";
      if (spec.data[t].type === "bar") spec.data[t].textposition = "none";
    }
  }

  function draw(node) {
    const style = getComputedStyle(document.documentElement);
    const spec = themed(data.figures[node.dataset.figure], style);
    if (spec.data.some((t) => t.type === "scattergl")) {
      if (webgl === null) webgl = hasWebGL();
      if (!webgl) {
        spec.data = spec.data.filter((t) => t.type !== "scattergl");
        if (spec.named_traces) spec.named_traces = [0];
        const note = node.closest("figure").querySelector(".gl-note");
        note.textContent = "This browser has no WebGL: single classes are left out, the lines are means.";
      }
    }
    if (narrow.matches) spec.data = spec.data.filter((t) => t.visible !== "legendonly");
    named(spec);
    node.dataset.drawn = "1";
    return window.Plotly.react(node, spec.data, layout(spec.layout, style), {
      responsive: true, displayModeBar: false
    });
  }

  const plots = Array.from(document.querySelectorAll("[data-figure]"));
  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (entry.isIntersecting && !entry.target.dataset.drawn) {
        watcher.unobserve(entry.target);
        draw(entry.target);
      }
    }
  }, { rootMargin: "400px 0px" });
  plots.forEach((node) => watcher.observe(node));
  const redraw = () => plots.filter((n) => n.dataset.drawn).forEach(draw);
  dark.addEventListener("change", redraw);
  narrow.addEventListener("change", redraw);
  window.addEventListener("beforeprint", () => plots.filter((n) => !n.dataset.drawn).forEach(draw));

  /* ---- class table: only the rows in view are in the page ------------------------------ */
  const box = document.getElementById("virtual");
  if (!box || !data.table) return;
  const grid = document.getElementById("classes-grid");
  const head = grid.tHead.rows[0], body = grid.tBodies[0];
  const find = document.getElementById("find"), group = document.getElementById("group");
  const found = document.getElementById("found");
  const columns = data.table.columns, total = columns[0].values.length, rowHeight = 34;
  const lower = columns[0].values.map((v) => v.toLowerCase());
  const groups = data.table.groups;
  let shown = [], sorted = { column: data.table.sort, up: false }, drawn = [-1, -1];

  let width = 0;
  columns.forEach((column, i) => {
    const th = document.createElement("th"), button = document.createElement("button");
    th.scope = "col";
    const w = i === 0 ? (narrow.matches ? 172 : 240) : Math.max(88, 36 + 8.5 * column.name.length);
    th.style.width = w + "px";
    width += w;
    if (column.kind !== "text") th.className = "num";
    button.type = "button";
    button.textContent = column.name;
    button.addEventListener("click", () => {
      const up = sorted.column === i ? !sorted.up : column.kind === "text";
      sorted = { column: i, up: up };
      update();
    });
    th.append(button);
    head.append(th);
  });
  grid.style.minWidth = width + "px";
  grid.setAttribute("aria-colcount", columns.length);

  function show(column, i) {
    const value = column.values[i];
    if (value === null || value === undefined || value === "") return "-";
    if (column.kind === "share") return (100 * value).toFixed(1);
    if (column.kind === "range") return (100 * value[0]).toFixed(0) + " to " + (100 * value[1]).toFixed(0);
    return String(value);
  }
  const key = (column, i) => {
    const value = column.values[i];
    return column.kind === "range" && value ? value[0] : value;
  };

  function update() {
    const text = find.value.trim().toLowerCase(), wanted = group.value, picked = [];
    for (let i = 0; i < total; i++) {
      if (text && !lower[i].includes(text)) continue;
      if (wanted && groups[i] !== wanted) continue;
      picked.push(i);
    }
    const column = columns[sorted.column], sign = sorted.up ? 1 : -1;
    picked.sort((a, b) => {
      const x = key(column, a), y = key(column, b);
      if (x === null || y === null) return (x === null) - (y === null) || a - b;
      if (x === y) return a - b;
      return (x < y ? -1 : 1) * sign;
    });
    shown = picked;
    Array.from(head.cells).forEach((th, i) => {
      if (i === sorted.column) th.setAttribute("aria-sort", sorted.up ? "ascending" : "descending");
      else th.removeAttribute("aria-sort");
    });
    grid.setAttribute("aria-rowcount", shown.length + 1);
    found.textContent = shown.length + " of " + total + " classes";
    box.scrollTop = 0;
    drawn = [-1, -1];
    paint();
  }

  function gap(rows) {
    const tr = document.createElement("tr"), td = document.createElement("td");
    tr.className = "gap";
    tr.setAttribute("aria-hidden", "true");
    td.colSpan = columns.length;
    td.style.height = rows * rowHeight + "px";
    tr.append(td);
    return tr;
  }

  function row(place) {
    const i = shown[place], tr = document.createElement("tr");
    tr.setAttribute("aria-rowindex", place + 2);
    if (data.table.faint[i]) tr.className = "faint";
    columns.forEach((column, c) => {
      const cell = document.createElement(c === 0 ? "th" : "td");
      if (c === 0) { cell.scope = "row"; cell.title = column.values[i]; }
      if (column.kind !== "text") cell.className = "num";
      cell.textContent = show(column, i);
      tr.append(cell);
    });
    return tr;
  }

  function paint() {
    const view = Math.ceil(box.clientHeight / rowHeight);
    const from = Math.max(0, Math.floor(box.scrollTop / rowHeight) - 8);
    const to = Math.min(shown.length, from + view + 16);
    if (from === drawn[0] && to === drawn[1]) return;
    drawn = [from, to];
    const rows = [];
    if (from) rows.push(gap(from));
    for (let i = from; i < to; i++) rows.push(row(i));
    if (to < shown.length) rows.push(gap(shown.length - to));
    body.replaceChildren(...rows);
  }

  let waiting = false;
  box.addEventListener("scroll", () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; paint(); });
  }, { passive: true });
  window.addEventListener("resize", paint);
  find.addEventListener("input", update);
  group.addEventListener("change", update);
  if (total * rowHeight < 380) box.style.height = "auto";
  update();
})();
