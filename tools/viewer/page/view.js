// The page around Model Explorer: which graph is shown, the steps of a pipeline, overlays with their legend and their worst nodes.
"use strict";

const SHOWN = 100;
const by = (id) => document.getElementById(id);
let show, scene, overlayKey = "";
let ready = false, wanted = "";

// The overlays of a scene are those of its last graph: the one that came out.
const last = () => show.graphs[scene.panes[scene.panes.length - 1]];
const overlay = () => last().overlays.find((o) => o.key === overlayKey);

function format(value) {
  if (typeof value !== "number") return value;
  const size = Math.abs(value);
  return size >= 1000 ? value.toFixed(0) : size >= 10 ? value.toFixed(1) : value.toPrecision(3);
}

function choice(text, act) {
  const button = document.createElement("button");
  button.className = "choice";
  button.textContent = text;
  button.addEventListener("click", act);
  return button;
}

function list() {
  show.problems.forEach((text) => {
    const line = document.createElement("div");
    line.textContent = text;
    by("problems").append(line);
  });
  show.scenes.forEach((s) => {
    s.button = choice(s.title, () => open(s));
    if (s.kind === "step") {
      const item = document.createElement("li");
      item.append(s.button);
      by("passes").append(item);
      by("steps").hidden = false;
    } else {
      by("models").append(s.button);
    }
  });
  by("models").hidden = !show.scenes.some((s) => s.kind !== "step");
}

// Show a scene; `node` is selected when the graph is there.
function open(next, node = "") {
  const wasModel = scene === undefined || scene.kind === "model";
  scene = next;
  for (const s of show.scenes) s.button.setAttribute("aria-current", String(s === scene));
  by("note").textContent = scene.note;
  const steps = show.scenes.filter((s) => s.kind === "step"), at = steps.indexOf(scene);
  by("at").textContent = at < 0 ? "" : `${at} of ${steps.length - 1}`;
  by("back").disabled = at === 0;
  by("on").disabled = at === steps.length - 1;
  const keys = last().overlays.map((o) => o.key);
  if (wasModel && scene.kind !== "model") overlayKey = "change";
  if (!keys.includes(overlayKey)) overlayKey = "";
  by("overlay").replaceChildren(new Option("none", ""), ...last().overlays.map((o) => new Option(o.title, o.key)));
  by("overlay").value = overlayKey;
  by("over").hidden = keys.length === 0;
  legend();
  draw(node);
}

function draw(node) {
  ready = false;
  wanted = "";
  const titles = scene.panes.map((p) => show.graphs[p].title);
  const data = {
    models: scene.panes.map((p) => ({ url: `graphs://${show.graphs[p].title}/${p}`, adapterId: "builtin_json" })),
    nodeData: [], nodeDataTargets: [],
    uiState: { paneStates: scene.panes.map((p, i) => ({
      deepestExpandedGroupNodeIds: [], selectedNodeId: node in show.graphs[p].places ? node : "", selectedGraphId: titles[i], selectedCollectionLabel: titles[i],
      widthFraction: 1 / scene.panes.length, selected: i === scene.panes.length - 1 })) },
  };
  scene.panes.forEach((p) => {
    const laid = show.graphs[p].overlays.find((o) => o.key === overlayKey);
    if (laid === undefined) return;
    data.nodeData.push(`node_data://${laid.title.replaceAll("/", " ")}/${laid.number}`);
    data.nodeDataTargets.push(show.graphs[p].title);
  });
  if (scene.panes.length === 2) data.sync = { mode: "match_node_id" };
  by("graph").src = `/explorer/?data=${encodeURIComponent(JSON.stringify(data))}`;
}

function legend() {
  const laid = overlay(), place = by("legend"), body = by("rows").tBodies[0];
  place.replaceChildren();
  body.replaceChildren();
  by("caption").textContent = "";
  if (laid === undefined) return;
  if (laid.stops.length) {
    const bar = document.createElement("div"), ends = document.createElement("div");
    bar.className = "bar";
    bar.style.background = `linear-gradient(to right, ${laid.stops.join(",")})`;
    ends.className = "ends";
    for (const end of [laid.low, laid.high]) {
      const text = document.createElement("span");
      text.textContent = `${format(end)} ${laid.unit}`;
      ends.append(text);
    }
    place.append(bar, ends);
  }
  for (const [word, colour] of Object.entries(laid.words)) {
    if (!laid.rows.some((r) => r[1] === word)) continue;
    const item = document.createElement("span"), box = document.createElement("i");
    item.className = "word";
    box.style.background = colour;
    item.append(box, word);
    place.append(item);
  }
  const more = laid.rows.length > SHOWN ? `the first ${SHOWN} of ${laid.rows.length}` : `${laid.rows.length} nodes`;
  by("caption").textContent = laid.stops.length ? `${more}, those to look at in front` : more;
  for (const [node, value] of laid.rows.slice(0, SHOWN)) {
    const row = body.insertRow(), button = document.createElement("button");
    row.dataset.node = node;
    button.textContent = node;
    button.addEventListener("click", () => select(node));
    const place = document.createElement("small");
    place.textContent = last().places[node];
    row.insertCell().append(button, place);
    row.insertCell().textContent = typeof value === "number" ? `${format(value)} ${laid.unit}` : value;
  }
}

// Model Explorer's message is meant for one pane, and lost while a graph is laid out: it is sent until the answer comes.
function select(node) {
  mark(node);
  wanted = node;
  if (!ready || scene.panes.length > 1) draw(node);
  else send(node, 30);
}

function send(node, times) {
  if (wanted !== node || times === 0) return;
  by("graph").contentWindow.postMessage({ cmd: "model-explorer-select-node-by-node-id", nodeId: node }, location.origin);
  setTimeout(() => send(node, times - 1), 300);
}

// Model Explorer is ready before its graphs are; each has a panel once it is laid out.
function settle(source) {
  if (by("graph").src !== source || ready) return;
  if (by("graph").contentDocument.querySelectorAll("info-panel").length < scene.panes.length) {
    setTimeout(() => settle(source), 100);
    return;
  }
  ready = true;
  document.body.dataset.drawn = String(Number(document.body.dataset.drawn || 0) + 1);
}

function mark(node) {
  for (const row of by("rows").rows) row.classList.toggle("selected", row.dataset.node === node);
}

function step(by_) {
  const steps = show.scenes.filter((s) => s.kind === "step");
  const next = steps[scene.kind === "step" ? steps.indexOf(scene) + by_ : 0];
  if (next !== undefined) open(next);
}

by("back").addEventListener("click", () => step(-1));
by("on").addEventListener("click", () => step(1));
by("overlay").addEventListener("change", (event) => {
  overlayKey = event.target.value;
  legend();
  draw("");
});
document.addEventListener("keydown", (event) => {
  if (event.target.closest("select, input") || by("steps").hidden) return;
  if (event.key === "ArrowLeft") step(-1);
  if (event.key === "ArrowRight") step(1);
});
window.addEventListener("message", (event) => {
  if (event.origin !== location.origin) return;
  if (event.data.cmd === "model-explorer-ready") settle(by("graph").src);
  if (event.data.cmd === "model-explorer-node-selected") {
    if (event.data.nodeId === wanted) wanted = "";
    mark(event.data.nodeId);
  }
});

fetch("/show.json").then((answer) => answer.json()).then((content) => {
  show = content;
  list();
  open(show.scenes[0]);
});
