// The open items in their order: read a page at a time, the next ones loaded before they are wanted.
import { get, load } from "./api.js";

const AHEAD = 3;

export class Queue {
  constructor(filters) { this.filters = filters; this.items = []; this.loaded = new Map(); this.last = null; this.end = false; }

  async current() {
    if (this.items.length <= AHEAD + 8 && !this.end) {
      const reading = this.more();
      if (!this.items.length) await reading;
    }
    for (const { id } of this.items.slice(0, AHEAD + 1)) this.preload(id);
    return this.items.length ? this.loaded.get(this.items[0].id) : null;
  }

  more() {
    this.reading ??= (async () => {
      try {
        const given = { ...this.filters, ...(this.last ? { after: this.last } : {}) };
        const page = await get(`/api/queue?${new URLSearchParams(given)}`);
        this.end = !page.length;
        if (page.length) this.last = page.at(-1).id;
        this.items.push(...page.filter((i) => !this.items.some((other) => other.id === i.id)));
      } finally { this.reading = null; }
    })();
    return this.reading;
  }

  preload(id) {
    if (this.loaded.has(id)) return;
    const loading = load(id);
    loading.catch(() => this.loaded.delete(id)); // asked for again when its turn comes
    this.loaded.set(id, loading);
  }

  leave() { this.loaded.delete(this.items.shift()?.id); }
  comeBack(brief) { this.loaded.delete(brief.id); this.items = [brief, ...this.items.filter((i) => i.id !== brief.id)]; }
}
