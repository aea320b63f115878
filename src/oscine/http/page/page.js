// The page: what the server is, the form that speaks, and its keys.

import { setUpListening, speak, stop } from "./listen.js";
import { setUpVoices } from "./voices.js";
import { estimate, length, say, show } from "./words.js";

const LOADING_MS = 1500;
const RATE_HZ = 24_000;

const byId = (id) => document.getElementById(id);
const text = byId("text");
const select = byId("voice");

let rate = RATE_HZ;

const voices = setUpVoices(select);
setUpListening((active) => {
  const stopping = byId("stop");
  if (!active && document.activeElement === stopping) byId("go").focus();
  stopping.disabled = !active;
});
text.addEventListener("input", measure);
byId("speed").addEventListener("input", measure);
byId("clear").addEventListener("click", () => ((text.value = ""), measure(), text.focus()));
byId("stop").addEventListener("click", stop);
byId("speak").addEventListener("submit", (event) => (event.preventDefault(), go()));
document.addEventListener("keydown", (event) => {
  if (document.querySelector("dialog[open]")) return;
  if (event.key === "Escape" && !byId("stop").disabled) stop();
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && byId("speak").contains(event.target)) {
    event.preventDefault();
    byId("speak").requestSubmit();
  }
});
measure();
meet();

function go() {
  const said = text.value;
  if (!said.trim()) {
    show("trouble", "There is no text yet. Write something, then press Speak.");
    text.focus();
    return;
  }
  const speed = Number(byId("speed").value);
  const loudness = byId("loudness").value;
  const body = {
    model: "oscine",
    input: said,
    voice: select.value || undefined,
    speed,
    loudness: loudness === "" ? null : Number(loudness),
    seed: byId("seed").value.trim() || undefined,
  };
  speak(body, estimate(said, speed), rate);
}

function measure() {
  const letters = [...text.value].length;
  const speed = Number(byId("speed").value);
  const count = `${letters.toLocaleString("en-GB")} ${letters === 1 ? "character" : "characters"}`;
  byId("measure").textContent = text.value.trim() ? `${count} · about ${length(estimate(text.value, speed))}` : count;
  byId("speed-said").textContent = `${speed.toFixed(2).replace(/0$/, "")}×`;
  byId("speed").setAttribute("aria-valuetext", `${speed} times`);
  byId("clear").hidden = letters === 0;
}

/** Tell what speaks here, and go on asking while it is loading. */
async function meet() {
  let health;
  try {
    // A server that is not ready says so with another status, but in the same words.
    health = await (await fetch("health", { cache: "no-store" })).json();
  } catch {
    byId("engine").dataset.state = "broken";
    say("engine", "The server cannot be reached");
    setTimeout(meet, 2 * LOADING_MS);
    return;
  }
  const { engine, status } = health;
  const words = { loading: `${engine.name} is loading …`, broken: `${engine.name} cannot speak` };
  byId("engine").dataset.state = status;
  say("engine", words[status] ?? `${engine.name} is ready`);
  if (health.problem) show("trouble", health.problem);
  rate = engine.sample_rate || RATE_HZ;
  const speaks = [engine.name, engine.version, engine.device && `on ${engine.device}`].filter(Boolean).join(" ");
  byId("version").textContent = ` · Oscine ${health.version} · ${speaks}`;
  voices.engine(engine);
  if (!select.length) voices.load().catch((error) => show("trouble", error.message));
  if (status === "loading") setTimeout(meet, LOADING_MS);
}
