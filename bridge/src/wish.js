/** What a client asks for, and the input of the job that it becomes. */

import { FORMATS, formatOf } from "./audio.js";
import { BridgeError } from "./errors.js";
import { meaning, plain, voiceTable } from "./voices.js";

const NOT_OBJECT = 'The body must be a JSON object such as {"input": "Hello."}.';
const TEXTS = ["input", "text"];
const VOICES = ["voice", "speaker_voice", "speaker_name", "speaker"];
const FORMAT_NAMES = ["response_format", "format", "output_format"];
/** What a client of the bridge may not ask a worker for, and what is passed under one name only. */
const NOT_PASSED = ["action", "stream_format", "stream", "name", "s3_key", "replace", ...TEXTS, ...VOICES];
const DEEPEST = 20;
/** RunPod takes 10 MB. */
const MOST_BYTES = 9_900_000;

/**
 * `{ input, fields, format, whole, asEvents, characters, seed }`: the job's input, what a worker's own server takes,
 * and how to answer. Throws BridgeError. Everything that only the worker can know is checked by the worker.
 */
export async function readWish(call, endpoint) {
  const { settings, raw } = call;
  const fields = await jsonObject(call.request);
  const named = nameOf(TEXTS, fields);
  const text = fields[named];
  if (text == null) throw invalid("input is missing; it takes the text to speak, as a string.", "input");
  if (typeof text !== "string") throw invalid(`${named} must be the text to speak, as a string.`, named);
  if (!text.trim()) throw invalid(`${named} holds only blanks; give at least one word to speak.`, named);
  const { speed = null, stream = null, stream_format = null, seed } = fields;
  if (speed !== null && !(typeof speed === "number" && speed >= 0.25 && speed <= 4))
    throw invalid("speed must be a number from 0.25 to 4.", "speed");
  if (![null, "audio", "sse"].includes(stream_format))
    throw invalid("stream_format must be audio or sse.", "stream_format");
  if (typeof seed === "number" && seed > Number.MAX_SAFE_INTEGER) throw invalid("seed must be at most 2^53 - 1 here.", "seed");
  const whole = [false, "false"].includes(stream);
  if (!whole && ![null, true, "true"].includes(stream)) throw invalid("stream must be true or false.", "stream");
  const table = await voiceTable(call.env, endpoint);
  const label = nameOf(VOICES, fields);
  const { voice, engine, options } = meaning(table, voiceNamed(fields[label], label));
  const name = nameOf(FORMAT_NAMES, fields, options);
  const format = raw ? "pcm" : formatOrRefuse(name, fields[name] ?? options?.[name] ?? "mp3");
  const rest = { ...options, ...(engine && { engine }), ...without(fields, NOT_PASSED) };
  const passed = { ...without(rest, FORMAT_NAMES), [named]: text, [name]: format };
  if (voice !== undefined) passed[label] = voice;
  if (plain(fields.voices))
    passed.voices = Object.fromEntries(Object.entries(fields.voices).map((entry) => mapped(table, entry)));
  return {
    ...inputs(settings.worker, passed, voice, { text, format, whole }),
    fields: passed,
    format,
    asEvents: stream_format === "sse" && !raw,
    characters: [...text].length,
  };
}

/** The input by the names that the worker knows, and whether it comes as one result. */
function inputs(worker, passed, voice, { text, format, whole }) {
  if (worker === "oscine") {
    const seed = passed.seed ?? crypto.getRandomValues(new Uint32Array(1))[0];
    return { input: { ...passed, seed, stream: !whole }, seed, whole };
  }
  const vibevoice = worker === "vibevoice";
  const file = whole || (!vibevoice && format === "opus"); // IndexTTS's files are Opus, its streams are samples
  const input = {
    ...without(passed, [...TEXTS, ...VOICES, ...FORMAT_NAMES]),
    text,
    ...(voice && { [vibevoice ? "speaker_name" : "speaker_voice"]: voice }),
    output_format: vibevoice && !["pcm", "wav"].includes(format) ? "mp3" : "pcm_16",
    stream: !file,
  };
  return { input, seed: null, whole: file };
}

/** Which of `names` is given, in the first of `places` that has one; else the first. */
function nameOf(names, ...places) {
  return places.flatMap((fields) => names.filter((name) => fields?.[name] != null))[0] ?? names[0];
}

function formatOrRefuse(name, given) {
  const format = formatOf(given);
  if (!format || given === "ogg") throw invalid(`${name} must be one of ${FORMATS.join(", ")}.`, name);
  return format;
}

function voiceNamed(voice, label) {
  const name = plain(voice) ? voice.id : (voice ?? "");
  if (typeof name !== "string") throw invalid(`${label} must be the name of a voice.`, label);
  return name.trim();
}

function mapped(table, [label, voice]) {
  return [label, typeof voice === "string" ? (meaning(table, voice).voice ?? voice) : voice];
}

async function jsonObject(request) {
  const large = new BridgeError(413, "The body is larger than 9.9 MB; send less at once.");
  if (Number(request.headers.get("content-length")) > MOST_BYTES) throw large;
  const body = await request.arrayBuffer();
  if (body.byteLength > MOST_BYTES) throw large;
  let found;
  try {
    found = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch {
    throw invalid(NOT_OBJECT);
  }
  if (!plain(found) || !flat(found, DEEPEST)) throw invalid(NOT_OBJECT);
  return found;
}

/** Whether nothing lies deeper than `levels`: what reads the job further on may end at more. */
function flat(value, levels) {
  return !(value instanceof Object) || (levels > 0 && Object.values(value).every((part) => flat(part, levels - 1)));
}

/** The other fields. One that is null is not given, but `loudness` has a meaning for it. */
function without(fields, names) {
  return Object.fromEntries(
    Object.entries(fields).filter(([name, value]) => !names.includes(name) && (value !== null || name === "loudness")),
  );
}

function invalid(message, param = null) {
  return new BridgeError(400, message, null, param);
}
