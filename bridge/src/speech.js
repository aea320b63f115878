/** `POST /v1/audio/speech`: sound while it is made, as audio or as server-sent events. */

import { deltaEvent, doneEvent, errorEvent, formatOf, mediaType, warningsOf, wavHead } from "./audio.js";
import { keptOf } from "./cache.js";
import { passOn } from "./direct.js";
import { Endpoint, reach } from "./endpoint.js";
import { BridgeError, errorBody, unexpected } from "./errors.js";
import { base64Of, isPiece, Job, linkOf } from "./job.js";
import { log } from "./log.js";
import { readWish } from "./wish.js";

/** nginx's status for a client that closed the connection; nobody reads it. */
const CLIENT_LEFT = 499;
const RATE = 24_000;
const PCM_BYTES = 2;

/** The answer, with headers once the first sound is there: an error before it keeps its status. Throws BridgeError. */
export async function createSpeech(call) {
  const { settings, request, ctx } = call;
  const endpoint = new Endpoint(settings);
  const wish = await readWish(call, endpoint);
  const kept = await keptOf(call, wish, endpoint);
  const found = await kept?.find();
  if (found) return found;
  const leaving = new AbortController();
  const leave = () => leaving.abort(new BridgeError(CLIENT_LEFT, "The client left."));
  request.signal.addEventListener("abort", leave);
  if (settings.balanced) return passOn(call, wish, endpoint, leaving);
  const job = new Job(endpoint, wish.input, leaving.signal, (promise) => ctx.waitUntil(promise));
  const heard = { endpoint, wish, leaving, warnings: [], seconds: 0 };
  await job.start(wish.whole);
  try {
    const sound = soundOf(job, heard);
    const first = await sound.next();
    const firstAt = Date.now();
    async function* all() {
      yield first.value;
      yield* sound;
    }
    const headers = headersOf(call, job, heard, firstAt);
    const parts = wish.asEvents ? events(all(), heard, call) : all();
    const facts = { streams: true, format: heard.format, first_audio_ms: firstAt - call.started };
    Object.assign(call.facts, facts);
    const end = (outcome) => {
      if (facts.outcome) return;
      facts.outcome = outcome;
      Object.assign(call.facts, { outcome, subrequests: endpoint.used });
      log(call, 200);
    };
    leaving.signal.addEventListener("abort", () => end("left"));
    return new Response(body(parts, { leave, end, keep: kept?.keeping(headers) }), { headers });
  } catch (error) {
    job.cancel();
    throw error;
  }
}

/** The bytes of the answer: base64 as it came, or a Uint8Array. What was heard is noted in `heard`. */
async function* soundOf(job, heard) {
  try {
    for await (const document of job.documents()) {
      const base64 = isPiece(document) ? document.audio_chunk : job.next ? null : base64Of(document);
      if (!isPiece(document)) heard.result = document;
      if (base64) {
        yield* opening(document, heard);
        if (heard.format === "pcm" || heard.head) heard.seconds += (base64.length * 3) / 4 / PCM_BYTES / heard.rate;
        yield base64;
      } else if (!job.next && linkOf(document)) {
        yield* linked(document, heard);
      }
    }
    if (!heard.format)
      throw new BridgeError(502, "The worker gave no sound; look into the endpoint's log.", "no_sound");
  } finally {
    job.cancel();
  }
}

/** Note what the worker gives, which may be another format than was asked for, and put a head in front of samples. */
function* opening(document, heard, type = "") {
  if (heard.format) return;
  heard.first = document;
  const asked = heard.wish.format;
  const given =
    formatOf(document.format) ??
    formatOf(/\.(\w+)(\?|$)/.exec(document.filename ?? linkOf(document) ?? "")?.[1]) ??
    (/ogg|opus/.test(type) ? "opus" : asked);
  const samples = given === "pcm" && asked !== "pcm";
  heard.rate = document.sample_rate ?? document.metadata?.sample_rate ?? RATE;
  heard.format = samples ? "wav" : given;
  if (heard.format !== asked) heard.warnings.push(`The worker gives ${heard.format} where ${asked} was asked for.`);
  if (!samples) return;
  heard.head = true;
  yield wavHead(heard.rate);
}

/** A result that lies in a store; only a store that the bridge was told of is asked. */
async function* linked(document, heard) {
  const { endpoint, leaving } = heard;
  const url = URL.parse(linkOf(document));
  if (!url || !endpoint.settings.stores.includes(url.origin) || url.username) {
    throw new BridgeError(
      502,
      "The result lies in a store that the bridge does not know; name it in STORE_ORIGINS.",
      "unknown_store",
    );
  }
  endpoint.count();
  const answer = await reach(url, { signal: leaving.signal });
  if (answer?.status !== 200)
    throw new BridgeError(
      502,
      "The result could not be fetched from the store; send the request again.",
      "store_failed",
    );
  for await (const part of answer.body ?? []) {
    yield* opening(document, heard, answer.headers.get("content-type") ?? "");
    yield part;
  }
}

async function* events(sound, heard, call) {
  try {
    for await (const data of sound) yield deltaEvent(data);
  } catch (error) {
    if (heard.leaving.signal.aborted) throw error;
    call.facts.failed = true;
    yield errorEvent(errorBody(error instanceof BridgeError ? error : unexpected(error)));
    return;
  }
  yield doneEvent({ ...heard, characters: heard.wish.characters, seed: heard.wish.seed });
}

/** A stream that asks for the next part when the client has taken the one before. */
function body(parts, { leave, end, keep }) {
  const encoder = new TextEncoder();
  const bytes = (part) =>
    typeof part !== "string"
      ? part
      : part.startsWith("data:") || part.startsWith("event:")
        ? encoder.encode(part)
        : Uint8Array.fromBase64(part);
  return new ReadableStream(
    {
      async pull(controller) {
        try {
          const { value, done } = await parts.next();
          if (!done) {
            const data = bytes(value);
            keep?.add(data);
            return controller.enqueue(data);
          }
          keep?.put();
          end("done");
          controller.close();
        } catch (error) {
          end("failed");
          leave();
          controller.error(error); // the connection is closed without an end, so that the client knows
        }
      },
      cancel: leave,
    },
    { highWaterMark: 0 },
  );
}

function headersOf({ started, raw }, job, heard, firstAt) {
  const { wish, format, rate, warnings } = heard;
  const { metadata } = heard.first;
  const queued = job.queued - started;
  const headers = {
    "content-type": raw
      ? "audio/octet-stream"
      : wish.asEvents
        ? "text/event-stream; charset=utf-8"
        : mediaType(format, rate),
    "cache-control": "no-store",
    "x-accel-buffering": "no",
    "server-timing": `queue;dur=${queued}, speak;dur=${firstAt - started - queued}, first-audio;dur=${firstAt - started}`,
  };
  const facts = { engine: metadata?.engine, voice: metadata?.voice, seed: metadata?.seed ?? wish.seed };
  for (const [name, value] of Object.entries(facts))
    if (value != null) headers[`x-oscine-${name}`] = shown(value);
  const all = [...warnings, ...warningsOf(heard.first)].join(" ");
  if (all) headers["x-oscine-warnings"] = shown(all);
  return headers;
}

/** Percent-encoded where HTTP takes no such character, and cut between two. */
function shown(value) {
  let line = "";
  for (const letter of String(value).toWellFormed().trim()) {
    if (line.length > 1480) return `${line} And more.`;
    line += /[^\x20-\x7e]|%/u.test(letter) ? encodeURIComponent(letter) : letter;
  }
  return line;
}
