// What lies over the picture: masks, trails of confirmed tracks, detections with their score.
const ROOM = 4; // px of the screen between a target and its box, so that the box does not hide it
const colours = getComputedStyle(document.documentElement), colour = (name) => colours.getPropertyValue(`--${name}`);

export function draw(context, layout, frame, { masks, found }) {
  const to = (x, y) => [layout.left + x * layout.scale, layout.top + y * layout.scale];
  context.lineWidth = 1.5 * devicePixelRatio;
  context.font = `${12 * devicePixelRatio}px system-ui, "DejaVu Sans", sans-serif`;
  for (const polygon of masks) mask(context, polygon.map(([x, y]) => to(x, y)));
  if (!found) return;
  for (const track of frame.trails) trail(context, track, to);
  for (const d of frame.detections) box(context, d, to, layout.scale);
}

function mask(context, corners) {
  context.beginPath();
  corners.forEach(([x, y]) => context.lineTo(x, y));
  context.closePath();
  context.fillStyle = `${colour("mask")}22`;
  context.strokeStyle = colour("mask");
  context.setLineDash([6, 4]);
  context.fill();
  context.stroke();
  context.setLineDash([]);
}

function trail(context, { track, still, points }, to) {
  context.strokeStyle = context.fillStyle = colour(still ? "still" : "track");
  context.beginPath();
  points.forEach(([x, y]) => context.lineTo(...to(x, y)));
  context.stroke();
  const [x, y] = to(...points[0]);
  text(context, `#${track}`, x + 12 * devicePixelRatio, y + 18 * devicePixelRatio);
}

function box(context, d, to, scale) {
  const [x, y] = to(d.x, d.y), room = ROOM * devicePixelRatio, width = d.w * scale + 2 * room, height = d.h * scale + 2 * room;
  context.strokeStyle = context.fillStyle = colour(d.label);
  context.strokeRect(x - width / 2, y - height / 2, width, height);
  text(context, d.score.toFixed(2), x - width / 2, y - height / 2 - 5 * devicePixelRatio);
}

function text(context, words, x, y) {
  const fill = context.fillStyle;
  context.fillStyle = "#000b";
  context.fillRect(x - 2, y - 12 * devicePixelRatio, context.measureText(words).width + 4, 15 * devicePixelRatio);
  context.fillStyle = fill;
  context.fillText(words, x, y);
}
