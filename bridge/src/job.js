/** A job of a queue endpoint: what it says, in order, each once. */

import { isOver, Vanished } from "./endpoint.js";
import { BridgeError, failure, noWorker, unavailable, unreachable } from "./errors.js";
import { FIRST, pause, sleep } from "./pause.js";

/** Sub-requests that are kept for /status, the link, /cancel and the cache. */
const KEPT = 4;
/** Share of the sub-requests that a job is left with, however long it waits for a worker. */
const JOB_SHARE = 0.4;
const MOST_FAILURES = 6;
/** A job that was only just taken may not be known everywhere. */
const MOST_MISSING = 3;
const ENDS = ["complete", "completed", "success"];

export class Job {
  #endpoint;
  #input;
  #signal;
  #later;
  #whole;
  #id = null;
  #over = false;
  /** What RunPod said when it took the job; when it was sent, and when RunPod was asked last, in ms since 1970. */
  #first;
  #at;
  #asked = 0; // the first question comes at once
  /** When it was last seen to wait for a worker, and first seen to have one. */
  queued;
  #taken = null;
  /** Milliseconds in which nobody asked for more of it. */
  #idle = 0;
  /** The piece that comes next, and how many there are as far as is known. */
  next = 0;
  #count = 0;
  /** Whether there was sound, and whether the last document was seen. */
  #heard = false;
  #ended = false;

  /** `signal` says that the client left; `later` keeps the bridge alive for what is sent after that. */
  constructor(endpoint, input, signal, later) {
    this.#endpoint = endpoint;
    this.#input = input;
    this.#signal = signal;
    this.#later = later;
    signal.addEventListener("abort", () => this.cancel());
  }

