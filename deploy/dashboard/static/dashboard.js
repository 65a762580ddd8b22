// Figures, zooming of graphs, relative times, and live updates of what has changed. No dependency but plotly, which is
// loaded from this server where a page has figures.
"use strict";

(() => {
  const POLL_MS = 2500;
  const LEGEND_LINE_PX = 29; // with its frame
  const body = document.body;
  const night = window.matchMedia("(prefers-color-scheme: dark)");
  const DARK = {
    "#0072b2": "#5bb2ee", "#d55e00": "#ff8a4c", "#009e73": "#35c798", "#9b6bc4": "#b894dc", "#8558ad": "#b590dc",
    "#b98900": "#e0b33c", "#c4547f": "#e6849f", "#4b7f96": "#7db3cb", "#83872f": "#b5ba5c", "#c8322b": "#f0685f",
    "#7a828a": "#9aa3ac", "#3d444b": "#d5dade", "#b4bac0": "#59616a", "#7f5539": "#bd8b68", "#6a4c93": "#a98bd0",
  };

  // -- figures ---------------------------------------------------------------------------------------------------

  const recolour = (value) => {
    if (typeof value === "string") return DARK[value] || value;
    if (Array.isArray(value)) return value.length && typeof value[0] === "object" ? value.map(recolour) : value;
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, recolour(item)]));
    }
    return value;
  };

  let plotly = null;
  const loadPlotly = () => {
    plotly ||= new Promise((resolve, reject) => {
      for (const id of body.dataset.plotlyStyles.split(" ").filter(Boolean)) {
        // Plotly takes its styles for maps as added; the content security policy would refuse them.
        const placeholder = document.createElement("template");
        placeholder.id = id;
        document.head.append(placeholder);
      }
      const script = document.createElement("script");
      script.src = body.dataset.plotly;
      script.onload = () => resolve(window.Plotly);
      script.onerror = () => reject(new Error("plotly could not be loaded"));
      document.head.append(script);
    });
    return plotly;
  };

  const figureOf = (chart) => JSON.parse(chart.querySelector("script.figure").textContent);

  const draw = (Plotly, chart) => {
    const place = chart.querySelector(".plot");
    const figure = figureOf(chart);
    const dark = night.matches;
    const layout = dark ? recolour(figure.layout) : figure.layout;
    layout.font = { ...layout.font, color: dark ? "#c3c9cf" : "#3a4148" };
    layout.hoverlabel = { bgcolor: dark ? "#262b30" : "#ffffff", font: { color: dark ? "#e6e8ea" : "#1c2024" } };
    layout.autosize = true;
    // The place is as high as the figure from the beginning: nothing below it moves, and nothing overlaps.
    place.style.height = `${layout.height}px`;
    Plotly.react(place, dark ? figure.data.map(recolour) : figure.data, layout, {
      responsive: true, displayModeBar: false,
    }).then(() => giveRoom(Plotly, place, layout.height));
    if (!chart.querySelector(".export")) addExports(chart, place);
  };

  // A legend of several lines takes its room from the page, not from what is drawn.
  const giveRoom = (Plotly, place, height) => {
    const legend = place.querySelector(".legend .bg");
    const more = legend ? Math.round(legend.getBoundingClientRect().height - LEGEND_LINE_PX) : 0;
    if (more < LEGEND_LINE_PX / 2) return null;
    place.style.height = `${height + more}px`;
    return Plotly.relayout(place, { height: height + more });
  };

  const addExports = (chart, place) => {
    const bar = document.createElement("div");
    bar.className = "export";
    const name = place.id.replace(/^plot-/, "");
    const image = (format) => () => window.Plotly.downloadImage(place, {
      format, filename: name, width: place.clientWidth, height: place.clientHeight, scale: format === "png" ? 3 : 1,
    });
    for (const [word, action] of [["CSV", () => saveTable(name, figureOf(chart))], ["SVG", image("svg")], ["PNG", image("png")]]) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = word;
      button.setAttribute("aria-label", `Save ${place.getAttribute("aria-label")} as ${word}`);
      button.addEventListener("click", action);
      bar.append(button);
    }
    chart.append(bar);
  };

  // Arrays may come as base64 of typed arrays, as plotly's Python package writes them.
  const TYPES = { f8: Float64Array, f4: Float32Array, i4: Int32Array, i2: Int16Array, i1: Int8Array, u4: Uint32Array, u2: Uint16Array, u1: Uint8Array };
  const plain = (values) => {
    if (!values || !values.bdata) return values || [];
    const bytes = Uint8Array.from(atob(values.bdata), (character) => character.charCodeAt(0));
    return Array.from(new TYPES[values.dtype](bytes.buffer));
  };

  const cell = (value) => {
    let text = value === null || value === undefined ? "" : String(value);
    if (typeof value === "string" && /^[=+@\t-]/.test(text)) text = `'${text}`; // never a formula in a spreadsheet
    return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };

  // Columns that no trace needs are left out: panels of a figure with one, errors of one without.
  const saveTable = (name, figure) => {
    const bare = (text) => text.replace(/<[^>]*>/g, "");
    const title = (axis, otherwise) => bare(((figure.layout[axis] || {}).title || {}).text || otherwise);
    const panels = (figure.layout.annotations || []).map((one) => bare(one.text || ""));
    const traces = figure.data.map((trace, n) => {
      const { array, arrayminus } = trace.error_y || {};
      const panel = panels[Number((trace.xaxis || "x").slice(1) || 1) - 1];
      const [above, below] = [plain(array), plain(arrayminus || array)];
      return { panel, name: trace.name || `series ${n + 1}`, x: plain(trace.x), y: plain(trace.y), above, below };
    });
    const uncertain = traces.some((one) => one.above.length);
    const columns = [
      [figure.layout.xaxis2, "panel", (one) => one.panel],
      [true, "series", (one) => one.name],
      [true, title("xaxis", "x"), (one, i) => one.x[i]],
      [true, title("yaxis", "y"), (one, i) => one.y[i]],
      [uncertain, "error", (one, i) => one.above[i]],
      [uncertain, "error below", (one, i) => one.below[i]],
    ].filter(([wanted]) => wanted);
    const rows = [columns.map(([, head]) => head)];
    for (const one of traces) {
      for (let i = 0; i < Math.max(one.x.length, one.y.length); i += 1) rows.push(columns.map(([, , value]) => value(one, i)));
    }
    const text = rows.map((row) => row.map(cell).join(",")).join("\n");
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text + "\n"], { type: "text/csv" }));
    link.download = `${name}.csv`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  };

  const drawAll = async (root) => {
    const charts = [...root.querySelectorAll(".chart")];
    if (!charts.length) return;
    const Plotly = await loadPlotly();
    for (const chart of charts) if (chart.isConnected) draw(Plotly, chart);
    body.dataset.drawn = "true";
  };

  // -- graphs: wheel, buttons, dragging and keys change the part that is seen ---------------------------------------

  const LEAST_SCALE = 0.55;  // below it texts are too small to be read at once: the box scrolls instead

  const zoomable = (box) => {
    const svg = box.querySelector("svg");
    if (!svg || box.querySelector(".zoom")) return;
    const whole = svg.viewBox.baseVal;
    const home = [whole.x, whole.y, whole.width, whole.height];
    svg.classList.toggle("whole", box.clientWidth >= LEAST_SCALE * home[2]);
    const set = (x, y, width, height) => svg.setAttribute("viewBox", `${x} ${y} ${width} ${height}`);
    const zoom = (factor, at = [0.5, 0.5]) => {
      const { x, y, width, height } = svg.viewBox.baseVal;
      const limited = Math.min(Math.max(width * factor, home[2] / 12), home[2] * 1.5) / width;
      set(x + width * (1 - limited) * at[0], y + height * (1 - limited) * at[1], width * limited, height * limited);
    };
    const bar = document.createElement("div");
    bar.className = "zoom";
    for (const [word, label, action] of [["+", "Zoom in", () => zoom(0.7)], ["−", "Zoom out", () => zoom(1 / 0.7)], ["all", "Show all", () => { svg.classList.add("whole"); set(...home); }]]) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = word;
      button.setAttribute("aria-label", label);
      button.addEventListener("click", action);
      bar.append(button);
    }
    box.append(bar);
    svg.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && Math.abs(event.deltaY) < Math.abs(event.deltaX)) return;
      event.preventDefault();
      const place = svg.getBoundingClientRect();
      zoom(event.deltaY > 0 ? 1.15 : 1 / 1.15, [(event.clientX - place.left) / place.width, (event.clientY - place.top) / place.height]);
    }, { passive: false });
    let from = null, moved = false;
    svg.addEventListener("pointerdown", (event) => { from = [event.clientX, event.clientY]; moved = false; });
    svg.addEventListener("pointermove", (event) => {
      if (!from || !(event.buttons & 1)) return;
      const { x, y, width, height } = svg.viewBox.baseVal;
      const scale = Math.max(width / svg.clientWidth, height / svg.clientHeight);
      moved ||= Math.hypot(event.clientX - from[0], event.clientY - from[1]) > 3;
      if (!moved) return;
      set(x - (event.clientX - from[0]) * scale, y - (event.clientY - from[1]) * scale, width, height);
      from = [event.clientX, event.clientY];
    });
    svg.addEventListener("click", (event) => { if (moved) event.preventDefault(); }, true);
    svg.addEventListener("dragstart", (event) => event.preventDefault());
  };

  // -- times ---------------------------------------------------------------------------------------------------------

  const ago = (seconds) => {
    for (const [unit, length] of [["d", 86400], ["h", 3600], ["min", 60]]) {
      if (seconds >= length) return `${Math.floor(seconds / length)} ${unit} ago`;
    }
    return seconds > 5 ? `${Math.round(seconds)} s ago` : "just now";
  };
  const lasting = (seconds) => {
    const whole = Math.round(seconds), two = (number) => String(number).padStart(2, "0");
    if (whole < 60) return `${whole} s`;
    if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
    return `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))} min`;
  };
  const tellTimes = () => {
    for (const element of document.querySelectorAll("time")) {
      const moment = Date.parse(element.dateTime);
      if (Number.isNaN(moment)) continue;
      element.title ||= element.textContent;
      const seconds = Math.max(0, (Date.now() - moment) / 1000);
      element.textContent = "elapsed" in element.dataset ? lasting(seconds) : ago(seconds);
    }
  };

  // -- live: ask for the store's revision; when it has changed, for the page, and put in what differs ---------------------

  const live = document.getElementById("live");
  const served = new Map();
  const remember = (root) => {
    for (const element of root.querySelectorAll("[data-fragment]")) served.set(element.dataset.fragment, element.innerHTML);
  };
  const tell = (state, word) => {
    if (!live || live.dataset.state === state) return;
    live.dataset.state = state;
    live.querySelector(".word").textContent = word;
  };

  const replace = (page) => {
    for (const fresh of page.querySelectorAll("[data-fragment]")) {
      const name = fresh.dataset.fragment;
      const text = fresh.innerHTML;
      const old = document.querySelector(`[data-fragment="${CSS.escape(name)}"]`);
      if (!old || served.get(name) === text) continue;
      served.set(name, text);
      const open = new Set([...old.querySelectorAll("details[open][id]")].map((one) => one.id));
      const known = new Set([...old.querySelectorAll("details[id]")].map((one) => one.id));
      const scrolled = [...old.querySelectorAll(".scroll")].map((one) => one.scrollLeft);
      const ticked = new Set([...old.querySelectorAll("input:checked")].map((one) => one.value));
      const focused = old.contains(document.activeElement) ? document.activeElement : null;
      const seen = (old.querySelector("[data-zoom]") || { getAttribute: () => null }).getAttribute("viewBox");
      const zoomed = old.querySelector("[data-zoom-box]") && old.querySelector("[data-zoom-box]").dataset.home !== seen ? seen : null;
      const before = [...old.querySelectorAll(".chart")];
      for (const chart of fresh.querySelectorAll(".chart")) {
        // A figure that is drawn already keeps its place: plotly changes only what differs.
        const id = chart.querySelector(".plot").id;
        const same = before.find((one) => one.querySelector(".plot").id === id);
        if (!same) continue;
        const figure = same.querySelector("script.figure");
        figure.textContent = chart.querySelector("script.figure").textContent;
        same.querySelector(".plot").setAttribute("aria-label", chart.querySelector(".plot").getAttribute("aria-label"));
        same.querySelector("figcaption")?.remove();
        figure.after(...chart.querySelectorAll("figcaption"));
        chart.replaceWith(same);
      }
      old.replaceChildren(...fresh.childNodes);
      for (const one of old.querySelectorAll("input[type=checkbox]")) one.checked = ticked.has(one.value);
      for (const one of old.querySelectorAll("details[id]")) if (known.has(one.id)) one.open = open.has(one.id);
      old.querySelectorAll(".scroll").forEach((one, index) => { one.scrollLeft = scrolled[index] || 0; });
      prepare(old);
      if (zoomed && old.querySelector("[data-zoom]")) old.querySelector("[data-zoom]").setAttribute("viewBox", zoomed);
      if (focused) {
        const again = focused.id ? document.getElementById(focused.id)
          : [...old.querySelectorAll(focused.tagName)].find((one) => one.getAttribute("href") === focused.getAttribute("href"));
        if (again) again.focus({ preventScroll: true });
      }
    }
  };

  const poll = async () => {
    if (document.hidden) { tell("paused", "paused"); return; }
    try {
      const answer = await fetch("/revision", { cache: "no-store" });
      if (!answer.ok) throw new Error(`status ${answer.status}`);
      const { revision } = await answer.json();
      if (String(revision) !== body.dataset.revision) {
        const page = await fetch(location.href.split("#")[0], { cache: "no-cache" });
        if (!page.ok) throw new Error(`status ${page.status}`);
        const parsed = new DOMParser().parseFromString(await page.text(), "text/html");
        replace(parsed);
        body.dataset.revision = parsed.body.dataset.revision;
      }
      tell("live", "live");
    } catch (error) {
      tell("lost", "no answer");
    }
  };
  const keepPolling = async () => {
    await poll();
    tellTimes();
    setTimeout(keepPolling, POLL_MS);
  };

  const prepare = (root) => {
    drawAll(root).catch(() => tell("lost", "figures are missing"));
    for (const box of root.querySelectorAll("[data-zoom-box]")) {
      box.dataset.home = box.querySelector("svg").getAttribute("viewBox");
      zoomable(box);
    }
    tellTimes();
  };

  remember(document);
  prepare(document);
  night.addEventListener("change", () => drawAll(document));
  document.addEventListener("visibilitychange", () => { if (!document.hidden) poll(); });
  const keepTrying = async () => {
    const answer = await fetch("/revision", { cache: "no-store" }).catch(() => ({ ok: false }));
    if (answer.ok) location.reload();
    else setTimeout(keepTrying, POLL_MS);
  };
  // Pages about errors show nothing of the store.
  if (body.dataset.revision === "0") live.hidden = true;
  if (document.querySelector("[data-passing]")) setTimeout(keepTrying, POLL_MS);
  else if (body.dataset.revision === "0") return;
  else setTimeout(keepPolling, POLL_MS);
})();
