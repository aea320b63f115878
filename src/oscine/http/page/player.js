// Plays a Sound without gaps while it is still growing.

const AHEAD_S = 3; // scheduled in advance: timers of a tab in the background come once a second
const PIECE_S = 0.5;
const FIRST_S = 0.1; // what must be there before the first sound
const AGAIN_S = 0.5; // and after the sound ran dry
const TICK_MS = 50;
const FADE_S = 0.008;
const REST_MS = 1000;

let shared = null;
let resting = null;

/** The page's audio context at this rate; call it while a click is handled, or browsers keep it silent. */
export function audioContext(rate) {
  if (shared && shared.sampleRate !== rate) {
    shared.close();
    shared = null;
  }
  // One rate for context and sound: resampling each piece by itself would be heard at its edges.
  shared ??= new AudioContext({ sampleRate: rate, latencyHint: "interactive" });
  wakeUp(shared);
  return shared;
}

/** States: waiting (for sound), playing, paused, ended. `onchange` is called when it changes. */
export class Player {
  constructor(sound, context) {
    this.#sound = sound;
    this.#context = context;
  }

  state = "paused";
  onchange = () => {};
  /** Called once with the seconds until the first sample is heard. */
  onfirst = () => {};

  #sound;
  #context;
  #run = null; // what is scheduled without a gap: where it began, in frames of the context and in samples
  #next = 0; // the next sample to schedule
  #timer = null;
  #dry = false;
  #begun = false;

  /** The sample that is heard now. */
  get position() {
    if (!this.#run) return this.#next;
    const heard = this.#context.currentTime * this.#context.sampleRate - this.#run.frame;
    return Math.min(this.#next, this.#run.sample + Math.max(0, Math.floor(heard)));
  }

  play() {
    if (this.state === "playing" || this.state === "waiting") return;
    if (this.state === "ended") this.#next = this.#sound.first;
    wakeUp(this.#context);
    this.#timer ??= setInterval(() => this.wake(), TICK_MS);
    this.#become("waiting");
    this.wake();
  }

  pause() {
    this.#halt("paused");
  }

  /** Go to a sample that is there. */
  seek(sample) {
    const { state } = this;
    this.#cut();
    this.#next = Math.max(this.#sound.first, Math.min(Math.round(sample), this.#sound.length));
    if (state === "ended") this.#become("paused");
    else this.wake();
  }

  /** Schedule what has come; called by a timer, and for each new piece so that it is heard at once. */
  wake() {
    if (this.state !== "playing" && this.state !== "waiting") return;
    if (this.#context.state !== "running") return;
    const sound = this.#sound;
    const rate = this.#context.sampleRate;
    const now = Math.ceil(this.#context.currentTime * rate);
    if (this.#run && now >= this.#run.end) {
      this.#cut();
      this.#dry = true;
    }
    this.#next = Math.max(this.#next, sound.first);
    if (!this.#run) {
      const there = sound.length - this.#next;
      if (sound.over && there === 0) return this.#halt("ended");
      if (!sound.over && there < (this.#dry ? AGAIN_S : FIRST_S) * rate) return this.#become("waiting");
      this.#start(now + Math.ceil(0.02 * rate));
    }
    while (this.#run.end - now < AHEAD_S * rate && this.#next < sound.length) this.#schedule(PIECE_S * rate);
    this.#become("playing");
  }

  #start(frame) {
    const gain = this.#context.createGain();
    gain.connect(this.#context.destination);
    if (this.#next > 0 && !this.#dry) {
      const at = frame / this.#context.sampleRate;
      gain.gain.setValueAtTime(0, at);
      gain.gain.linearRampToValueAtTime(1, at + FADE_S);
    }
    this.#run = { frame, sample: this.#next, end: frame, gain, sources: new Set() };
    if (!this.#begun) this.onfirst(frame / this.#context.sampleRate - this.#context.currentTime);
    this.#begun = true;
    this.#dry = false;
  }

  #schedule(most) {
    const rate = this.#context.sampleRate;
    const run = this.#run;
    const floats = this.#sound.read(this.#next, most);
    const buffer = this.#context.createBuffer(1, floats.length, rate);
    buffer.copyToChannel(floats, 0);
    const source = this.#context.createBufferSource();
    source.buffer = buffer;
    source.connect(run.gain);
    source.onended = () => {
      source.disconnect();
      run.sources.delete(source);
    };
    source.start(run.end / rate);
    run.sources.add(source);
    run.end += floats.length;
    this.#next += floats.length;
  }

  #halt(state) {
    this.#cut();
    clearInterval(this.#timer);
    this.#timer = null;
    rest(this.#context);
    this.#become(state);
  }

  /** Silence what is scheduled, without a click. */
  #cut() {
    const run = this.#run;
    if (!run) return;
    this.#next = this.position;
    this.#run = null;
    const now = this.#context.currentTime;
    run.gain.gain.cancelScheduledValues(now);
    run.gain.gain.setValueAtTime(1, now);
    run.gain.gain.linearRampToValueAtTime(0, now + FADE_S);
    for (const source of run.sources) source.stop(now + 2 * FADE_S);
    setTimeout(() => run.gain.disconnect(), 200);
  }

  #become(state) {
    if (this.state === state) return;
    this.state = state;
    this.onchange(state);
  }
}

function wakeUp(context) {
  clearTimeout(resting);
  context.resume();
}

/** A context that runs without a sound costs battery. */
function rest(context) {
  clearTimeout(resting);
  resting = setTimeout(() => context.state === "running" && context.suspend(), REST_MS);
}
