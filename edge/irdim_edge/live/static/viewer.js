// The picture on the canvas: zoom, place, and what lies over it. Pixels stay squares.
import { draw } from "./overlay.js";

export class Viewer {
  constructor(canvas, pointed) {
    Object.assign(this, { canvas, image: null, frame: null, masks: [], overlay: true, withMasks: true, zoomed: 1, x: 0.5, y: 0.5, drag: null });
    canvas.addEventListener("wheel", (e) => { e.preventDefault(); this.zoom(e.deltaY < 0 ? 1.25 : 0.8, this.placeOf(e)); }, { passive: false });
    canvas.addEventListener("pointerdown", (e) => { canvas.setPointerCapture(e.pointerId); this.drag = { x: e.clientX, y: e.clientY }; });
    canvas.addEventListener("pointerup", () => { this.drag = null; });
    canvas.addEventListener("pointermove", (e) => { this.move(e); pointed(this.image && this.placeOf(e)); });
    canvas.addEventListener("pointerleave", () => pointed(null));
    canvas.addEventListener("dblclick", () => this.fit());
    new ResizeObserver(() => this.render()).observe(canvas);
  }

  // image: ImageBitmap; frame: the event that it belongs to.
  show(image, frame) { this.image?.close(); Object.assign(this, { image, frame }); this.render(); }
  fit() { Object.assign(this, { zoomed: 1, x: 0.5, y: 0.5 }); this.render(); }

  // Keeps `at` (px of the frame) where it is on the canvas; the middle without.
  zoom(by, at = null) {
    if (!this.image) return;
    const zoomed = Math.min(Math.max(this.zoomed * by, 1), 40), ratio = this.zoomed / zoomed;
    if (at) { this.x = at.x / this.image.width + (this.x - at.x / this.image.width) * ratio; this.y = at.y / this.image.height + (this.y - at.y / this.image.height) * ratio; }
    this.zoomed = zoomed;
    this.keepInside();
    this.render();
  }

  move(e) {
    if (!this.drag || !this.image) return;
    const { scale } = this.layout(), ratio = devicePixelRatio / scale;
    this.x -= (e.clientX - this.drag.x) * ratio / this.image.width;
    this.y -= (e.clientY - this.drag.y) * ratio / this.image.height;
    this.drag = { x: e.clientX, y: e.clientY };
    this.keepInside();
    this.render();
  }

  keepInside() {
    const half = 0.5 / this.zoomed;
    this.x = Math.min(Math.max(this.x, half), 1 - half);
    this.y = Math.min(Math.max(this.y, half), 1 - half);
  }

  // Device pixels: how the frame lies on the canvas.
  layout() {
    const { width, height } = this.image, { canvas } = this;
    const scale = Math.min(canvas.width / width, canvas.height / height) * this.zoomed;
    return { scale, left: canvas.width / 2 - this.x * width * scale, top: canvas.height / 2 - this.y * height * scale };
  }

  placeOf(e) {
    if (!this.image) return null;
    const box = this.canvas.getBoundingClientRect(), { scale, left, top } = this.layout();
    return { x: ((e.clientX - box.left) * devicePixelRatio - left) / scale, y: ((e.clientY - box.top) * devicePixelRatio - top) / scale };
  }

  render() {
    const { canvas } = this, context = canvas.getContext("2d");
    canvas.width = Math.round(canvas.clientWidth * devicePixelRatio);
    canvas.height = Math.round(canvas.clientHeight * devicePixelRatio);
    if (!this.image) return;
    const layout = this.layout();
    context.imageSmoothingEnabled = false;
    context.drawImage(this.image, layout.left, layout.top, this.image.width * layout.scale, this.image.height * layout.scale);
    draw(context, layout, this.frame, { masks: this.withMasks ? this.masks : [], found: this.overlay });
  }
}
