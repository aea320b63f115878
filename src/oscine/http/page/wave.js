// Draws the sound: one bar for each few milliseconds, what was heard in the accent colour.

const BAR = 3;
const GAP = 2;

/** Draw `sound` up to where it has come, on a line that stands for `total` seconds; `position` in seconds. */
export function drawWave(canvas, { sound, position, total }) {
  const ratio = globalThis.devicePixelRatio || 1;
  const width = canvas.clientWidth;
  const height = canvas.clientHeight;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const pen = canvas.getContext("2d");
  const style = getComputedStyle(canvas);
  const colour = (name) => style.getPropertyValue(name).trim();
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  const bars = Math.max(1, Math.floor((width + GAP) / (BAR + GAP)));
  for (let i = 0; i < bars; i += 1) {
    const from = (i * total) / bars;
    const to = ((i + 1) * total) / bars;
    const come = sound && from < sound.seconds;
    const tall = come ? Math.max(BAR, sound.peak(from, to) ** 0.8 * height) : BAR;
    pen.fillStyle = colour(!come ? "--line" : from < position ? "--accent" : "--wave");
    pen.beginPath();
    pen.roundRect(i * (BAR + GAP), (height - tall) / 2, BAR, tall, BAR / 2);
    pen.fill();
  }
}
