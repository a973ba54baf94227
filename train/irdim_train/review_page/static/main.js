// The page: one item at a time, from key to decision to the next.
import { get, post } from "./api.js";
import { Edit } from "./edit.js";
import { BUTTONS, KEYS, shown } from "./keys.js";
import { Queue } from "./queue.js";
import { Viewer } from "./viewer.js";

const $ = (id) => document.getElementById(id);
const state = { item: null, edit: null, queue: null, busy: false, progress: { kinds: {}, sequences: [] } };
const decisions = JSON.parse(sessionStorage.decisions ?? "[]"); // of this tab, to undo; a reload keeps them
const viewer = new Viewer($("view"), {
  changed: showView,
  clicked: (place, shift) => { if (place && shift) add(place); },
});

function say(text, bad = false) { $("note").textContent = text; $("note").className = bad ? "bad" : ""; }

async function show() {
  try {
    state.item = await state.queue.current();
  } catch (error) {
    state.item = null; say(error.message, true);
  }
  const { item } = state;
  state.edit = item && new Edit(item);
  document.body.dataset.item = item?.id ?? "";
  $("kind-of").textContent = item ? `${item.kind} → ${item.box.label}` : "nothing left to decide";
  $("reason").textContent = item?.reason ?? "";
  if (item?.problem) say(`${item.problem} (skip it with s)`, true);
  viewer.show(item, state.edit);
  $("next").replaceChildren(...state.queue.items.slice(1, 9).map((i) => row(`${i.kind} · ${i.sequence}, ${i.frame}`, i.score.toFixed(3))));
  showProgress();
}

function row(left, right) {
  const li = document.createElement("li");
  li.append(...[left, right].map((text) => Object.assign(document.createElement("span"), { textContent: text })));
  return li;
}

function showView() {
  const { item, edit } = state;
  for (const button of document.querySelectorAll("[data-mode]")) button.classList.toggle("on", button.dataset.mode === viewer.mode);
  $("play").classList.toggle("on", viewer.playing); $("blink").classList.toggle("on", viewer.blinking);
  $("frame").textContent = item ? `frame ${viewer.frame} of ${item.length}${viewer.frame === item.frame ? " ●" : ""}` : "";
  const { low, high } = viewer.window;
  $("window").textContent = low === undefined ? "" : `${low.toFixed(0)} to ${high.toFixed(0)} counts`;
  if (!item || viewer.item !== item) { $("facts").replaceChildren(); return; }
  const b = edit.selected ?? edit.box, p = item.provenance;
  const facts = [["score", item.score.toFixed(3)], ["loss", p.loss], ["sequence", item.sequence], ["frame", item.frame], ["by", p.by ?? p.device],
    ["box", `${b.x.toFixed(2)}, ${b.y.toFixed(2)}  ${b.w.toFixed(1)} × ${b.h.toFixed(1)} px${edit.moved ? ", moved" : ""}`],
    ["track", edit.track.length ? `${edit.track.length} boxes, ${edit.track.filter((p) => p.changed && !p.gone).length} moved, ${edit.track.filter((p) => p.gone).length} taken away` : undefined],
    ["marked", edit.more.length ? `${edit.more.length} boxes besides` : undefined], ["depth", item.dtype]];
  $("facts").replaceChildren(...facts.filter(([, v]) => v !== undefined).flatMap(([k, v]) =>
    [Object.assign(document.createElement("dt"), { textContent: k }), Object.assign(document.createElement("dd"), { textContent: v })]));
}

function showProgress() {
  const counts = Object.entries(state.progress.kinds).filter(([kind]) => !$("kind").value || kind === $("kind").value).map(([, c]) => c);
  const all = counts.reduce((n, c) => n + c.all, 0), decided = counts.reduce((n, c) => n + c.decided, 0);
  Object.assign(document.querySelector("progress"), { max: all || 1, value: decided });
  document.querySelector("#progress span").textContent = `${decided} of ${all} decided`;
}

async function readProgress() {
  state.progress = await get("/api/progress");
  for (const [id, names] of [["kind", Object.keys(state.progress.kinds)], ["sequence", state.progress.sequences]]) {
    const there = new Set([...$(id).options].map((o) => o.value));
    for (const name of names) if (!there.has(name)) $(id).add(new Option(name, name));
  }
  showProgress();
}

function count(kind, by) { if (state.progress.kinds[kind]) state.progress.kinds[kind].decided += by; }

async function decide(decision) {
  const { item, edit, queue } = state;
  if (!item) return;
  if (item.problem && decision !== "skip") return say(`${item.problem} (skip it with s)`, true);
  try {
    const { review } = await post(`/api/items/${item.id}/decision`, { decision, who: $("who").value, ...edit.given });
    say(`${item.kind} ${item.id}: ${decision}`);
    if (decision !== "skip") {
      decisions.push({ review, brief: { id: item.id, kind: item.kind, score: item.score, sequence: item.sequence, frame: item.frame } });
      sessionStorage.decisions = JSON.stringify(decisions.slice(-500));
      count(item.kind, 1);
    }
  } catch (error) {
    say(error.message, true);
    if (error.status !== 409) return; // nothing was written: the item stays, with what was changed on it
  }
  queue.leave();
  await show();
}

