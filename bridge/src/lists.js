/** Lists and health: clients ask for them without a key, so none of them wakes a worker. */

import { Endpoint } from "./endpoint.js";
import { BridgeError } from "./errors.js";
import { OPENAI_VOICES, voiceTable } from "./voices.js";

const OPENAI_MODELS = ["tts-1", "tts-1-hd", "gpt-4o-mini-tts"];
const FRESH_MS = 5000;
let asked = null;

const names = ({ models }) => [...new Set([...models, ...OPENAI_MODELS])];
const model = (id) => ({ id, object: "model", created: 0, owned_by: "oscine" });

/** As OpenAI lists them. */
export function models({ settings }) {
  return Response.json({ object: "list", data: names(settings).map(model) });
}

/** One of them. */
export function oneModel({ settings }, asked) {
  const id = names(settings).find((name) => [name, encodeURIComponent(name)].includes(asked));
  if (!id)
    throw new BridgeError(404, "model is none of those that GET /v1/models lists.", "model_not_found", "model");
  return Response.json(model(id));
}

/** As Open WebUI asks for them. */
export function speechModels({ settings }) {
  return Response.json({ models: names(settings).map((id) => ({ id, name: id })) });
}

/** The names of voices.json, else OpenAI's; a worker may know more. */
export async function voices({ env }) {
  const table = await voiceTable(env);
  const own = Object.keys(table).filter((name) => name !== "default");
  const listed = (own.length ? own : OPENAI_VOICES).map((id) => ({
    id,
    object: "audio.voice",
    name: id,
    type: "preset",
    created_at: 0,
  }));
  return Response.json({ object: "list", voices: listed });
}

/** Always 200: what is wrong is in `status` and `problem`. */
export async function health({ settings }) {
  const upstream = settings.balanced ? "load-balancing" : "queue";
  if (settings.balanced) return Response.json({ status: "ok", ready: true, problem: null, upstream });
  for (;;) {
    if (!asked || Date.now() - asked.at > FRESH_MS) {
      const mine = { at: Date.now(), facts: asked?.facts };
      asked = mine; // who comes meanwhile does not ask too
      mine.facts = await facts(settings);
    }
    if (asked.facts) return Response.json({ ...asked.facts, upstream });
    await scheduler.wait(50);
  }
}

async function facts(settings) {
  const broken = (problem) => ({ status: "broken", ready: false, problem });
  try {
    const told = await new Endpoint(settings).health();
    if (!told) return broken("RunPod does not answer.");
    const counts = (of, ...names) =>
      Object.fromEntries(names.map((name) => [name, Number.isInteger(of?.[name]) ? of[name] : 0]));
    const workers = counts(told.workers, "idle", "running", "initializing", "throttled", "unhealthy");
    const { inProgress, inQueue } = counts(told.jobs, "inProgress", "inQueue");
    const queue = { active: inProgress, waiting: inQueue };
    const status = workers.idle + workers.running ? "ok" : workers.initializing ? "loading" : "idle";
    return { status, ready: true, problem: null, queue, workers };
  } catch (error) {
    if (error instanceof BridgeError) return broken(error.message);
    throw error;
  }
}

/** Whether the bridge is there; says nothing of workers. */
export const ping = () => new Response();

/** wyoming-openai asks this before it asks for voices. */
export const test = () => Response.json({ status: "ok" });
