// What is drawn over the picture: labels, proposal, predictions, track, marks. Coordinates are px of the frame.
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`);

// at(x, y): screen px; zoom: screen px a px; shift: how far this frame is drawn from its place.
export function draw(pen, { item, edit, frame, at, zoom, shift }) {
  const place = (x, y) => at(x - shift[0], y - shift[1]);
  const points = edit.track.filter((b) => !b.gone);
  if (points.length) {
    pen.strokeStyle = colour("track"); pen.lineWidth = 1; pen.setLineDash([]); pen.globalAlpha = 0.5;
    pen.beginPath();
    points.forEach(({ x, y }, i) => pen[i ? "lineTo" : "moveTo"](...place(x, y)));
    pen.stroke(); pen.globalAlpha = 1;
  }
  const box = (b, name, dash = [], thick = 1.5) => {
    const rim = 1.5, [x, y] = place(b.x - b.w / 2 - rim, b.y - b.h / 2 - rim); // beside the target, never over it
    pen.strokeStyle = colour(name); pen.lineWidth = thick; pen.setLineDash(dash);
    pen.strokeRect(x, y, (b.w + 2 * rim) * zoom, (b.h + 2 * rim) * zoom);
  };
  for (const b of item.labels) if (b.frame === frame && b.w < item.width) box(b, b.label);
  for (const d of item.provenance.detections ?? []) if (frame === item.frame) {
    const [x, y] = place(d.x, d.y);
    pen.strokeStyle = colour("prediction"); pen.setLineDash([]); pen.beginPath(); pen.arc(x, y, 5 * zoom, 0, 7); pen.stroke();
  }
  const point = points.find((b) => b.frame === frame);
  if (point) box(point, "proposal", [6, 4], edit.selected === point ? 2 : 1.2);
  else if (frame === item.frame && !item.whole && !edit.track.length) box(edit.box, "proposal", [6, 4], edit.selected === edit.box ? 2 : 1.2);
  for (const b of edit.more) if (b.frame === frame) box(b, b.label, b === edit.selected ? [2, 2] : [], 2.2);
  for (const [f, x, y] of edit.marks) if (f === frame) {
    const [cx, cy] = place(x, y);
    pen.strokeStyle = "#fff"; pen.setLineDash([]); pen.beginPath();
    pen.moveTo(cx - 9, cy); pen.lineTo(cx + 9, cy); pen.moveTo(cx, cy - 9); pen.lineTo(cx, cy + 9); pen.stroke();
  }
}