async function undo() {
  const last = decisions.at(-1);
  if (!last) return say("nothing to undo in this tab", true);
  let problem;
  try { await post("/api/undo", { review: last.review, who: $("who").value }); } catch (error) {
    if (error.status !== 400) return say(error.message, true);
    problem = error.message; // it cannot be undone any more: the one before it can
  }
  decisions.pop(); sessionStorage.decisions = JSON.stringify(decisions);
  if (problem) return say(problem, true);
  state.queue.comeBack(last.brief); count(last.brief.kind, -1);
  say(`undone: ${last.brief.kind} ${last.brief.id}`);
  await show();
}

function label(name) {
  const { edit, item } = state;
  if (edit.isMarked()) { edit.selected.label = name; viewer.render(); }
  else if (item.whole && name !== "ignore") say("a whole frame: point at each target and press x, then accept the frame with a", true);
  else return decide(name);
}

function add(place, name) {
  if (!state.edit) return;
  if (!place) return say("point at it first", true);
  viewer.playing = viewer.blinking = false; state.edit.add(viewer.frame, place, name); viewer.render();
}

async function mark() {
  const { edit, item } = state;
  if (!viewer.pointer) return say("point at it first", true);
  edit.mark(viewer.frame, viewer.pointer); viewer.render();
  if (edit.marks.length < 2) return say("marked; mark it on another frame to follow it in between");
  try {
    edit.followed(await post("/api/follow", { sequence: item.sequence, marks: edit.marks, label: "target" }));
    say(`followed: ${edit.more.length} boxes, written with your decision`); viewer.render();
  } catch (error) { edit.marks = []; say(error.message, true); }
}

// Of a track, the box of the frame that is seen is changed: the picture stands still, and the frame has one.
function stopped() {
  const { edit } = state;
  if (!edit.track.length || edit.isMarked()) return true;
  viewer.playing = viewer.blinking = false; edit.onFrame(viewer.frame);
  if (edit.selected?.frame === viewer.frame) return true;
  say("the track has no box on this frame; add one with x", true);
  return false;
}

const actions = {
  decide, undo, label, mark, next: () => { state.queue.leave(); return show(); },
  remove: () => { if (state.edit.isMarked()) { state.edit.remove(); viewer.render(); } else return decide("background"); },
  drop: () => { if (!state.edit.track.length) return say("of a track only", true); if (stopped()) { state.edit.selected.gone = !state.edit.selected.gone; viewer.render(); } },
  nudge: (x, y, e) => {
    if (!stopped()) return;
    const by = e.altKey ? 0.25 : 1;
    state.edit[e.shiftKey ? "resize" : "move"](x * by, (e.shiftKey ? -y : y) * by); viewer.render();
  },
  add: () => add(viewer.pointer), select: () => { state.edit.next(); viewer.render(); },
  play: () => { viewer.blinking = false; viewer.playing = !viewer.playing; showView(); },
  blink: () => { viewer.playing = false; viewer.blinking = !viewer.blinking; showView(); },
  step: (by) => viewer.step(by), home: () => viewer.home(), mode: (name) => viewer.choose(name), zoom: (by) => viewer.zoom(by),
  contrast: () => viewer.resetWindow(), help: () => $("help").showModal(),
};

async function act([, , name, ...given], event) {
  if (state.busy || (!state.item && !["undo", "help"].includes(name))) return; // one key, one item: a second key waits for the next
  state.busy = true;
  try { await actions[name](...given, event); } finally { state.busy = false; }
}

addEventListener("keydown", (e) => {
  if (e.target.matches("input, select") || $("help").open || e.ctrlKey || e.metaKey) return;
  const key = KEYS.find(([k]) => k === e.key || (k.length === 1 && k === e.key.toLowerCase()));
  if (!key || (e.repeat && !["nudge", "step", "zoom"].includes(key[2]))) return;
  e.preventDefault();
  act(key, e);
});

async function restart() {
  state.queue = new Queue({ kind: $("kind").value, sequence: $("sequence").value, order: $("order").value });
  history.replaceState(null, "", `#${new URLSearchParams(state.queue.filters)}`);
  document.activeElement.blur();
  await show();
}

for (const key of KEYS) {
  const tr = document.querySelector("#help table").insertRow();
  if (!key[1]) { tr.remove(); continue; }
  tr.insertCell().append(Object.assign(document.createElement("kbd"), { textContent: shown(key[0]) }));
  tr.insertCell().textContent = key[1];
  if (!BUTTONS.includes(key[0])) continue;
  const button = document.createElement("button");
  button.append(Object.assign(document.createElement("kbd"), { textContent: key[0] }), key[1].split(/[,:]/)[0]);
  button.onclick = (e) => { button.blur(); act(key, e); };
  $("actions").append(button);
}
for (const button of document.querySelectorAll("#modes button, #help-button")) button.onclick = (e) => {
  button.blur();
  act(KEYS.find((k) => k[2] === (button.dataset.mode ? "mode" : { "help-button": "help" }[button.id] ?? button.id) && (!button.dataset.mode || k[3] === button.dataset.mode)), e);
};
$("who").onchange = () => { localStorage.who = $("who").value; $("who").blur(); };
for (const id of ["kind", "sequence", "order"]) $(id).onchange = restart;

const start = await get("/api/start");
document.title = `review ${start.data}`;
$("who").value = localStorage.who || start.who;
await readProgress();
for (const [id, value] of new URLSearchParams(location.hash.slice(1))) if ($(id)) $(id).value = value;
setInterval(() => readProgress().catch(() => {}), 30_000);
await restart();
