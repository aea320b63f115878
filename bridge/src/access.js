/** Who may ask, and from which pages. */

import { BridgeError } from "./errors.js";

const ALLOWED = "access-control-allow-origin";

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
  if (found && scheme.toLowerCase() === "bearer") return digest.toHex();
  const said = given ? "The key is not valid" : "A key is needed";
  throw new BridgeError(401, `${said}; send one of this bridge's keys as Authorization: Bearer KEY.`, "invalid_api_key", null, {
    "www-authenticate": "Bearer",
  });
}

/** What lets a page of another origin read an answer. */
export function corsHeaders({ request, settings }) {
  const from = request.headers.get("origin");
  if (!from || !settings) return {};
  const allowed = ["*", from].find((origin) => settings.origins.includes(origin));
  return {
    ...(allowed && { [ALLOWED]: allowed, "access-control-expose-headers": "*" }),
    ...(allowed !== "*" && { vary: "origin" }),
  };
}

/** Refuse a page that may not ask: a browser sends some requests without asking first. Throws BridgeError. */
export function requireOrigin(call) {
  if (call.request.headers.get("origin") && !corsHeaders(call)[ALLOWED])
    throw new BridgeError(
      400,
      "A page of this origin may not send this request; list the origin in OSCINE_CORS_ORIGINS.",
      "origin_not_allowed",
    );
}

/** The answer to the question whether a page may send a request. */
export function preflight(call) {
  requireOrigin(call);
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
