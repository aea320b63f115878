// What programs do with OpenAI's JavaScript package: `node sdk.mjs PACKAGES ADDRESS KEY FOLDER`. Prints a JSON line for
// each check; sound goes into FOLDER.

import { createRequire } from "node:module";
import { writeFile } from "node:fs/promises";
import assert from "node:assert/strict";

const [packages, address, key, folder] = process.argv.slice(2);
const require = createRequire(`${packages}/package.json`);
const { OpenAI } = require("openai");
const client = new OpenAI({ baseURL: `${address}/v1`, apiKey: key, maxRetries: 0, organization: "org-1" });
const wish = {
  model: "tts-1",
  voice: "alloy",
  input: "Good morning to all of you. The train leaves at nine.",
  seed: 7,
};

const checks = {
  async each_format() {
    for (const response_format of ["mp3", "opus", "aac", "flac", "wav", "pcm"]) {
      const answer = await client.audio.speech.create({ ...wish, response_format });
      await writeFile(`${folder}/js.${response_format}`, Buffer.from(await answer.arrayBuffer()));
    }
  },
  async as_a_stream() {
    const answer = await client.audio.speech.create({ ...wish, response_format: "pcm" });
    const parts = [];
    for await (const part of answer.body) parts.push(part);
    await writeFile(`${folder}/js-stream.pcm`, Buffer.concat(parts));
  },
  async as_events() {
    const events = await client.post("/audio/speech", {
      body: { ...wish, response_format: "pcm", stream_format: "sse" },
      stream: true,
    });
    const parts = [];
    let done;
    for await (const event of events) {
      if (event.type === "speech.audio.delta") parts.push(Buffer.from(event.audio, "base64"));
      else done = event;
    }
    assert.equal(done.type, "speech.audio.done");
    assert.ok(done.usage.total_tokens > 0);
    await writeFile(`${folder}/js-sse.pcm`, Buffer.concat(parts));
  },
  async models() {
    const ids = [];
    for await (const model of client.models.list()) ids.push(model.id);
    assert.ok(ids.includes("tts-1"));
    assert.equal((await client.models.retrieve("tts-1")).id, "tts-1");
  },
  async wrong_voice() {
    await assert.rejects(client.audio.speech.create({ ...wish, voice: "nobody" }), (error) => {
      assert.ok(error instanceof OpenAI.BadRequestError);
      assert.equal(error.param, "voice");
      assert.ok(error.requestID);
      return true;
    });
  },
  async wrong_key() {
    const other = new OpenAI({ baseURL: `${address}/v1`, apiKey: "sk-wrong", maxRetries: 0 });
    await assert.rejects(other.audio.speech.create(wish), OpenAI.AuthenticationError);
  },
  async aborted() {
    const controller = new AbortController();
    const asking = client.audio.speech.create(wish, { signal: controller.signal });
    controller.abort();
    await assert.rejects(asking, OpenAI.APIUserAbortError);
  },
};

for (const [name, check] of Object.entries(checks)) {
  let problem = null;
  try {
    await check();
  } catch (error) {
    problem = String(error?.stack ?? error);
  }
  console.log(JSON.stringify({ check: name, problem }));
}
