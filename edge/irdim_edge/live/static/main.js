// Follows the daemon's stream, fetches the picture of each frame, and finds back by itself when the daemon was away.
import { forget, show as showCounters } from "./counters.js";
import { Viewer } from "./viewer.js";

const STALE = 2; // seconds without a frame after which the banner says so
const REMEMBERED = 100; // events, ten seconds
const AGAIN = 1000; // ms before a connection is tried again
const $ = (id) => document.getElementById(id);
const START = { original: { low: 60, high: 64 }, difference: { low: 46, high: 64 } }; // sliders
const state = { view: "original", paused: false, frame: null, status: null, lost: null, full: false, fetching: false, sliders: structuredClone(START) };
const ENDED = { finished: "the recordings have ended, nothing runs", stopped: "the daemon was stopped, nothing runs" };
const recent = new Map(); // events by number
const viewer = new Viewer($("view"), (place) => { $("place").textContent = place ? `x ${place.x.toFixed(1)}  y ${place.y.toFixed(1)}` : ""; });

function connect() {
  const stream = new EventSource("/live");
  const on = (name, act) => stream.addEventListener(name, (event) => act(JSON.parse(event.data)));
  const again = () => { stream.close(); setTimeout(connect, AGAIN); };
  on("hello", ({ masks }) => { Object.assign(state, { lost: null, full: false }); viewer.masks = masks; recent.clear(); forget(); });
  on("frame", (frame) => { state.frame = frame; remember(frame); if (!state.paused) picture(); });
  on("status", (status) => { state.status = status; showCounters(status); said(status); banner(); });
  on("full", () => { state.full = true; stream.onerror = null; banner(); again(); });
  stream.onerror = () => { state.lost ??= performance.now(); banner(); again(); };
}

// One picture at a time: a slow network sees fewer frames, never old ones.
async function picture() {
  if (state.fetching || !state.frame) return;
  state.fetching = true;
  const frame = state.frame, view = state.view, { low, high } = percentiles();
  try {
    const answer = await fetch(`/live/frame.png?number=${frame.number}&view=${view}&low=${low}&high=${high}`, { signal: AbortSignal.timeout(5000) });
    const shown = answer.ok && await eventOf(Number(answer.headers.get("X-Irdim-Number")));
    if (shown) {
      viewer.show(await createImageBitmap(await answer.blob()), shown);
      const [black, white] = answer.headers.get("X-Irdim-Window").split(" ").map(Number);
      $("window").textContent = view === "original" ? `${black.toFixed(0)} to ${white.toFixed(0)} counts` : `${black.toFixed(1)} to ${white.toFixed(1)} sigma`;
      $("now").textContent = `${shown.source} · frame ${shown.frame} · ${shown.utc.slice(11, 23)} UTC`;
      Object.assign(document.body.dataset, { frame: shown.frame, view });
    }
  } catch { /* the stream's banner says that nobody answers */ }
  state.fetching = false;
  if (state.view !== view || (!state.paused && state.frame !== frame)) picture();
}

function remember(frame) {
  recent.set(frame.number, frame);
  recent.delete(frame.number - REMEMBERED);
}

// The event of a picture: of a newer one than was asked for where that is gone; its event may still be on the way.
async function eventOf(number) {
  for (let n = 0; n < 10 && !recent.has(number); n++) await new Promise((done) => setTimeout(done, 50));
  return recent.get(number);
}

// Sliders are logarithmic in the share of pixels that they cut off, down to 1 in 10^5: a target of 3 px is not more.
function percentiles() {
  const { low, high } = state.sliders[state.view], cut = (slider) => 49 * 10 ** (-slider / 20);
  return { low: low === 0 ? 0 : Number(cut(100 - low).toPrecision(4)), high: high === 100 ? 100 : Number((100 - cut(high)).toFixed(7)) };
}

function said(status) {
  $("where").textContent = `${status.device} / ${status.camera} · bundle ${status.bundle.slice(0, 8)}`;
  document.title = `${status.camera || status.device} · irdim live`;
}

function banner() {
  const idle = state.status?.idle ?? 0, seconds = (ms) => `${((performance.now() - ms) / 1000).toFixed(0)} s`;
  let words = "";
  if (state.full) words = "others are looking already; waiting for a place";
  else if (state.lost !== null) words = `${ENDED[state.status?.state] ?? "no connection to the daemon"} for ${seconds(state.lost)}; trying again`;
  else if (idle > STALE) words = `no frame for ${idle.toFixed(0)} s`;
  else if (state.paused) words = "paused";
  $("banner").textContent = words;
  $("banner").hidden = !words;
}

function choose(view) {
  state.view = view;
  for (const button of document.querySelectorAll("[data-view]")) button.classList.toggle("on", button.dataset.view === view);
  for (const side of ["low", "high"]) $(side).value = state.sliders[view][side];
  picture();
}

function toggle(id, key) { viewer[key] = !viewer[key]; $(id).classList.toggle("on", viewer[key]); viewer.render(); }
function pause() { state.paused = !state.paused; $("pause").classList.toggle("on", state.paused); banner(); picture(); }
function resetWindow() { state.sliders[state.view] = { ...START[state.view] }; choose(state.view); }

const KEYS = {
  1: ["original", () => choose("original")], 2: ["difference", () => choose("difference")], o: ["overlay", () => toggle("overlay", "overlay")],
  m: ["masks", () => toggle("masks", "withMasks")], " ": ["pause", pause], "+": ["zoom in", () => viewer.zoom(1.25)], "-": ["zoom out", () => viewer.zoom(0.8)],
  0: ["fit", () => viewer.fit()], r: ["contrast as it was", resetWindow], "?": ["keys", () => $("help").showModal()],
};

document.addEventListener("keydown", (e) => {
  if (e.ctrlKey || e.metaKey || e.altKey || $("help").open || !(e.key in KEYS)) return;
  e.preventDefault();
  KEYS[e.key][1]();
});
for (const button of document.querySelectorAll("[data-view]")) button.onclick = () => choose(button.dataset.view);
for (const side of ["low", "high"]) $(side).oninput = () => { state.sliders[state.view][side] = Number($(side).value); picture(); };
$("overlay").onclick = () => toggle("overlay", "overlay");
$("masks").onclick = () => toggle("masks", "withMasks");
$("pause").onclick = pause;
$("help-button").onclick = () => $("help").showModal();
$("help").querySelector("table").append(...Object.entries(KEYS).map(([key, [words]]) => {
  const row = document.createElement("tr"), name = document.createElement("kbd");
  name.textContent = key === " " ? "space" : key;
  row.insertCell().append(name);
  row.insertCell().textContent = words;
  return row;
}));
setInterval(banner, 500);
choose("original");
connect();
