// Records from the microphone, with a level and a clock.

export const SHORTEST_S = 3;
export const LONGEST_S = 120;

const STOP_S = LONGEST_S - 1; // what a browser hands over is a little longer than its clock says
const TYPES = ["audio/webm;codecs=opus", "audio/ogg;codecs=opus", "audio/mp4"];
const TICK_MS = 60;
const CLIPPED = 0.99;
const QUIET = 0.05;

/** Why this browser cannot record here, in a sentence; null where it can. */
export function cannotRecord() {
  if (!globalThis.isSecureContext) {
    return "Browsers give the microphone only to pages of this computer or over https. Choose a file instead.";
  }
  if (!navigator.mediaDevices?.getUserMedia || !globalThis.MediaRecorder) {
    return "This browser cannot record. Choose a file instead.";
  }
  return null;
}

/**
 * Start recording; throws DOMException where the microphone is refused or missing.
 * `ontick(seconds, level)` is called often, with the level from 0 to 1; `onend(take)` once, with
 * `{ blob, seconds, advice }`. Returns `{ finish, cancel }`.
 */
export async function record({ ontick, onend }) {
  // A clone takes over what it hears: nothing may gate, level or clean the voice before.
  const wish = { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false };
  const context = new AudioContext();
  context.resume();
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ audio: wish });
  } catch (error) {
    context.close();
    throw error;
  }
  const analyser = context.createAnalyser();
  analyser.fftSize = 2048;
  context.createMediaStreamSource(stream).connect(analyser);
  const type = TYPES.find((each) => MediaRecorder.isTypeSupported(each));
  const recorder = new MediaRecorder(stream, { mimeType: type, audioBitsPerSecond: 128_000 });
  const parts = [];
  const samples = new Float32Array(analyser.fftSize);
  let loudest = 0;
  let clipped = 0;
  let wanted = true;
  let began = performance.now();
  let seconds = 0;

  const timer = setInterval(() => {
    analyser.getFloatTimeDomainData(samples);
    const level = samples.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);
    loudest = Math.max(loudest, level);
    if (level >= CLIPPED) clipped += 1;
    seconds = (performance.now() - began) / 1000;
    ontick(seconds, level);
    if (seconds >= STOP_S) finish();
  }, TICK_MS);

  recorder.onstart = () => (began = performance.now());
  recorder.ondataavailable = (event) => parts.push(event.data);
  recorder.onstop = () => {
    seconds = (performance.now() - began) / 1000;
    clearInterval(timer);
    stream.getTracks().forEach((track) => track.stop());
    context.close();
    const blob = new Blob(parts, { type: recorder.mimeType });
    if (wanted) onend({ blob, seconds, advice: advice(loudest, clipped) });
  };
  recorder.start(1000);

  function finish() {
    if (recorder.state !== "inactive") recorder.stop();
  }
  return {
    finish,
    cancel() {
      wanted = false;
      finish();
    },
  };
}

function advice(loudest, clipped) {
  if (loudest < QUIET) return "It is very quiet; come closer to the microphone.";
  if (clipped > 2) return "It is too loud in places; move back a little.";
  return "";
}
