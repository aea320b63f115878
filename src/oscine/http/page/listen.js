// One spoken request: its stream, its sound, and what the listener sees of it.

import { request, stopped, warnings } from "./api.js";
import { audioContext, Player } from "./player.js";
import { Sound } from "./sound.js";
import { clock, element, length, say, show } from "./words.js";
import { drawWave } from "./wave.js";

const ROOM_MS = 500;
const STEPS_S = { ArrowLeft: -2, ArrowDown: -2, ArrowRight: 2, ArrowUp: 2, PageDown: -15, PageUp: 15 };

const byId = (id) => document.getElementById(id);

let take = null;
let saving = null;
let drawing = false;
let active = () => {};

/** Make the player work. `onactive(whether)` is called when something begins or ends that can be stopped. */
export function setUpListening(onactive) {
  byId("play").addEventListener("click", () => {
    if (isPlaying()) take.player.pause();
    else take?.player?.play();
  });
  byId("position").addEventListener("input", (event) => seek(Number(event.target.value)));
  byId("position").addEventListener("keydown", (event) => {
    if (!(event.key in STEPS_S) || !take?.player) return;
    event.preventDefault();
    seek(take.player.position / take.sound.rate + STEPS_S[event.key]);
  });
  byId("save").addEventListener("click", () => save(byId("format").value));
  new ResizeObserver(draw).observe(byId("wave"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  active = () => onactive(Boolean(saving || take?.streaming || isPlaying()));
}

/** Speak what `body` asks for and play it as it comes; `seconds` is about how long it will be. Call it in a click. */
export async function speak(body, seconds, rate) {
  stop();
  const context = audioContext(rate);
  const abort = new AbortController();
  const current = { body, seconds, abort, clicked: performance.now(), streaming: true, facts: {} };
  take = current;
  show("trouble", "");
  show("warnings", "");
  byId("listen").hidden = false;
  byId("listen").scrollIntoView({ block: "nearest" });
  byId("save").disabled = true;
  byId("play").disabled = true;
  byId("facts").textContent = "";
  say("said", "Waiting for the first sound …");
  active();
  animate();
  try {
    await stream(current, context);
  } catch (error) {
    if (current === take) failed(error);
  } finally {
    current.streaming = false;
    if (current === take) settle();
  }
}

/** Stop speaking, playing and saving; what was heard can be heard again. */
export function stop() {
  saving?.abort();
  if (!take) return;
  const running = take.streaming || isPlaying();
  take.abort.abort();
  take.player?.pause();
  if (running) say("said", "Stopped");
  active();
}

async function stream(current, context) {
  const { signal } = current.abort;
  const response = await request("v1/audio/speech", { ...post(current.body, "pcm"), signal });
  const rate = Number(/rate=(\d+)/.exec(response.headers.get("content-type"))?.[1] ?? context.sampleRate);
  current.facts.seed = response.headers.get("x-oscine-seed");
  show("warnings", warnings(response));
  const sound = (current.sound = new Sound(rate));
  const player = (current.player = new Player(sound, rate === context.sampleRate ? context : audioContext(rate)));
  player.onchange = () => current === take && changed();
  player.onfirst = (delay) => {
    current.facts.first = (performance.now() - current.clicked) / 1000 + delay;
    facts();
  };
  byId("play").disabled = false;
  player.play();
  const reader = response.body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    sound.push(value);
    player.wake();
    // Beyond what is kept, the stream waits for the listener.
    while (!sound.makeRoom(player.position)) await pause(ROOM_MS, signal);
  }
  sound.complete = true;
}

function failed(error) {
  if (stopped(error)) return;
  const heard = take.sound?.length > 0;
  const broken = error.status === undefined && heard;
  const lost = "The connection broke before the end. What has come can still be heard.";
  show("trouble", broken ? lost : error.message);
  byId("trouble").scrollIntoView({ block: "nearest" });
  say("said", heard ? "Not finished" : "");
}

/** The stream is over, well or not. */
function settle() {
  const { sound, player } = take;
  if (sound) {
    sound.over = true;
    player.wake();
  }
  byId("listen").hidden = !sound?.length;
  byId("save").disabled = !sound?.length;
  facts();
  active();
  draw();
}

function changed() {
  const { state } = take.player;
  const going = state === "playing" || state === "waiting";
  byId("play").toggleAttribute("data-playing", going);
  byId("play").setAttribute("aria-label", going ? "Pause" : "Play");
  const ended = take.sound.complete ? "Finished" : "That is all that came";
  const words = { playing: "Speaking", waiting: "Waiting for more sound …", paused: "Paused", ended };
  draw(); // what is said and what is shown are of one moment
  if (state !== "waiting" || take.facts.first !== undefined) say("said", words[state]);
  active();
  animate();
}

function facts() {
  const { first, seed } = take.facts;
  const parts = [
    first !== undefined && `First sound after ${first.toFixed(2)} s`,
    take.sound?.complete && `${take.sound.seconds.toFixed(1)} s of speech`,
    seed && `seed ${seed}`,
  ];
  byId("facts").textContent = parts.filter(Boolean).join(" · ");
}

function seek(seconds) {
  if (!take?.player) return;
  take.player.seek(seconds * take.sound.rate);
  draw();
}

async function save(format) {
  if (!take || saving) return;
  const current = take;
  const name = `${title(current.body.input)}.${format}`;
  const whole = format === "wav" && current.sound.complete ? current.sound.wav() : null;
  if (whole) return download(whole, name);
  saving = new AbortController();
  byId("save").disabled = true;
  say("said", `Making ${name} …`);
  active();
  try {
    const body = { ...current.body, seed: current.facts.seed ?? current.body.seed };
    const response = await request("v1/audio/speech", { ...post(body, format), signal: saving.signal });
    download(await response.blob(), name);
  } catch (error) {
    say("said", "Not saved");
    if (!stopped(error)) show("trouble", error.message);
  } finally {
    saving = null;
    byId("save").disabled = false;
    active();
  }
}

function download(blob, name) {
  const link = element("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  say("said", `Saved as ${name}`);
}

/** The first words as the name of a file. */
function title(text) {
  const words = text.match(/[\p{L}\p{N}]+/gu) ?? ["speech"];
  return words.slice(0, 5).join("-").slice(0, 60).toLowerCase();
}

function post(fields, format) {
  const { seed, ...rest } = fields;
  const text = JSON.stringify({ ...rest, response_format: format });
  // A seed has up to 63 bits, more than a number in JavaScript can hold: its digits go in as they are.
  const body = seed ? `${text.slice(0, -1)},"seed":${BigInt(seed)}}` : text;
  return { method: "POST", headers: { "Content-Type": "application/json" }, body };
}

const isPlaying = () => ["playing", "waiting"].includes(take?.player?.state);

function animate() {
  if (drawing) return;
  drawing = true;
  const frame = () => {
    draw();
    drawing = take.streaming || isPlaying();
    if (drawing) requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
}

function draw() {
  if (!take) return;
  const { sound, player, streaming } = take;
  const there = sound?.seconds ?? 0;
  const total = streaming ? Math.max(take.seconds, there * 1.05, 1) : there;
  const position = player ? player.position / sound.rate : 0;
  drawWave(byId("wave"), { sound, position, total });
  const slider = byId("position");
  slider.max = String(total);
  slider.value = String(position);
  slider.disabled = there === 0;
  const spoken = `${clock(position)} of ${streaming ? `about ${length(total)}` : clock(total)}`;
  slider.setAttribute("aria-valuetext", spoken);
  byId("clock").textContent = `${clock(position)} / ${streaming ? `about ${clock(total)}` : clock(total)}`;
}

function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => (clearTimeout(timer), reject(signal.reason)), { once: true });
  });
}
