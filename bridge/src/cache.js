/** Answers that are kept for the same request of the same key, where CACHE_SECONDS is set. */

import { sha256 } from "./access.js";

const MOST_BYTES = 20_000_000;

/** Where the answer to this wish would be kept: `{ find, keeping }`; null where nothing is. */
export async function keptOf({ settings, key, ctx, raw }, wish, endpoint) {
  const { base, worker, cacheSeconds } = settings;
  if (!cacheSeconds || wish.asEvents || raw) return null;
  const { seed, ...input } = wish.input;
  const matters = [key, base, worker, wish.fields.seed, wish.format, Object.entries(input).sort(([a], [b]) => (a < b ? -1 : 1))];
  const digest = await sha256(JSON.stringify(matters));
  const url = `https://kept.oscine.invalid/${digest.toHex()}`;
  return {
    /** The answer from before, if there is one. */
    async find() {
      endpoint.count();
      const found = await caches.default.match(url);
      if (!found) return null;
      const headers = new Headers(found.headers);
      headers.set("cache-control", "no-store");
      headers.set("x-oscine-cache", "hit");
      for (const name of ["server-timing", "cf-cache-status", "age"]) headers.delete(name);
      return new Response(found.body, { headers });
    },

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
            headers: { ...headers, "cache-control": `public, max-age=${cacheSeconds}` },
          });
          endpoint.count();
          ctx.waitUntil(caches.default.put(url, kept));
        },
      };
    },
  };
}
