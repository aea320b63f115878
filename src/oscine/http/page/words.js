// Small things to say and show. Text is only ever put in as text.

/** Put a message where screen readers speak it. */
export function say(id, message) {
  const place = document.getElementById(id);
  if (place.textContent !== message) place.textContent = message;
}

/** Show an element with this text, or hide it without. */
export function show(id, message) {
  const place = document.getElementById(id);
  place.textContent = message || "";
  place.hidden = !message;
}

/** An element with properties and children; strings become text. */
export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/** Seconds as 1:05 or 1:02:05. */
export function clock(seconds) {
  const whole = Math.floor(seconds);
  const pad = (number) => String(number).padStart(2, "0");
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return h ? `${h}:${pad(m)}:${pad(s)}` : `${m}:${pad(s)}`;
}

/** Seconds in words for a length: 9 s, 2 min, 1 h 5 min. */
export function length(seconds) {
  if (seconds < 99.5) return `${Math.max(1, Math.round(seconds))} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

const WIDE = /[\u1100-\u11ff\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff]/gu;

/** About how long a text takes to speak, in seconds: 17 characters a second, 5 where each letter is a syllable. */
export function estimate(text, speed) {
  const wide = text.match(WIDE)?.length ?? 0;
  return ((text.trim().length - wide) / 17 + wide / 5) / speed;
}
