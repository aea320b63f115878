/** Requests to RunPod, counted: a plan allows only so many sub-requests for each request of a client. */

import { BridgeError, unavailable, unreachable } from "./errors.js";

const OVER = /^(COMPLETED|FAILED|CANCELLED|TIMED_OUT)$/;
/** Seconds within which RunPod answers; whoever asks for health waits less. */
const PATIENCE = 20;
const HEALTH = 5;
/** Seconds that /runsync waits for a result at most, unless it is told less. */
const RUNSYNC = 90;
/** Seconds that RunPod may hold a question back until there is something to say; it takes 1 at the least. */
const HELD = [1, 30];

/** Whether nothing more will happen to a job with this status. */
export const isOver = (status) => OVER.test(status);

/** What `read` makes of an answer; null where none comes within `seconds`. Follows no redirect. */
export async function reach(url, { seconds = PATIENCE, signal, ...init }, read = (answer) => answer) {
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(), seconds * 1000);
  const signals = signal ? [signal, late.signal] : [late.signal];
  try {
    return await read(await fetch(url, { redirect: "manual", ...init, signal: AbortSignal.any(signals) }));
  } catch {
    return null;
  } finally {
    clearTimeout(timer);
  }
}

/** A request as RunPod takes it. */
export const posted = (settings, body, method = "POST") => ({
  method,
  headers: { authorization: `Bearer ${settings.runpodKey}`, "content-type": "application/json" },
  body: body && JSON.stringify(body),
});

export class Endpoint {
  constructor(settings) {
    this.settings = settings;
    this.used = 0;
  }

  /** Note a sub-request that is sent elsewhere, to KV or a store. */
  count() {
    this.used += 1;
  }

  /** Sub-requests that are left. */
  get left() {
    return this.settings.subrequests - this.used;
  }

  /** The new job: `{ id, status }`; with `whole` its result, where it is done while RunPod waits. Throws BridgeError. */
  async start(input, whole) {
    const { coldStartSeconds, jobSeconds } = this.settings;
    const wait = whole ? Math.min(coldStartSeconds, RUNSYNC) : 0;
    // RunPod ends a job that nobody waits for any more, even if no cancel reaches it. It takes 10 s at the least.
    const ttl = Math.max(coldStartSeconds + jobSeconds, 10) * 1000;
    const policy = { executionTimeout: jobSeconds * 1000, ttl };
    const answer = await this.send(whole ? `/runsync?wait=${wait * 1000}` : "/run", { input, policy }, PATIENCE + wait);
    if (answer === null) throw unreachable();
    refuse(answer.status);
    if (typeof answer.body?.id !== "string")
      throw unavailable("RunPod took no job; try again.", "upstream_failed", 5, 502);
    return answer.body;
  }

  /**
   * `{ status, stream }` with what the job has said since the last time; null: ask again. Where that is nothing yet,
   * RunPod waits for it, about so many seconds. Throws BridgeError.
   */
  stream(id, seconds = 0, signal) {
    const held = Math.min(Math.max(seconds, HELD[0]), HELD[1]);
    return this.asked(`/stream/${id}?wait=${Math.round(held * 1000)}`, PATIENCE + held, signal);
  }

  /** `{ status, output, error }`; null: ask again. Throws BridgeError. */
  status(id) {
    return this.asked(`/status/${id}`);
  }

  /** Stop a job. Never throws. */
  cancel(id) {
    return this.send(`/cancel/${id}`, {});
  }

  /** `{ jobs, workers }`; null: RunPod does not answer. Throws BridgeError. */
  health() {
    return this.asked("/health", HEALTH);
  }

  async asked(path, seconds, signal) {
    const answer = await this.send(path, undefined, seconds, signal);
    if (answer === null || answer.status === 429 || answer.status >= 500) return null;
    if (answer.status === 404 && path !== "/health") throw new Vanished();
    refuse(answer.status);
    return answer.body;
  }

  send(path, body, seconds, signal) {
    this.count();
    const { settings } = this;
    return reach(
      settings.base + path,
      { ...posted(settings, body, body ? "POST" : "GET"), seconds, signal },
      async (answer) => ({ status: answer.status, body: await answer.json().catch(() => null) }),
    );
  }
}

/** RunPod does not know the job, or not any more. */
export class Vanished extends BridgeError {
  constructor() {
    super(502, "RunPod does not know the job any more; send the request again.", "job_vanished");
  }
}

const NO_KEY = ["RunPod refuses the bridge's key; set RUNPOD_API_KEY anew.", "upstream_refused"];
const REFUSALS = {
  400: ["RunPod does not take this; set UPSTREAM and RUNPOD_URL for the endpoint's kind.", "upstream_refused"],
  401: NO_KEY,
  403: NO_KEY,
  404: ["RunPod has no such endpoint; check RUNPOD_ENDPOINT_ID or RUNPOD_URL.", "upstream_not_found"],
};

/** Turn what RunPod says of a request into an error for the client, where it is one. */
export function refuse(status) {
  if (status === 429)
    throw unavailable(
      "RunPod takes no more requests right now; wait and send it again.",
      "rate_limit_exceeded",
      5,
      429,
    );
  if (REFUSALS[status]) throw new BridgeError(502, ...REFUSALS[status]);
  if (status === 413) throw new BridgeError(413, "The request is larger than RunPod takes; send less at once.");
  if (status < 200 || status > 299) throw unavailable("RunPod has a problem; try again.", "upstream_failed", 5);
}
