// Runs a bundle in workerd, as Cloudflare does: `node serve.mjs FOLDER < settings`. The first line of standard input is
// a JSON object with `script`, `bindings`, `kv`, `r2`, `date`, `flags`; the first line of output is the address. It ends
// when standard input does.

import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const { convertV4MiniflareOptions, Miniflare } = createRequire(`${process.argv[2]}/package.json`)("miniflare");
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const { script, bindings, kv, r2, date, flags } = JSON.parse((await lines.next()).value);
const options = {
  modules: true,
  scriptPath: script,
  compatibilityDate: date,
  compatibilityFlags: flags,
  bindings,
  host: "127.0.0.1",
  port: 0,
  kvNamespaces: kv ? ["VOICES"] : [],
  r2Buckets: Object.keys(r2 ?? {}),
};
const runtime = new Miniflare(convertV4MiniflareOptions(options));
if (kv) await (await runtime.getKVNamespace("VOICES")).put("voices.json", kv);
for (const [name, text] of Object.entries(r2 ?? {})) {
  if (text !== null) await (await runtime.getR2Bucket(name)).put("voices.json", text);
}
console.log((await runtime.ready).origin);
await lines.next();
await runtime.dispose();
