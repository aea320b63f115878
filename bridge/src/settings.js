/** What a deployment sets: variables, secrets and bindings. README.md lists them. */

import { BridgeError } from "./errors.js";

const WORKERS = ["oscine", "vibevoice", "indextts"];
const UPSTREAMS = ["queue", "load-balancing"];

/** The settings of `env`; throws BridgeError where the bridge must not work as it is. */
export function readSettings(env) {
  const keys = [...list(env.OSCINE_API_KEYS), env.AUTH_TOKEN?.trim()].filter(Boolean);
  const open = String(env.ALLOW_ANONYMOUS).toLowerCase() === "true";
  if (!keys.length && !open) {
    throw wrong("has no key for its clients: run `wrangler secret put OSCINE_API_KEYS`, or set ALLOW_ANONYMOUS=true");
  }
  if (!env.RUNPOD_API_KEY) throw wrong("has no key for RunPod: run `wrangler secret put RUNPOD_API_KEY`");
  const worker = env.WORKER || "oscine";
  if (!WORKERS.includes(worker)) throw wrong(`has an unknown WORKER: choose one of ${WORKERS.join(", ")}`);
  return {
    keys,
    worker,
    ...upstream(env),
    runpodKey: env.RUNPOD_API_KEY,
    stores: list(env.STORE_ORIGINS).map((entry) => address("STORE_ORIGINS", entry).origin),
    origins: list(env.OSCINE_CORS_ORIGINS ?? (keys.length ? "*" : "")).map((origin) => origin.replace(/\/$/, "")),
    models: list(env.MODELS),
    subrequests: number(env, "MAX_SUBREQUESTS", 45, 12, 10_000),
    coldStartSeconds: number(env, "COLD_START_SECONDS", 120, 1, 1800),
    jobSeconds: number(env, "JOB_SECONDS", 600, 5, 86_400),
    cacheSeconds: number(env, "CACHE_SECONDS", 0, 0, 31_536_000),
  };
}

/** Where RunPod is: a queue with jobs, or a load balancer in front of the worker's own server. */
function upstream(env) {
  const [id] = list(env.RUNPOD_ENDPOINT_ID);
  const [given] = list(env.RUNPOD_URL || (id && `https://api.runpod.ai/v2/${id}`));
  if (!given) throw wrong("does not know its endpoint: set RUNPOD_ENDPOINT_ID or RUNPOD_URL");
  const { origin, pathname, hostname } = address("RUNPOD_URL", given);
  const kind = env.UPSTREAM || (/\.api\.runpod\.ai$/.test(hostname) ? UPSTREAMS[1] : UPSTREAMS[0]);
  if (!UPSTREAMS.includes(kind)) throw wrong(`has an unknown UPSTREAM: choose ${UPSTREAMS.join(" or ")}`);
  return {
    base: origin + pathname.replace(/(\/(run|runsync|status|stream|health|v1))?\/*$/, ""),
    balanced: kind === UPSTREAMS[1],
  };
}

/** A URL; without a scheme it is https, and plain http stays on this machine. */
function address(name, entry) {
  let url;
  try {
    url = new URL(entry.includes("://") ? entry : `https://${entry}`);
  } catch {
    throw wrong(`has no address in ${name}: write https://HOST`);
  }
  const here = ["127.0.0.1", "localhost"].includes(url.hostname);
  if (url.protocol !== "https:" && !here) throw wrong(`has an address without https in ${name}`);
  return url;
}

function list(value) {
  return String(value ?? "")
    .split(/[\s,]+/)
    .filter(Boolean);
}

function number(env, name, fallback, least, most) {
  const value = env[name] === undefined || env[name] === "" ? fallback : Number(env[name]);
  if (!(value >= least && value <= most)) throw wrong(`has a wrong ${name}: it takes ${least} to ${most}`);
  return value;
}

function wrong(what) {
  return new BridgeError(500, `The bridge ${what}.`, "not_configured");
}
