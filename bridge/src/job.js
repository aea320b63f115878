/** A job of a queue endpoint: what it says, in order, each once. */

import { isOver, Vanished } from "./endpoint.js";
import { BridgeError, failure, unavailable } from "./errors.js";
import { FIRST, pause } from "./pause.js";

/** Sub-requests that are kept for /status, the link, /cancel and the cache. */
const KEPT = 4;
/** Share of the sub-requests that a job is left with, however long it waits for a worker. */
const JOB_SHARE = 0.4;
const MOST_FAILURES = 6;

export class Job {
  /** `signal` says that the client left; `later` keeps the bridge alive for what is sent after that. */
  constructor(endpoint, input, signal, later) {
    this.endpoint = endpoint;
    this.input = input;
    this.signal = signal;
    this.later = later;
    this.id = null;
    this.over = false;
    /** Milliseconds since 1970 at which a worker was seen to have it. */
    this.taken = null;
    this.next = 0;
    signal.addEventListener("abort", () => this.cancel());
  }

  /** Send it. With `whole` the answer waits for the result, at most as long as RunPod lets it. Throws BridgeError. */
  async start(whole) {
    const starting = this.endpoint.start(this.input, whole ? "runsync" : "run").then((answer) => {
      this.id = answer.id;
      this.over = isOver(answer.status);
      if (this.signal.aborted) this.cancel();
      return answer;
    });
    this.later(starting.catch(() => {})); // a job whose client left meanwhile has to be cancelled all the same
    this.first = await starting;
    this.at = Date.now();
  }

  /** Stop it, once. */
  cancel() {
    if (this.over || this.id === null) return;
    this.over = true;
    this.later(this.endpoint.cancel(this.id));
  }

  /**
   * The documents of the worker: pieces, and the result at the end. Throws BridgeError.
   * /stream gives each piece once. One that got lost on the way comes from /status, which has all of them in the end.
   */
  async *documents() {
    let heard = false;
    let complete = false;
    let answer = this.first;
    while (!isOver(answer.status)) {
      answer = await this.poll(answer.status);
      for (const item of Array.isArray(answer.stream) ? answer.stream : []) {
        const document = item?.output ?? item;
        if (isPiece(document) ? this.isNext(document) : isResult(document)) {
          heard ||= isPiece(document) || hasSound(document);
          complete ||= !isPiece(document) && heard && (document.total_chunks ?? this.next) <= this.next;
          yield document;
        }
      }
    }
    this.over = true;
    if (complete && answer.status === "COMPLETED") return;
    const told = answer === this.first ? answer : await this.outcome();
    if (told.status !== "COMPLETED") throw this.end(told);
    for (const document of [told.output].flat()) {
      if (isPiece(document) ? this.isNext(document) : isResult(document) && (hasSound(document) || heard)) {
        heard = true;
        yield document;
      }
      if (isLost(document, this.next)) throw incomplete();
    }
  }

  /** The next answer of /stream. */
  async poll(status) {
    const { coldStartSeconds, jobSeconds, subrequests } = this.endpoint.settings;
    let failures = 0;
    let missing = 0;
    for (;;) {
      const waits = status === "IN_QUEUE";
      if (!waits) this.taken ??= Date.now();
      const elapsed = (Date.now() - (this.taken ?? this.at)) / 1000;
      const horizon = waits ? coldStartSeconds : jobSeconds;
      const polls = this.endpoint.left - KEPT - (waits ? Math.floor(subrequests * JOB_SHARE) : 0);
      if (elapsed >= horizon || polls < 1) throw this.tooLate(waits);
      await sleep(pause(elapsed, polls, horizon), this.signal);
      try {
        const answer = await this.endpoint.stream(this.id);
        if (answer && typeof answer.status === "string") return answer;
        if ((failures += 1) >= MOST_FAILURES)
          throw unavailable("RunPod does not answer; try again.", "upstream_unreachable", 5);
      } catch (error) {
        if (!(error instanceof Vanished) || (missing += 1) > 1) throw error;
      }
    }
  }

  /** What /status says in the end. */
  async outcome() {
    for (let tries = 0; tries < 3 && this.endpoint.left > KEPT - 1; tries += 1) {
      if (tries) await sleep(FIRST * 2 ** tries, this.signal);
      const told = await this.endpoint.status(this.id);
      if (told && isOver(told.status)) return told;
    }
    throw unavailable("RunPod does not say how the job ended; try again.", "upstream_unreachable", 5);
  }

  tooLate(waits) {
    this.cancel();
    if (waits)
      return unavailable("No worker was ready in time; one is being started, so try again soon.", "cold_start", 15);
    return new BridgeError(
      504,
      "The job took longer than the bridge waits; send a shorter text, or raise JOB_SECONDS.",
      { code: "timeout" },
    );
  }

  end({ status, error, output }) {
    if (status === "FAILED") return failure(error ?? output?.error, this.input);
    if (status === "TIMED_OUT")
      return new BridgeError(504, "RunPod ended the job because it took too long; send a shorter text.", {
        code: "timeout",
      });
    return unavailable("The job was cancelled by whoever runs the endpoint; send the request again.", "cancelled", 5);
  }

  /** Whether a piece is the one that comes next; what came before is not said twice. */
  isNext(piece) {
    if (numberOf(piece, this.next) !== this.next) return false;
    this.next += 1;
    return true;
  }
}

export const isPiece = (document) => typeof document?.audio_chunk === "string" && document.audio_chunk !== "";
const isResult = (document) => typeof document === "object" && document !== null && document.audio_chunk === undefined;
/** Where a result of one document has its sound: `audio` is what older workers say. */
export const linkOf = (document) => document.url ?? document.audio_url;
export const base64Of = (document) => document.audio_base64 ?? document.audio;
const hasSound = (document) => Boolean(linkOf(document) || base64Of(document));
/** A piece that is no more than its number, or a result of more pieces than were heard. */
const isLost = (document, next) =>
  document?.audio_chunk === undefined ? document?.total_chunks > next : numberOf(document, -1) >= next;
const incomplete = () =>
  new BridgeError(502, "A part of the sound was lost on the way; send the request again.", { code: "incomplete" });

function numberOf({ index, chunk }, fallback) {
  return Number.isInteger(index) ? index : Number.isInteger(chunk) ? chunk - 1 : fallback;
}

/** Throws what the signal says when the client leaves. */
function sleep(seconds, signal) {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const left = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", left);
      resolve();
    }, seconds * 1000);
    signal.addEventListener("abort", left, { once: true });
  });
}
