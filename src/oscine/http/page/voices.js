// Voices: the list to choose from, and recordings to add, hear and delete.

import { confirmed, request, stopped } from "./api.js";
import { cannotRecord, LONGEST_S, record, SHORTEST_S } from "./recorder.js";
import { clock, element, say, show } from "./words.js";

const LARGEST_BYTES = 10 * 1024 * 1024;
const SHOWN = 50;
const CLONING_ENGINES = "VibeVoice and IndexTTS";

const byId = (id) => document.getElementById(id);
const audio = new Audio();

const isRecording = (voice) => voice.type !== "preset";

let voices = [];
let all = false;
let recording = null;
let take = null;
let hearing = null;

/** Make the section of voices work; returns `{ load, engine }` to fill it from the server and to tell what speaks. */
export function setUpVoices(select) {
  byId("record").addEventListener("click", () => attempt(startRecording));
  byId("choose").addEventListener("click", () => byId("file").click());
  byId("file").addEventListener("change", () => attempt(chooseFile));
  byId("finish").addEventListener("click", () => recording?.finish());
  byId("cancel").addEventListener("click", () => (recording?.cancel(), stage("add", "record")));
  byId("hear").addEventListener("click", () => attempt(() => hear(byId("hear"), async () => take.blob)));
  byId("discard").addEventListener("click", () => stage("add", "record"));
  byId("review").addEventListener("submit", (event) => (event.preventDefault(), attempt(() => keep(select))));
  byId("more-recordings").addEventListener("click", () => ((all = true), list(select)));
  audio.addEventListener("ended", quiet);
  audio.addEventListener("error", () => audio.src && hearing && (quiet(), trouble("This browser cannot play it.")));
  return { load: () => load(select), engine: tellEngine };
}

async function load(select, chosen = select.value) {
  voices = (await (await request("v1/audio/voices?all=true")).json()).voices;
  const groups = [
    ["Voices of the engine", voices.filter((voice) => !isRecording(voice))],
    ["Recordings", voices.filter(isRecording)],
  ];
  select.replaceChildren(
    ...groups
      .filter(([, members]) => members.length)
      .map(([label, members]) => element("optgroup", { label }, ...members.map(option))),
  );
  const usable = (voice) => voice.available !== false;
  const first =
    voices.find((voice) => voice.id === chosen && usable(voice)) ??
    voices.find((voice) => voice.default && usable(voice)) ??
    voices.find(usable);
  if (first) select.value = first.id;
  list(select);
}

function option(voice) {
  const usable = voice.available !== false;
  const why = isRecording(voice) ? "needs an engine that clones" : "not downloaded";
  const notes = [isRecording(voice) ? "" : voice.description, usable ? "" : why].filter(Boolean).join(", ");
  return element("option", { value: voice.id, disabled: !usable }, notes ? `${voice.name} – ${notes}` : voice.name);
}

function list(select) {
  const recordings = voices.filter(isRecording);
  byId("recordings").replaceChildren(
    ...recordings.slice(0, all ? undefined : SHOWN).map((voice) => row(voice, select)),
  );
  const hidden = !all && recordings.length > SHOWN;
  show("more-recordings", hidden && `Show all ${recordings.length.toLocaleString("en-GB")} recordings`);
}

function row(voice, select) {
  const path = `v1/audio/voices/${encodeURIComponent(voice.id)}`;
  const date = new Date(voice.created_at * 1000);
  const added = voice.created_at ? date.toLocaleDateString("en-GB", { dateStyle: "medium" }) : "";
  const listen = element("button", { type: "button", className: "quiet" }, "Listen");
  const remove = element("button", { type: "button", className: "quiet" }, "Delete");
  listen.setAttribute("aria-label", `Listen to ${voice.name}`);
  remove.setAttribute("aria-label", `Delete ${voice.name}`);
  listen.addEventListener("click", () =>
    attempt(() => hear(listen, async () => (await request(`${path}/sample`)).blob())),
  );
  remove.addEventListener("click", () =>
    attempt(async () => {
      if (!(await confirmed(`Delete the recording “${voice.name}”? It cannot be brought back.`, "Delete"))) return;
      await request(path, { method: "DELETE" });
      quiet();
      await load(select);
      say("voices-said", `${voice.name} is deleted.`);
      byId("record").focus();
    }),
  );
  const name = element("span", { className: "name" }, voice.name);
  return element("li", {}, name, element("small", {}, added), listen, remove);
}

function tellEngine(engine) {
  const cannot = `${engine.name} cannot clone a voice, it speaks with its own.`;
  const kept = `What you record is kept here for engines that can, such as ${CLONING_ENGINES}.`;
  show("cloning", engine.cloning === false && `${cannot} ${kept}`);
}

