// The picture: plays, blinks, zooms; the contrast window is dragged with the mouse.
import { draw } from "./overlay.js";
import { Pictures, paint } from "./pixels.js";

const FPS = 8, STEP = 3, HOLD = 1000; // ms that playing rests on the item's own frame

export class Viewer {
  constructor(canvas, { changed, clicked }) {
    Object.assign(this, { canvas, changed, mode: "original", playing: true, blinking: false, zoomed: 1, pointer: null });
    this.small = document.createElement("canvas");
    canvas.addEventListener("pointerdown", (e) => { canvas.setPointerCapture(e.pointerId); this.drag = { x: e.clientX, y: e.clientY, moved: false, ...this.window }; });
    canvas.addEventListener("pointermove", (e) => this.move(e));
    canvas.addEventListener("pointerup", (e) => { if (this.drag && !this.drag.moved) clicked(this.placeOf(e), e.shiftKey); this.drag = null; });
    canvas.addEventListener("wheel", (e) => { e.preventDefault(); this.zoom(e.deltaY < 0 ? 1 : -1); }, { passive: false });
    new ResizeObserver(() => this.render()).observe(canvas);
    setInterval(() => this.tick(), 1000 / FPS);
  }

  show(item, edit) {
    Object.assign(this, { item, edit, pictures: item?.pixels ? new Pictures(item) : null, windows: {}, zoomed: 1, drag: null });
    if (item) this.n = item.frame - item.cut.first;
    this.arrived = performance.now();
    this.render();
  }

  get frame() { return this.item.cut.first + this.n; }
  get window() { return this.pictures ? (this.windows[this.mode] ??= this.pictures.window(this.mode, this.item.frame - this.item.cut.first)) : {}; }

  tick() {
    if (!this.pictures || !(this.playing || this.blinking) || this.drag?.moved) return;
    const here = this.item.frame - this.item.cut.first;
    if (this.blinking) { if (performance.now() - (this.blinked ?? 0) > 400) { this.blinked = performance.now(); this.n = this.n === here ? Math.max(here - STEP, 0) : here; } }
    else if (this.n === here && performance.now() - this.arrived < HOLD) return;
    else { this.n = (this.n + 1) % this.pictures.count; if (this.n === here) this.arrived = performance.now(); }
    this.render();
  }

  step(by) { this.playing = this.blinking = false; if (this.pictures) this.n = (this.n + by + this.pictures.count) % this.pictures.count; this.render(); }
  home() { this.playing = this.blinking = false; this.n = this.item.frame - this.item.cut.first; this.render(); }
  zoom(by) { this.zoomed = Math.min(Math.max(this.zoomed * 1.25 ** by, 1), 12); this.render(); }
  choose(mode) { this.mode = mode; this.render(); }
  resetWindow() { this.windows = {}; this.render(); }

  move(e) {
    this.pointer = this.placeOf(e);
    if (!this.drag || !this.pictures) return;
    const right = e.clientX - this.drag.x, down = e.clientY - this.drag.y;
    if (!this.drag.moved && Math.hypot(right, down) < 4) return;
    this.drag.moved = true;
    const span = this.drag.high - this.drag.low, wide = Math.max(span * Math.exp(right / 250), 0.5);
    const middle = (this.drag.high + this.drag.low) / 2 + (span * down) / 400;
    this.windows[this.mode] = { low: middle - wide / 2, high: middle + wide / 2 };
    this.render();
  }

  // How the crop lies on the canvas, in device px: zoomed about the item.
  layout() {
    const { width, height } = this.pictures, c = this.item.cut;
    const fit = Math.min(this.canvas.width / width, this.canvas.height / height), zoom = (fit >= 2 ? Math.floor(fit) : fit) * this.zoomed;
    const middle = (size, shown, focus) => size * zoom <= shown ? (shown - size * zoom) / 2 : Math.min(Math.max(shown / 2 - focus * zoom, shown - size * zoom), 0);
    const focus = this.edit.selected ?? this.edit.box;
    return { zoom, left: middle(width, this.canvas.width, focus.x - c.left), top: middle(height, this.canvas.height, focus.y - c.top) };
  }

  get shift() { return this.mode === "original" ? [0, 0] : this.item.shifts[this.n]; }

  placeOf(e) {
    if (!this.pictures) return null;
    const { zoom, left, top } = this.layout(), r = this.canvas.getBoundingClientRect(), d = devicePixelRatio, c = this.item.cut;
    const x = ((e.clientX - r.left) * d - left) / zoom, y = ((e.clientY - r.top) * d - top) / zoom;
    if (x < 0 || y < 0 || x >= this.pictures.width || y >= this.pictures.height) return null;
    return { x: c.left + x + this.shift[0], y: c.top + y + this.shift[1] };
  }

  render() {
    const { canvas } = this, pen = canvas.getContext("2d"), d = devicePixelRatio;
    const [w, h] = [Math.round(canvas.clientWidth * d), Math.round(canvas.clientHeight * d)];
    if (canvas.width !== w || canvas.height !== h) Object.assign(canvas, { width: w, height: h });
    pen.clearRect(0, 0, w, h);
    if (this.pictures) {
      const { width, height } = this.pictures, { zoom, left, top } = this.layout(), c = this.item.cut;
      Object.assign(this.small, { width, height });
      const image = new ImageData(width, height);
      paint(image, this.pictures.picture(this.mode, this.n), this.window);
      this.small.getContext("2d").putImageData(image, 0, 0);
      pen.imageSmoothingEnabled = false;
      pen.drawImage(this.small, left, top, width * zoom, height * zoom);
      pen.save(); pen.beginPath(); pen.rect(left, top, width * zoom, height * zoom); pen.clip();
      draw(pen, { item: this.item, edit: this.edit, frame: this.frame, zoom, shift: this.shift, at: (x, y) => [left + (x - c.left) * zoom, top + (y - c.top) * zoom] });
      pen.restore();
    }
    this.changed();
  }
}
