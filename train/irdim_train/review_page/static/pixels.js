// The pictures of an item from its 16-bit pixels: original, registered, difference; and the contrast window.
const STEP = 3; // frames between the two of a difference

export class Pictures {
  constructor(item) {
    const c = item.cut;
    Object.assign(this, { item, count: c.last - c.first, height: c.bottom - c.top, width: c.right - c.left, made: new Map() });
  }

  // Float32Array (height x width), counts. n: place of the frame in the cut.
  picture(mode, n) {
    const key = `${mode} ${n}`;
    if (!this.made.has(key)) {
      if (this.made.size > 60) this.made.clear();
      this.made.set(key, mode === "difference" ? this.difference(n) : mode === "registered" ? this.registered(n) : this.frame(n));
    }
    return this.made.get(key);
  }

  frame(n) { const size = this.width * this.height; return this.item.pixels.subarray(n * size, (n + 1) * size); }

  registered(n) {
    const { width, height } = this, from = this.frame(n), [dx, dy] = this.item.shifts[n], to = new Float32Array(from.length);
    const at = (x, y) => from[Math.min(Math.max(y, 0), height - 1) * width + Math.min(Math.max(x, 0), width - 1)];
    const ix = Math.floor(dx), iy = Math.floor(dy), fx = dx - ix, fy = dy - iy;
    for (let y = 0, i = 0; y < height; y++) for (let x = 0; x < width; x++, i++) {
      to[i] = (1 - fy) * ((1 - fx) * at(x + ix, y + iy) + fx * at(x + ix + 1, y + iy))
        + fy * ((1 - fx) * at(x + ix, y + iy + 1) + fx * at(x + ix + 1, y + iy + 1));
    }
    return to;
  }

  difference(n) {
    const other = n >= STEP ? n - STEP : Math.min(n + STEP, this.count - 1);
    const newer = this.picture("registered", n), older = this.picture("registered", other);
    const to = newer.map((v, i) => v - older[i]), middle = quantile(to, 0.5);
    return to.map((v) => v - middle);
  }

  // What becomes black and white at first, in counts.
  window(mode, n) {
    const values = this.picture(mode, n);
    if (mode === "difference") {
      const reach = Math.max(quantile(values.map(Math.abs), 0.997), 1);
      return { low: -reach, high: reach };
    }
    const low = quantile(values, 0.01), high = quantile(values, 0.997);
    return { low, high: Math.max(high, low + 1) };
  }
}

function quantile(values, share) {
  const sorted = Float32Array.from(values).sort();
  return sorted[Math.round(share * (sorted.length - 1))];
}

export function paint(image, values, { low, high }) {
  const scale = 255 / (high - low);
  for (let i = 0, j = 0; i < values.length; i++, j += 4) {
    image.data[j] = image.data[j + 1] = image.data[j + 2] = (values[i] - low) * scale; // clamped by the array
    image.data[j + 3] = 255;
  }
}
