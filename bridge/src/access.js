/** Who may ask, and from which pages. */

import { BridgeError } from "./errors.js";

/**
 * The SHA-256 of the client's key, which tells clients apart; "" where none is needed. Throws BridgeError.
 * Takes equally long whichever key is or is not the right one.
 */
export async function requireKey(request, { keys }) {
  if (!keys.length) return "";
  const [scheme, ...rest] = (request.headers.get("authorization") ?? "").split(" ");
  const given = rest.join(" ").trim();
  const digest = await sha256(given);
  let found = false;
  for (const key of keys) found = crypto.subtle.timingSafeEqual(digest, await sha256(key)) || found;
  if (found && scheme.toLowerCase() === "bearer") return hex(digest);
  const said = given ? "The key is not valid" : "A key is needed";
  throw new BridgeError(401, `${said}; send one of this bridge's keys as Authorization: Bearer KEY.`, {
    code: "invalid_api_key",
    headers: { "www-authenticate": "Bearer" },
  });
}

/** What lets a page of another origin read an answer. */
export function corsHeaders({ request, settings }) {
  const from = request.headers.get("origin");
  if (!from || !settings) return {};
  if (settings.origins.includes("*"))
    return { "access-control-allow-origin": "*", "access-control-expose-headers": "*" };
  const known = settings.origins.includes(from) && {
    "access-control-allow-origin": from,
    "access-control-expose-headers": "*",
  };
  return { ...known, vary: "origin" };
}

/** The answer to the question whether a page may send a request. */
export function preflight(call) {
  const headers = corsHeaders(call);
  if (!headers["access-control-allow-origin"]) {
    throw new BridgeError(
      400,
      "A page of this origin may not send this request; list the origin in OSCINE_CORS_ORIGINS.",
      {
        code: "origin_not_allowed",
      },
    );
  }
  return new Response(null, {
    status: 204,
    headers: {
      "access-control-allow-methods": "GET, POST",
      "access-control-allow-headers": "authorization, *",
      "access-control-max-age": "3600",
    },
  });
}

export async function sha256(text) {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
}

export const hex = (bytes) => [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
