/** A load-balancing endpoint: the worker's own server answers, and its answer goes through as it is. */

import { refuse } from "./endpoint.js";
import { BridgeError, errorBody, unavailable } from "./errors.js";
import { pause } from "./pause.js";
import { plain } from "./voices.js";

const PASSED = /^(content-type|cache-control|x-accel-buffering|server-timing|retry-after|x-oscine-[a-z]+)$/;

/** The server's answer; asks again while workers start. Throws BridgeError. */
export async function passOn({ settings, started, raw }, wish, endpoint, { signal }) {
  const init = {
    method: "POST",
    headers: { authorization: `Bearer ${settings.runpodKey}`, "content-type": "application/json" },
    body: JSON.stringify(wish.asEvents ? { ...wish.fields, stream_format: "sse" } : wish.fields),
    redirect: "manual",
    signal,
  };
  for (;;) {
    endpoint.count();
    const answer = await fetch(`${settings.base}/v1/audio/speech`, init).catch(() => null);
    signal.throwIfAborted();
    if (answer?.status === 200)
      return new Response(answer.body, { headers: passedOf(answer, raw && { "content-type": "audio/octet-stream" }) });
    const told = await answer?.json().catch(() => null);
    if (plain(told?.error) && typeof told.error.type === "string")
      throw Object.assign(new BridgeError(answer.status, String(told.error.message)), errorBody(told.error), {
        headers: passedOf(answer),
      });
    // 400 means that no worker was ready in time.
    if (answer && answer.status !== 400 && answer.status < 500) refuse(answer.status);
    const elapsed = (Date.now() - started) / 1000;
    if (elapsed >= settings.coldStartSeconds || endpoint.left < 1) {
      throw unavailable("No worker was ready in time; one is being started, so try again soon.", "cold_start", 15);
    }
    await new Promise((resolve) =>
      setTimeout(resolve, pause(elapsed, endpoint.left, settings.coldStartSeconds) * 1000),
    );
    signal.throwIfAborted();
  }
}

function passedOf(answer, other) {
  return {
    ...Object.fromEntries([...answer.headers].filter(([name]) => PASSED.test(name) && name !== "content-length")),
    ...other,
  };
}
