/** What can go wrong, in the words that a client reads. */

/** An error with its HTTP status; `message` is one sentence that says what to do. */
export class BridgeError extends Error {
  constructor(status, message, { param = null, code = null, headers = {} } = {}) {
    super(message);
    this.status = status;
    this.param = param;
    this.code = code;
    this.headers = headers;
    this.type =
      status === 429
        ? "rate_limit_error"
        : status === 401
          ? "authentication_error"
          : status >= 500
            ? "server_error"
            : "invalid_request_error";
  }
}

/** `error` of OpenAI's error body. */
export function errorBody({ message, type, param, code }) {
  return { message, type, param, code };
}

/** A fault of the bridge's own; what it was is for the log alone. */
export function unexpected(error) {
  console.error(JSON.stringify({ event: "unexpected", error: String(error?.stack ?? error) }));
  return new BridgeError(500, "Something unexpected went wrong here; try again, and tell who runs this bridge.");
}

/** Not now, but soon: `seconds` to wait, at most the 60 that OpenAI's packages believe. */
export function unavailable(message, code, seconds, status = 503) {
  return new BridgeError(status, message, { code, headers: { "retry-after": String(seconds) } });
}

const FAILED = "The worker failed; send the request again, and look into the endpoint's log if it stays so.";
/** Tracebacks, JSON, paths, addresses: what a sentence for people does not hold. */
const INSIDE = /[\n\r{}\\]|traceback|:\/\/|(^|[\s'"(=])~?\/[\w.-]+\/|\b\d{1,3}(\.\d{1,3}){3}\b|\b0x[0-9a-f]{4}/i;
const LONGEST = 1000;

/**
 * Why a job failed. RunPod's SDK hands on the sentence alone; the sentences of Oscine begin with the field that they
 * are about. Anything that is no such sentence stays inside.
 */
export function failure(told, input) {
  const sentence = typeof told === "string" ? told.trim() : "";
  if (!sentence || sentence.length > LONGEST || INSIDE.test(sentence)) return new BridgeError(500, FAILED);
  if (/ more than the platform delivers/.test(sentence)) {
    return new BridgeError(413, `${sentence} Or leave out stream: false.`, { code: "result_too_large" });
  }
  const field = /^([a-z][a-z0-9_]*)\b/.exec(sentence)?.[1];
  if (field && (field === "text" || Object.hasOwn(input, field))) {
    const renamed = field === "text" && !Object.hasOwn(input, "text");
    const code = / is not the name of a | fits several voices/.test(sentence) ? "voice_not_found" : null;
    const message = renamed ? `input${sentence.slice(4)}`.replace(" or --max-text", "") : sentence;
    return new BridgeError(400, message, { param: renamed ? "input" : field, code });
  }
  return new BridgeError(500, sentence);
}