async function startRecording() {
  const reason = cannotRecord();
  if (reason) return trouble(reason);
  byId("record").disabled = true;
  try {
    recording = await record({
      ontick(seconds, level) {
        byId("timer").textContent = clock(seconds);
        byId("meter").setAttribute("aria-valuenow", String(Math.round(level * 100)));
        byId("meter").firstElementChild.style.transform = `scaleX(${Math.min(1, Math.sqrt(level))})`;
        byId("meter").classList.toggle("hot", level > 0.98);
      },
      onend: (recorded) => offer({ ...recorded, filename: filename(recorded.blob.type) }),
    });
  } catch (error) {
    const refused = error.name === "NotAllowedError";
    return trouble(
      refused
        ? "The browser was not allowed to use the microphone. Allow it beside the address, or choose a file."
        : "No microphone was found. Plug one in, or choose a file.",
    );
  } finally {
    byId("record").disabled = false;
  }
  stage("recording", "finish");
  say("voices-said", "Recording.");
}

function chooseFile() {
  const [file] = byId("file").files;
  byId("file").value = "";
  if (!file) return;
  if (file.size > LARGEST_BYTES) {
    return trouble("The file has more than 10 MiB. Choose a shorter one, or save it as MP3 or FLAC.");
  }
  offer({ blob: file, filename: file.name, seconds: null, advice: "" });
  byId("name").value = file.name.replace(/\.[^.]*$/, "");
}

/** Let what was recorded or chosen be heard, named and kept. */
function offer(found) {
  take = found;
  const short = found.seconds !== null && found.seconds < SHORTEST_S;
  const length = found.seconds === null ? found.filename : `${found.seconds.toFixed(1)} s`;
  byId("sample").textContent = [
    length,
    short ? `That is too short: it takes ${SHORTEST_S} to ${LONGEST_S} seconds. Record it again.` : found.advice,
  ]
    .filter(Boolean)
    .join(" · ");
  byId("keep").disabled = short;
  byId("name").value = "";
  byId("consent").checked = false;
  say("voices-said", "");
  stage("review", short ? "discard" : "hear");
}

async function keep(select) {
  const form = new FormData();
  const name = byId("name").value.trim();
  form.set("name", name);
  form.set("consent", String(byId("consent").checked));
  form.set("audio_sample", take.blob, take.filename);
  byId("keep").disabled = true;
  say("voices-said", "Sending the recording …");
  try {
    const response = await send(form, name);
    if (!response) return say("voices-said", "");
    const voice = await response.json();
    stage("add", "record");
    await load(select, voice.id);
    say("voices-said", `${voice.name} is kept.`);
  } catch (error) {
    say("voices-said", "");
    throw error;
  } finally {
    byId("keep").disabled = false;
  }
}

async function send(form, name) {
  try {
    return await request("v1/audio/voices", { method: "POST", body: form });
  } catch (error) {
    if (error.code !== "voice_exists") throw error;
    if (!(await confirmed(`There is a recording “${name}” already. Replace it?`, "Replace"))) return null;
    form.set("replace", "true");
    return request("v1/audio/voices", { method: "POST", body: form });
  }
}

/** Play a recording, or stop it if it is the one that plays. */
async function hear(button, fetched) {
  const again = hearing === button;
  quiet();
  if (again) return;
  hearing = button;
  button.textContent = "Stop";
  button.setAttribute("aria-pressed", "true");
  const blob = await fetched();
  if (hearing !== button) return;
  audio.src = URL.createObjectURL(blob);
  await audio.play().catch((error) => {
    // The error event has the words for a sound that cannot be played.
    if (!stopped(error) && error.name !== "NotSupportedError") throw error;
  });
}

function quiet() {
  audio.pause();
  if (audio.src) URL.revokeObjectURL(audio.src);
  if (hearing) {
    hearing.textContent = "Listen";
    hearing.removeAttribute("aria-pressed");
  }
  hearing = null;
}

/** Show one of the three stages, add, recording or review, with the focus where one goes on. */
function stage(name, focus) {
  quiet();
  if (name === "add") take = null;
  if (name !== "recording") recording = null;
  for (const each of ["add", "recording", "review"]) byId(each).hidden = each !== name;
  byId(focus).focus();
}

async function attempt(action) {
  show("voices-trouble", "");
  say("voices-said", "");
  try {
    await action();
  } catch (error) {
    quiet();
    if (!stopped(error)) trouble(error.message);
  }
}

function trouble(message) {
  show("voices-trouble", message);
}

function filename(type) {
  const ending = type.includes("webm") ? "webm" : type.includes("ogg") ? "ogg" : "m4a";
  return `recording.${ending}`;
}
