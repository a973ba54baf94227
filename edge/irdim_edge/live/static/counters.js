// The counters beside the picture, from the daemon's status.
const OVER = 5; // seconds over which frames a second are counted
let seen = []; // [ms, frames], oldest first

export function forget() { seen = []; }

export function show(status) {
  const rate = rateOf(status.frames), ms = status.milliseconds, total = (counts) => Object.values(counts).reduce((a, b) => a + b, 0);
  tiles({ "frames a second": rate === null ? "…" : rate.toFixed(1), "latency p50 / p99": ms.latency ? `${ms.latency.p50.toFixed(0)} / ${ms.latency.p99.toFixed(0)} ms` : "…",
    detections: status.detections, "tracks confirmed": status.tracks, skipped: status.skipped, suspects: total(status.suspects) });
  table(ms);
  const said = (counts) => Object.entries(counts).filter(([, n]) => n).map(([kind, n]) => `${n} ${kind.replaceAll("_", " ")}`).join(", ") || "0";
  rows("found", { frames: status.frames, warming: said(status.warming), verdicts: said(status.verdicts), suspects: said(status.suspects),
    "suspects dropped": [said(status.dropped), total(status.dropped) > 0], "over the budget": said(status.over_budget) });
  rows("health", { camera: [status.camera_trouble || said(status.camera_counts), status.camera_trouble], "lines not written": [status.unwritten, status.unwritten > 0],
    "spool, waiting": status.waiting, "spool, evicted": [status.evicted, status.evicted > 0], uploaded: status.uploaded,
    upload: [status.upload_error || "no error", status.upload_error], messages: [status.messages_trouble || said(status.messages), status.messages_trouble],
    "last error": [status.last_error ? `${status.last_error} (${status.errors} so far)` : "none", status.last_error] });
}

function rateOf(frames) {
  const now = performance.now();
  if (seen.length && frames < seen.at(-1)[1]) forget(); // the daemon was started anew
  seen.push([now, frames]);
  while (seen.length > 2 && now - seen[0][0] > 1000 * OVER) seen.shift();
  return seen.length > 1 ? 1000 * (frames - seen[0][1]) / (now - seen[0][0]) : null;
}

function tiles(values) {
  document.getElementById("tiles").replaceChildren(...Object.entries(values).map(([name, value]) => {
    const tile = document.createElement("div");
    tile.append(of("dt", name), of("dd", value));
    tile.dataset.name = name;
    return tile;
  }));
}

function table(milliseconds) {
  const head = document.createElement("tr");
  head.append(...["stage", "p50", "p99"].map((name) => of("th", name)));
  document.getElementById("stages").replaceChildren(head, ...Object.entries(milliseconds).map(([stage, q]) => {
    const row = document.createElement("tr");
    row.append(of("th", stage), of("td", q.p50.toFixed(1)), of("td", q.p99.toFixed(1)));
    return row;
  }));
}

// values: by name, a text, or [text, whether it is bad].
function rows(id, values) {
  document.getElementById(id).replaceChildren(...Object.entries(values).flatMap(([name, value]) => {
    const [words, bad] = Array.isArray(value) ? value : [value, false], cell = of("dd", words);
    cell.classList.toggle("bad", Boolean(bad));
    return [of("dt", name), cell];
  }));
}

function of(tag, words) { const element = document.createElement(tag); element.textContent = words; return element; }