  /** Send it. With `whole` the answer waits for the result, at most as long as RunPod lets it. Throws BridgeError. */
  async start(whole) {
    this.#whole = whole;
    this.#at = this.queued = Date.now();
    const starting = this.#endpoint.start(this.#input, whole).then((answer) => {
      this.#id = answer.id;
      this.#over = isOver(answer.status);
      if (this.#signal.aborted) this.cancel();
      return answer;
    });
    this.#later(starting.catch(() => {})); // a job whose client left meanwhile has to be cancelled all the same
    this.#first = this.#seen(await starting);
  }

  /** Stop it, once. */
  cancel() {
    if (this.#over || this.#id === null) return;
    this.#over = true;
    this.#later(this.#endpoint.cancel(this.#id));
  }

  /**
   * The documents of the worker: pieces, and the result at the end. Throws BridgeError.
   * /stream gives each piece once. One that got lost on the way comes from /status, which has all of them in the end.
   */
  async *documents() {
    let answer = this.#first;
    let fresh = false;
    while (!isOver(answer.status) || (fresh && !this.#ended && this.#endpoint.left > KEPT)) {
      const { status } = answer;
      // What a job said last may still be in /stream when it is over.
      answer = isOver(status)
        ? { ...(await this.#endpoint.stream(this.#id).catch(() => null)), status }
        : await this.#poll(status);
      this.#over ||= isOver(answer.status);
      fresh = false;
      for (const item of Array.isArray(answer.stream) ? answer.stream : []) {
        const document = item?.output ?? item;
        if (!this.#takes(document, this.next)) continue;
        fresh = true;
        this.#over ||= this.#complete;
        const since = Date.now();
        yield document;
        this.#idle += Date.now() - since;
        if (this.#complete) return;
      }
    }
    const told = answer === this.#first ? answer : await this.#outcome();
    if (told.status !== "COMPLETED") throw this.#end(told);
    let place = 0;
    for (const document of [told.output].flat()) {
      if (this.#takes(document, place)) yield document;
      if (isPart(document)) place += 1;
    }
    if ((this.#heard || this.#count) && !this.#complete)
      throw new BridgeError(502, "A part of the sound was lost on the way; send the request again.", "incomplete");
  }

  /** The next answer of /stream, which is held back until the job says something or its interval is over. */
  async #poll(status) {
    const { coldStartSeconds, jobSeconds, subrequests } = this.#endpoint.settings;
    const waits = status === "IN_QUEUE" && this.#taken === null;
    const horizon = waits ? coldStartSeconds : jobSeconds;
    const from = this.#idle + (this.#taken ?? this.#at);
    let failures = 0;
    let missing = 0;
    const interval = (polls) => pause((this.#asked - from) / 1000, polls, horizon, this.#whole);
    for (;;) {
      const polls = this.#endpoint.left - KEPT - (waits ? Math.floor(subrequests * JOB_SHARE) : 0);
      if (this.#asked - from >= horizon * 1000 || polls < 1) throw this.#tooLate(waits);
      await sleep(interval(polls) - (Date.now() - this.#asked) / 1000, this.#signal);
      this.#asked = Date.now();
      try {
        const answer = await this.#endpoint.stream(this.#id, interval(polls - 1), this.#signal);
        if (typeof answer?.status === "string") return this.#seen(answer);
        if ((failures += 1) >= MOST_FAILURES) throw unreachable();
      } catch (error) {
        if (!(error instanceof Vanished) || (missing += 1) > MOST_MISSING) throw error;
      }
    }
  }

  /** The answer; note in it whether a worker has the job, which has another interval from then on. */
  #seen(answer) {
    if (answer.status === "IN_QUEUE") this.queued = Date.now();
    else if (this.#taken === null) {
      this.#taken = Date.now();
      this.#asked = 0;
    }
    return answer;
  }

  /** What /status says in the end. */
  async #outcome() {
    for (let tries = 0; tries < 3 && this.#endpoint.left > KEPT - 1; tries += 1) {
      if (tries) await sleep(FIRST * 2 ** tries, this.#signal);
      const told = await this.#endpoint.status(this.#id);
      if (told && isOver(told.status)) return told;
    }
    throw unavailable("RunPod does not say how the job ended; try again.", "upstream_unreachable", 5);
  }

  #tooLate(waits) {
    this.cancel();
    if (waits) return noWorker();
    return new BridgeError(
      504,
      "The job took longer than the bridge waits; send a shorter text, or raise JOB_SECONDS.",
      "timeout",
    );
  }

  #end({ status, error }) {
    if (status === "TIMED_OUT" || error === "executionTimeout exceeded")
      return new BridgeError(504, "RunPod ended the job because it took too long; send a shorter text.", "timeout");
    if (status === "FAILED") return failure(error, this.#input);
    return unavailable("The job was cancelled by whoever runs the endpoint; send the request again.", "cancelled", 5);
  }

  /** Whether all was heard that the worker says. */
  get #complete() {
    return this.#ended && this.#heard && this.next >= this.#count;
  }

  /**
   * Whether a document says something that was not heard before: the piece that comes next, or a result. A piece
   * without a number has that of its `place`. Throws BridgeError.
   */
  #takes(document, place) {
    if (typeof document !== "object" || document === null) return false;
    if (isPart(document)) {
      const { index, chunk } = document;
      const number = Number.isInteger(index) ? index : Number.isInteger(chunk) ? chunk - 1 : place;
      this.#count = Math.max(this.#count, number + 1);
      if (number !== this.next || !isPiece(document)) return false;
      this.next += 1;
      return (this.#heard = true);
    }
    const { status, error, message, total_chunks } = document;
    if (error || status === "error") throw failure(error ?? message, this.#input);
    const sound = Boolean(linkOf(document) || base64Of(document));
    this.#heard ||= sound;
    this.#ended ||= sound || total_chunks !== undefined || ENDS.includes(status);
    if (total_chunks > this.#count) this.#count = total_chunks;
    return true;
  }
}

const isPart = (document) => typeof document?.audio_chunk === "string";
export const isPiece = (document) => isPart(document) && document.audio_chunk !== "";
/** Where a result of one document has its sound: `audio` is what older workers say. One of pieces only has a copy. */
export const linkOf = ({ total_chunks, url, audio_url }) => (total_chunks ? null : (url ?? audio_url));
export const base64Of = ({ total_chunks, audio_base64, audio }) => (total_chunks ? null : (audio_base64 ?? audio));
