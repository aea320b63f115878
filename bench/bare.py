"""The bare engine: a loop over `Hibari()` on given sentences and a plain PyAV encoder, same rate, same bit rate."""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main(sentences: Path, output: Path, bitrate: int) -> None:
    """Speak a JSON list of sentences into an MP3 file, one after the other."""
    import av
    import numpy as np
    from hibari import Hibari

    voice = Hibari()
    with av.open(str(output), "w", format="mp3") as container:
        stream = container.add_stream("libmp3lame", rate=voice.sample_rate, layout="mono")
        stream.bit_rate = bitrate
        at = 0
        for text in json.loads(sentences.read_text(encoding="utf-8")):
            samples = voice(text)
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[None]), format="fltp", layout="mono")
            frame.sample_rate = voice.sample_rate
            frame.pts = at
            at += len(samples)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
