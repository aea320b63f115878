/** voices.json: which voice a name of OpenAI's means. */

import bundled from "../voices.json";
import { BridgeError } from "./errors.js";

export const OPENAI_VOICES = "alloy ash ballad cedar coral echo fable marin nova onyx sage shimmer verse".split(" ");
const FRESH_MS = 60_000;
let known = null;

/** The table: from KV (binding VOICES), else R2 (VOICES_BUCKET), else the file that was deployed. Throws BridgeError. */
export async function voiceTable(env, endpoint) {
  const bucket = env.VOICES_BUCKET ?? env.VIBEVOICE_BUCKET;
  if (!env.VOICES && !bucket) return checked(bundled);
  if (known && Date.now() - known.at < FRESH_MS) return known.table;
  endpoint?.count();
  let text;
  try {
    text = env.VOICES ? await env.VOICES.get("voices.json") : await (await bucket.get("voices.json"))?.text();
  } catch {
    if (known) return known.table; // older, but right
    throw broken("cannot be read");
  }
  if (text == null) throw broken("is not there; README.md says how it is uploaded");
  let table;
  try {
    table = JSON.parse(text);
  } catch {
    throw broken("is not valid JSON");
  }
  known = { table: checked(table), at: Date.now() };
  return known.table;
}

/** What `name` means: `{ voice, engine, options }`, each only where there is one. */
export function meaning(table, name) {
  const same = name && Object.keys(table).find((key) => key.toLowerCase() === name.toLowerCase());
  const standsIn = !name || OPENAI_VOICES.includes(name.toLowerCase());
  const entry = same ? table[same] : standsIn ? table.default : undefined;
  if (typeof entry === "string") return { voice: entry };
  return entry ?? (name ? { voice: name } : {});
}

function checked(table) {
  if (!plain(table)) throw broken("must be an object");
  for (const [name, entry] of Object.entries(table)) {
    const right = plain(entry)
      ? Object.entries(entry).every(([field, value]) =>
          field === "options" ? plain(value) : ["voice", "engine"].includes(field) && isName(value),
        )
      : isName(entry);
    if (!right)
      throw broken(`must have for ${JSON.stringify(name)} a voice, or an object of voice, engine, options and no more`);
  }
  return table;
}

const isName = (value) => typeof value === "string" && value.trim() !== "";

export function plain(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function broken(what) {
  return new BridgeError(500, `voices.json ${what}.`, "voices_json_broken");
}
