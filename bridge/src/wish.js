/** What a client asks for, and the input of the job that it becomes. */

import { FORMATS, formatOf } from "./audio.js";
import { BridgeError } from "./errors.js";
import { meaning, plain, voiceTable } from "./voices.js";

const NOT_OBJECT = 'The body must be a JSON object such as {"input": "Hello."}.';
/** What a client of the bridge may not ask a worker for. */
const NOT_PASSED = ["action", "stream_format", "stream", "name", "s3_key", "replace"];

/**
 * `{ input, fields, format, whole, asEvents, characters, seed }`: the job's input, what a worker's own server takes,
 * and how to answer. Throws BridgeError. Everything that only the worker can know is checked by the worker.
 */
export async function readWish(call, endpoint) {
  const { settings, raw } = call;
  const fields = await jsonObject(call.request, settings.maxBodyBytes);
  const named = fields.input === undefined || fields.input === null ? "text" : "input";
  const text = fields[named];
  if (text === undefined || text === null)
    throw invalid("input is missing; it takes the text to speak, as a string.", "input");
  if (typeof text !== "string") throw invalid(`${named} must be the text to speak, as a string.`, named);
  if (!text.trim()) throw invalid(`${named} holds only blanks; give at least one word to speak.`, named);
  const { speed = null, stream_format = null } = fields;
  if (speed !== null && !(typeof speed === "number" && speed >= 0.25 && speed <= 4))
    throw invalid("speed must be a number from 0.25 to 4.", "speed");
  if (![null, "audio", "sse"].includes(stream_format))
    throw invalid("stream_format must be audio or sse.", "stream_format");
  const whole = streams(fields.stream) === false;
  const { name, format } = formatAsked(fields, raw);
  const table = await voiceTable(call.env, endpoint);
  const { voice, engine, options } = meaning(table, voiceNamed(fields.voice));
  const passed = { ...options, ...(engine && { engine }), ...without(fields, NOT_PASSED) };
  delete passed.voice;
  if (voice !== undefined) passed.voice = voice;
  if (plain(fields.voices))
    passed.voices = Object.fromEntries(Object.entries(fields.voices).map((entry) => mapped(table, entry)));
  passed[name] = format;
  return {
    ...inputs(settings.worker, passed, { text, named, name, format, whole }),
    fields: passed,
    format,
    asEvents: stream_format === "sse" && !raw,
    characters: [...text].length,
  };
}

/** The input by the names that the worker knows, and whether it comes as one result. */
function inputs(worker, passed, { text, named, name, format, whole }) {
  if (worker === "oscine") {
    const seed = passed.seed ?? crypto.getRandomValues(new Uint32Array(1))[0];
    return { input: { ...passed, seed, stream: !whole }, seed, whole };
  }
  const { voice, ...rest } = without(passed, [named, name]);
  if (worker === "vibevoice") {
    const output = ["pcm", "wav"].includes(format) ? "pcm_16" : "mp3";
    return {
      input: { ...rest, text, ...(voice && { speaker_name: voice }), output_format: output, stream: !whole },
      seed: null,
      whole,
    };
  }
  const file = whole || format === "opus"; // its files are Opus, its streams are samples
  return {
    input: { ...rest, text, ...(voice && { speaker_voice: voice }), output_format: "pcm_16", stream: !file },
    seed: null,
    whole: file,
  };
}

function formatAsked(fields, raw) {
  const name =
    ["response_format", "format", "output_format"].find(
      (known) => fields[known] !== undefined && fields[known] !== null,
    ) ?? "response_format";
  if (raw) return { name, format: "pcm" };
  const format = formatOf(fields[name] ?? "mp3");
  if (!format || fields[name] === "ogg") throw invalid(`${name} must be one of ${FORMATS.join(", ")}.`, name);
  return { name, format };
}

function voiceNamed(voice) {
  const name = plain(voice) ? voice.id : (voice ?? "");
  if (typeof name !== "string") throw invalid("voice must be the name of a voice.", "voice");
  return name.trim();
}

function mapped(table, [label, voice]) {
  return [label, typeof voice === "string" ? (meaning(table, voice).voice ?? voice) : voice];
}

function streams(given) {
  const known = { true: true, false: false };
  if (given === undefined || given === null) return undefined;
  if (!Object.hasOwn(known, String(given))) throw invalid("stream must be true or false.", "stream");
  return known[String(given)];
}

async function jsonObject(request, most) {
  const large = new BridgeError(413, `The body is larger than ${most / 1e6} MB; send less at once.`);
  if (Number(request.headers.get("content-length")) > most) throw large;
  const body = await request.arrayBuffer();
  if (body.byteLength > most) throw large;
  let found;
  try {
    found = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch {
    throw invalid(NOT_OBJECT);
  }
  if (!plain(found)) throw invalid(NOT_OBJECT);
  return found;
}

function without(fields, names) {
  return Object.fromEntries(Object.entries(fields).filter(([name]) => !names.includes(name)));
}

function invalid(message, param = null) {
  return new BridgeError(400, message, { param });
}
