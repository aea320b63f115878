// The sound of one request: PCM as it arrives, kept in blocks of a second.

const PEAKS_PER_SECOND = 50;
const HEADER = 44;

/** Samples of 16 bits, little-endian, one channel. Positions count samples from the first one that was ever pushed. */
export class Sound {
  /** At most `keep` seconds are held; see `makeRoom`. */
  constructor(rate, keep = 1800) {
    this.rate = rate;
    this.length = 0;
    this.first = 0;
    /** All of it has come. */
    this.complete = false;
    /** No more will come. */
    this.over = false;
    this.peaks = [];
    this.#limit = keep * rate;
  }

  #limit;
  #blocks = [];
  #odd = null;

  get seconds() {
    return this.length / this.rate;
  }

  /** Add bytes; a sample whose second byte is still to come waits for it. */
  push(bytes) {
    let data = bytes;
    if (this.#odd !== null) {
      data = new Uint8Array(bytes.length + 1);
      data[0] = this.#odd;
      data.set(bytes, 1);
    }
    this.#odd = data.length % 2 ? data[data.length - 1] : null;
    const view = new DataView(data.buffer, data.byteOffset, data.length - (data.length % 2));
    const perPeak = this.rate / PEAKS_PER_SECOND;
    for (let at = 0; at < view.byteLength; at += 2) {
      const sample = view.getInt16(at, true);
      const offset = this.length % this.rate;
      if (offset === 0) this.#blocks.push(new Int16Array(this.rate));
      this.#blocks[this.#blocks.length - 1][offset] = sample;
      const peak = Math.floor(this.length / perPeak);
      const loud = Math.abs(sample) / 32768;
      if (peak === this.peaks.length) this.peaks.push(loud);
      else if (loud > this.peaks[peak]) this.peaks[peak] = loud;
      this.length += 1;
    }
  }

  /** Forget what lies before `position` if too much is held. Returns whether there is room for more. */
  makeRoom(position) {
    const last = Math.floor(position / this.rate) * this.rate;
    while (this.length - this.first >= this.#limit && this.first < last) {
      this.#blocks[this.first / this.rate] = null;
      this.first += this.rate;
    }
    return this.length - this.first < this.#limit;
  }

  /** Samples from `start` on as floats, `count` at most. */
  read(start, count) {
    const floats = new Float32Array(Math.min(count, this.length - start));
    for (let done = 0; done < floats.length; ) {
      const at = start + done;
      const block = this.#blocks[Math.floor(at / this.rate)];
      const offset = at % this.rate;
      const part = Math.min(floats.length - done, this.rate - offset);
      for (let i = 0; i < part; i += 1) floats[done + i] = block[offset + i] / 32768;
      done += part;
    }
    return floats;
  }

  /** Loudest sample between two times in seconds, 0 to 1. */
  peak(from, to) {
    const end = Math.min(this.peaks.length, Math.max(Math.ceil(to * PEAKS_PER_SECOND), 1));
    let loudest = 0;
    for (let i = Math.floor(from * PEAKS_PER_SECOND); i < end; i += 1) loudest = Math.max(loudest, this.peaks[i]);
    return loudest;
  }

  /** A WAV file of everything, or null where the beginning was forgotten. */
  wav() {
    if (this.first > 0) return null;
    const bytes = this.length * 2;
    const header = new DataView(new ArrayBuffer(HEADER));
    const text = (at, letters) => [...letters].forEach((c, i) => header.setUint8(at + i, c.charCodeAt(0)));
    text(0, "RIFF");
    header.setUint32(4, HEADER - 8 + bytes, true);
    text(8, "WAVEfmt ");
    header.setUint32(16, 16, true);
    header.setUint16(20, 1, true);
    header.setUint16(22, 1, true);
    header.setUint32(24, this.rate, true);
    header.setUint32(28, this.rate * 2, true);
    header.setUint16(32, 2, true);
    header.setUint16(34, 16, true);
    text(36, "data");
    header.setUint32(40, bytes, true);
    const rest = this.length % this.rate;
    const blocks = [...this.#blocks];
    if (rest) blocks.push(blocks.pop().subarray(0, rest));
    return new Blob([header, ...blocks], { type: "audio/wav" });
  }
}
