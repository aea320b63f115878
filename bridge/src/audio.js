/** Bytes of sound, their names and their events. */

const MEDIA_TYPES = {
  mp3: "audio/mpeg",
  opus: "audio/ogg",
  aac: "audio/aac",
  flac: "audio/flac",
  wav: "audio/wav",
  pcm: "audio/pcm",
};
export const FORMATS = Object.keys(MEDIA_TYPES);
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
  return format === "pcm" ? `audio/pcm;rate=${rate}` : MEDIA_TYPES[format];
}

/** The head of a WAV file of 16 bits and one channel whose length is not known. */
export function wavHead(rate) {
  const head = new DataView(new ArrayBuffer(44));
  const text = (at, word) => [...word].forEach((letter, i) => head.setUint8(at + i, letter.charCodeAt(0)));
  text(0, "RIFF");
  head.setUint32(4, OPEN_END, true);
  text(8, "WAVEfmt ");
  head.setUint32(16, 16, true);
  head.setUint16(20, 1, true);
  head.setUint16(22, 1, true);
  head.setUint32(24, rate, true);
  head.setUint32(28, rate * 2, true);
  head.setUint16(32, 2, true);
  head.setUint16(34, 16, true);
  text(36, "data");
  head.setUint32(40, OPEN_END, true);
  return new Uint8Array(head.buffer);
}

/** `data:` of the next bytes, which are base64 already where they come from a worker. */
export function deltaEvent(data) {
  return `data: {"type":"speech.audio.delta","audio":"${typeof data === "string" ? data : data.toBase64()}"}\n\n`;
}

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
    warnings: [...(result.warnings ?? []), ...warnings],
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
