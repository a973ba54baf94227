// What the reviewer has changed on an item and not yet decided: the proposed box, boxes marked besides, marks of a target.
const SIDE = 5; // px of a new box
const LEAST = 1;

export class Edit {
  constructor(item) {
    this.item = item; this.box = { ...item.box, frame: item.frame }; this.more = []; this.marks = []; this.moved = false;
    this.track = (item.provenance.points ?? []).map(([frame, x, y, w, h]) => ({ ...item.box, frame, x, y, w, h })); // gone: taken away
    this.selected = item.whole ? null : this.track.find((b) => b.frame === item.frame) ?? this.box;
  }

  add(frame, { x, y }, label = "target") {
    this.more.push({ frame, x: Math.floor(x) + 0.5, y: Math.floor(y) + 0.5, w: SIDE, h: SIDE, label });
    this.selected = this.more.at(-1);
  }

  move(dx, dy) { this.change((b) => { b.x = within(b.x + dx, this.item.width); b.y = within(b.y + dy, this.item.height); }); }
  resize(dw, dh) { this.change((b) => { b.w = Math.max(b.w + dw, LEAST); b.h = Math.max(b.h + dh, LEAST); }); }
  change(how) { const b = this.selected; if (!b) return; how(b); b.changed = this.track.includes(b); this.moved ||= b === this.box; }
  onFrame(frame) { if (!this.isMarked()) this.selected = this.track.find((b) => b.frame === frame) ?? this.selected; } // of a track, the box that is seen
  isMarked() { return this.more.includes(this.selected); }
  remove() { this.more = this.more.filter((b) => b !== this.selected); this.selected = this.item.whole ? this.more.at(-1) ?? null : this.first; }
  get first() { return this.track.find((b) => b.frame === this.item.frame) ?? this.box; }

  next() {
    const all = [...(this.item.whole ? [] : this.track.length ? [this.first] : [this.box]), ...this.more];
    this.selected = all[(all.indexOf(this.selected) + 1) % all.length] ?? null;
  }

  mark(frame, { x, y }) { this.marks = [...this.marks.filter(([f]) => f !== frame), [frame, x, y]]; }
  followed(boxes) {
    for (const [frame, found] of Object.entries(boxes)) for (const b of found) {
      const there = [...this.item.labels, ...this.more].some((l) => l.frame === +frame && l.w < this.item.width && Math.hypot(l.x - b.x, l.y - b.y) <= 3);
      if (!there) this.more.push({ ...b, frame: +frame });
    }
    this.marks = [];
  }

  // As the server takes it.
  get given() {
    const more = {};
    for (const { frame, ...box } of this.more) (more[frame] ??= []).push(box);
    const track = {};
    for (const { frame, x, y, w, h, label, changed, gone } of this.track) if (changed || gone) track[frame] = gone ? null : { x, y, w, h, label };
    const { x, y, w, h, label } = this.box;
    return { box: this.moved ? { x, y, w, h, label } : null, more, track };
  }
}

const within = (value, size) => Math.min(Math.max(value, 0), size - 0.01);
