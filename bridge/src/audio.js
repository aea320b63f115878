/** Bytes of sound, their names and their events. */

export const FORMATS = ["mp3", "opus", "aac", "flac", "wav", "pcm"];
const ALSO = { pcm_16: "pcm", ogg: "opus" };
const CHARS_PER_TOKEN = 4;
const TOKENS_PER_S = 20;
const OPEN_END = 0xffffffff;

/** The format by one of our six names; undefined for what is none. */
export function formatOf(name) {
  const known = ALSO[name] ?? name;
  return FORMATS.includes(known) ? known : undefined;
}

/** `Content-Type` of a format; raw samples say their rate in Hz. */
export function mediaType(format, rate) {
  return `audio/${{ mp3: "mpeg", opus: "ogg", pcm: `pcm;rate=${rate}` }[format] ?? format}`;
}

/** The head of a WAV file of 16 bits and one channel whose length is not known. */
export function wavHead(rate) {
  const [riff, wave, fmt, data] = [0x46464952, 0x45564157, 0x20746d66, 0x61746164]; // the words, as numbers
  const head = [riff, OPEN_END, wave, fmt, 16, 0x10001, rate, rate * 2, 0x100002, data, OPEN_END];
  return new Uint8Array(new Uint32Array(head).buffer);
}

/** `data:` of the next bytes, which are base64 already where they come from a worker. */
export function deltaEvent(data) {
  return `data: {"type":"speech.audio.delta","audio":"${typeof data === "string" ? data : data.toBase64()}"}\n\n`;
}

/** The warnings of a document that are ones, whatever a worker puts there. */
export const warningsOf = (document) =>
  [document?.warnings]
    .flat()
    .filter((told) => typeof told === "string")
    .map((told) => told.toWellFormed());

/** The end, with what the worker tells; `bytes` of `format` at `rate` Hz were heard. */
export function doneEvent({ result = {}, characters, seconds, seed, warnings }) {
  const duration = result.duration_sec ?? result.metadata?.duration ?? seconds;
  const read = Math.ceil((result.metadata?.characters ?? characters) / CHARS_PER_TOKEN);
  const spoken = Math.ceil(duration * TOKENS_PER_S);
  return event({
    type: "speech.audio.done",
    usage: { input_tokens: read, output_tokens: spoken, total_tokens: read + spoken },
    duration,
    seed: result.metadata?.seed ?? seed,
    warnings: [...warningsOf(result), ...warnings],
    segments: result.segments ?? [],
  });
}

/** What broke it midway. */
export function errorEvent(error) {
  return `event: error\n${event({ type: "error", error })}`;
}

function event(data) {
  return `data: ${JSON.stringify(data)}\n\n`;
}
