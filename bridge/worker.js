/** OpenAI's speech API in front of a RunPod endpoint. Every request comes in here. */

import { corsHeaders, preflight, requireKey, requireOrigin } from "./src/access.js";
import { BridgeError, errorBody, unexpected } from "./src/errors.js";
import { health, models, oneModel, ping, speechModels, test, voices } from "./src/lists.js";
import { log } from "./src/log.js";
import { readSettings } from "./src/settings.js";
import { createSpeech } from "./src/speech.js";

const OLD_STREAM = "/api/tts/stream";
const ROUTES = {
  "/v1/audio/speech": { POST: createSpeech },
  [OLD_STREAM]: { POST: createSpeech },
  "/v1/models": { GET: models },
  "/v1/audio/models": { GET: speechModels },
  "/v1/audio/voices": { GET: voices },
  "/health": { GET: health },
  "/ping": { GET: ping },
  "/v1/test": { GET: test },
};
const REQUEST_ID = /^[A-Za-z0-9._-]{1,128}$/;

export default {
  async fetch(request, env, ctx) {
    const started = Date.now();
    const given = request.headers.get("x-request-id") ?? "";
    const id = REQUEST_ID.test(given) ? given : `req_${crypto.randomUUID().replaceAll("-", "").slice(0, 24)}`;
    const { pathname } = new URL(request.url);
    const call = { request, env, ctx, id, started, pathname, raw: pathname === OLD_STREAM, facts: {} };
    let answer;
    try {
      call.settings = readSettings(env);
      answer = request.method === "OPTIONS" ? preflight(call) : await route(call);
    } catch (error) {
      answer = refusal(error, call);
    }
    const headers = new Headers(answer.headers);
    headers.set("x-request-id", id);
    for (const [name, value] of Object.entries(corsHeaders(call))) headers.set(name, value);
    if (!call.facts.streams) log(call, answer.status);
    return new Response(answer.body, { status: answer.status, headers });
  },
};

async function route(call) {
  const { method } = call.request;
  const wanted = method === "HEAD" ? "GET" : method;
  const one = /^\/v1\/models\/(.+)$/.exec(call.pathname);
  const methods = one
    ? { GET: (of) => oneModel(of, one[1]) }
    : Object.hasOwn(ROUTES, call.pathname) && ROUTES[call.pathname];
  if (!methods) throw new BridgeError(404, "There is no such route; speech is at POST /v1/audio/speech.");
  if (!Object.hasOwn(methods, wanted)) {
    const allow = methods.GET ? "GET, HEAD" : "POST";
    throw new BridgeError(405, `This route does not take that method; it takes ${allow}.`, null, null, { allow });
  }
  if (wanted === "POST") {
    requireOrigin(call);
    call.key = await requireKey(call.request, call.settings);
  }
  return methods[wanted](call);
}

/** The answer to a request that failed before its first byte. */
function refusal(error, call) {
  const known = error instanceof BridgeError ? error : unexpected(error);
  call.facts.code = known.code ?? known.type;
  const body = call.raw ? { error: known.message } : { error: errorBody(known) };
  return Response.json(body, { status: known.status, headers: known.headers });
}
