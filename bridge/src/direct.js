/** A load-balancing endpoint: the worker's own server answers, and its answer goes through as it is. */

import { posted, reach, refuse } from "./endpoint.js";
import { BridgeError, errorBody, noWorker, readable } from "./errors.js";
import { pause, sleep } from "./pause.js";
import { plain } from "./voices.js";

const PASSED = /^(content-type|cache-control|x-accel-buffering|server-timing|retry-after|x-oscine-[a-z]+)$/;

/** The server's answer; asks again while workers start. Throws BridgeError. */
export async function passOn({ settings, started, raw }, wish, endpoint, { signal }) {
  const { coldStartSeconds, jobSeconds } = settings;
  const init = {
    ...posted(settings, wish.asEvents ? { ...wish.fields, stream_format: "sse" } : wish.fields),
    signal,
    seconds: coldStartSeconds + jobSeconds,
  };
  for (;;) {
    endpoint.count();
    let told;
    const answer = await reach(`${settings.base}/v1/audio/speech`, init, async (given) => {
      if (given.status !== 200) told = (await given.json().catch(() => null))?.error;
      return given;
    });
    const status = answer?.status;
    if (status === 200)
      return new Response(answer.body, { headers: passedOf(answer, raw && { "content-type": "audio/octet-stream" }) });
    if (status === 401 || status === 403) refuse(status);
    if (/QB API/.test(told)) refuse(400); // it is a queue endpoint's address
    if (plain(told) && typeof told.type === "string") {
      const message = readable(told.message, status >= 500);
      throw Object.assign(new BridgeError(status, message), errorBody({ ...told, message }), {
        headers: passedOf(answer),
      });
    }
    // 400 means that no worker was ready in time.
    if (answer && status !== 400 && status < 500) refuse(status);
    const elapsed = (Date.now() - started) / 1000;
    if (elapsed >= coldStartSeconds || endpoint.left < 1) throw noWorker();
    await sleep(pause(elapsed, endpoint.left, coldStartSeconds), signal);
  }
}

function passedOf(answer, other) {
  return {
    ...Object.fromEntries([...answer.headers].filter(([name]) => PASSED.test(name))),
    ...other,
  };
}
