/** What can go wrong, in the words that a client reads. */

/** An error with its HTTP status; `message` is one sentence that says what to do. */
export class BridgeError extends Error {
  constructor(status, message, code = null, param = null, headers = {}) {
    super(message);
    const type = { 401: "authentication_error", 429: "rate_limit_error" }[status];
    Object.assign(this, { status, code, param, headers });
    this.type = type ?? (status < 500 ? "invalid_request_error" : "server_error");
  }
}

/** `error` of OpenAI's error body. */
export function errorBody({ message, type, param = null, code = null }) {
  return { message, type, param, code };
}

/** A fault of the bridge's own; what it was is for the log alone. */
export function unexpected(error) {
  console.error(JSON.stringify({ event: "unexpected", error: String(error?.stack ?? error) }));
  return new BridgeError(500, "Something unexpected went wrong here; try again, and tell who runs this bridge.");
}

/** Not now, but soon: `seconds` to wait, at most the 60 that OpenAI's packages believe. */
export function unavailable(message, code, seconds, status = 503) {
  return new BridgeError(status, message, code, null, { "retry-after": String(seconds) });
}

export const unreachable = () => unavailable("RunPod does not answer; try again.", "upstream_unreachable", 5);

export const noWorker = () =>
  unavailable("No worker was ready in time; one is being started, so try again soon.", "cold_start", 15);

const FAILED = "The worker failed; send the request again, and look into the endpoint's log if it stays so.";
/** Tracebacks, JSON, paths, addresses, keys: what a sentence for people does not hold. */
const INSIDE =
  /[\n\r{}\\]|traceback|:\/\/|(^|[^\w.])\/\w|::|:\d\d|\b\d{1,3}(\.\d{1,3}){3}\b|\b0x[0-9a-f]{4}|\b(hf|sk|rpa)[_-]\w/i;
/** How Oscine speaks of itself; what an older worker says may name whatever broke in it. */
const OWN = [
  /^(The (worker failed \(|engine |object store |finished file |result |GPU |server |rate )|Finished pieces|All places)/,
  /^([A-Z\d]+_[A-Z_]+(:| is )|There was no sound)|; run: /,
  /^\w+ (cannot|could not|made|does not) .*(this piece|no numbers|GPU)/,
];
const VOICES = /^\w+ (is not the name of a \w+ here; |fits several voices: )/;
const LONGEST = 1000;

/** What a client may read of a sentence from behind the bridge; about a `fault`, only what Oscine says. */
export function readable(told, fault) {
  const sentence = typeof told === "string" ? told.trim() : "";
  const harmless = sentence && sentence.length <= LONGEST && !INSIDE.test(sentence);
  const own = !fault || OWN.some((known) => known.test(sentence));
  return (harmless && own) || VOICES.test(sentence) ? sentence : FAILED;
}

/** Other names of the fields that Oscine's sentences begin with. */
const ALSO = { text: "input", voice: "speaker_voice", speaker_name: "speaker" };

/**
 * Why a job failed. RunPod's SDK hands on the sentence alone; the sentences of Oscine begin with the field that they
 * are about. Anything that is no such sentence stays inside.
 */
export function failure(told, input) {
  const field = /^[a-z]\w*/.exec(told)?.[0];
  const param = [field, ALSO[field]].find((name) => Object.hasOwn(input, name)) ?? null;
  const sentence = readable(told, !param);
  if (sentence === FAILED) return new BridgeError(500, FAILED);
  if (/ more than the platform delivers/.test(sentence))
    return new BridgeError(413, `${sentence} Or leave out stream: false.`, "result_too_large");
  const absent = / is missing | is not (downloaded|installed)|; run: /.test(sentence);
  if (!param && !absent) return new BridgeError(500, sentence);
  const code = VOICES.test(sentence)
    ? "voice_not_found"
    : /^engine must be one of /.test(sentence)
      ? "engine_not_found"
      : null;
  const message = param ? (param + sentence.slice(field.length)).replace(" or --max-text", "") : sentence;
  return new BridgeError(absent ? 404 : 400, message, code, param);
}
