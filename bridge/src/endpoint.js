/** Requests to RunPod, counted: a plan allows only so many sub-requests for each request of a client. */

import { BridgeError, unavailable } from "./errors.js";

const TERMINAL = ["COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT"];

/** Whether nothing more will happen to a job with this status. */
export const isOver = (status) => TERMINAL.includes(status);

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

  /** The new job: `{ id, status }`, from /runsync with its result where it is done. Throws BridgeError. */
  async start(input, route) {
    const { coldStartSeconds, jobSeconds } = this.settings;
    // RunPod ends a job that nobody waits for any more, even if no cancel reaches it.
    const policy = { executionTimeout: jobSeconds * 1000, ttl: (coldStartSeconds + jobSeconds) * 1000 };
    const answer = await this.send(`/${route}`, "POST", { input, policy });
    if (answer === null) throw unavailable("RunPod does not answer; try again.", "upstream_unreachable", 5);
    refuse(answer.status);
    if (!answer.body || typeof answer.body.id !== "string")
      throw unavailable("RunPod took no job; try again.", "upstream_failed", 5, 502);
    return answer.body;
  }

  /** `{ status, stream }` with what the job has said since the last time; null: ask again. Throws BridgeError. */
  async stream(id) {
    return this.asked(`/stream/${id}`);
  }

  /** `{ status, output, error }`; null: ask again. Throws BridgeError. */
  async status(id) {
    return this.asked(`/status/${id}`);
  }

  /** Stop a job. Never throws. */
  async cancel(id) {
    await this.send(`/cancel/${id}`, "POST", {});
  }

  /** `{ jobs, workers }`; null: RunPod does not answer. Throws BridgeError. */
  async health() {
    return this.asked("/health");
  }

  async asked(path) {
    const answer = await this.send(path, "GET");
    if (answer === null || answer.status === 429 || answer.status >= 500) return null;
    if (answer.status === 404) throw new Vanished();
    refuse(answer.status);
    return answer.body;
  }

  async send(path, method, body) {
    this.count();
    const headers = { authorization: `Bearer ${this.settings.runpodKey}`, "content-type": "application/json" };
    try {
      const answer = await fetch(this.settings.base + path, {
        method,
        headers,
        body: body && JSON.stringify(body),
        redirect: "manual",
      });
      return { status: answer.status, body: await answer.json().catch(() => null) };
    } catch {
      return null;
    }
  }
}

/** RunPod does not know the job, or not any more. */
export class Vanished extends BridgeError {
  constructor() {
    super(502, "RunPod does not know the job any more; send the request again.", { code: "job_vanished" });
  }
}

/** Turn what RunPod says of a request into an error for the client, where it is one. */
export function refuse(status) {
  if (status === 429)
    throw unavailable(
      "RunPod takes no more requests right now; wait and send it again.",
      "rate_limit_exceeded",
      5,
      429,
    );
  if (status === 401 || status === 403)
    throw new BridgeError(502, "RunPod refuses the bridge's key; set RUNPOD_API_KEY anew.", {
      code: "upstream_refused",
    });
  if (status === 404)
    throw new BridgeError(502, "RunPod has no such endpoint; check RUNPOD_ENDPOINT_ID or RUNPOD_URL.", {
      code: "upstream_not_found",
    });
  if (status === 413) throw new BridgeError(413, "The request is larger than RunPod takes; send less at once.");
  if (status === 400)
    throw new BridgeError(502, "RunPod did not understand the job; check the endpoint's kind.", {
      code: "upstream_refused",
    });
  if (status < 200 || status > 299) throw unavailable("RunPod has a problem; try again.", "upstream_failed", 5);
}
