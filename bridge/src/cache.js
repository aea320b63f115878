/** Answers that are kept for the same request of the same key, where CACHE_SECONDS is set. */

import { hex, sha256 } from "./access.js";

const MOST_BYTES = 20_000_000;

export class Kept {
  /** Where the answer to this wish would be kept; null where nothing is. */
  static async of(call, wish, endpoint) {
    const { settings, key, ctx, raw } = call;
    if (!settings.cacheSeconds || wish.asEvents || raw) return null;
    const { seed, ...input } = wish.input;
    const matters = {
      key,
      base: settings.base,
      worker: settings.worker,
      input,
      seed: wish.fields.seed ?? null,
      format: wish.format,
    };
    const url = `https://kept.oscine.invalid/${hex(await sha256(canonical(matters)))}`;
    return new Kept(url, settings.cacheSeconds, endpoint, ctx);
  }

  constructor(url, seconds, endpoint, ctx) {
    Object.assign(this, { url, seconds, endpoint, ctx });
  }

  /** The answer from before, if there is one. */
  async find() {
    this.endpoint.count();
    const found = await caches.default.match(this.url);
    if (!found) return null;
    const headers = new Headers(found.headers);
    headers.set("cache-control", "no-store");
    headers.set("x-oscine-cache", "hit");
    for (const name of ["server-timing", "cf-cache-status", "age"]) headers.delete(name);
    return new Response(found.body, { headers });
  }

  /** What collects an answer while it is sent; it is kept when it is complete. */
  keeping(headers) {
    let parts = [];
    let size = 0;
    return {
      add: (data) => {
        size += data.byteLength;
        if (size > MOST_BYTES) parts = [];
        else parts.push(data);
      },
      put: () => {
        if (size > MOST_BYTES) return;
        const kept = new Response(new Blob(parts), {
          headers: { ...headers, "cache-control": `public, max-age=${this.seconds}` },
        });
        this.endpoint.count();
        this.ctx.waitUntil(caches.default.put(this.url, kept));
      },
    };
  }
}

/** JSON whose objects have their names in order. */
function canonical(value) {
  const ordered = (_, part) =>
    typeof part === "object" && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
      : part;
  return JSON.stringify(value, ordered);
}
