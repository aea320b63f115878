"""A worker whose answers have the shapes of the two that users run today, in RunPod's own loop.

What it says is not speech: the bridge looks at no sample. `python old_worker.py vibevoice|indextts LINK`.
"""

from __future__ import annotations

import base64
import sys
from collections.abc import Iterator
from typing import Any

import runpod

SAMPLES = bytes(range(256)) * 60


def vibevoice(asked: dict[str, Any]) -> Iterator[Any]:
    """Pieces without an index; a result whose status is `success`."""
    if not asked.get("text"):
        yield {"error": "Missing or empty 'text' parameter"}
        return
    if asked.get("output_format") not in ("pcm_16", "mp3"):
        yield {"error": f"Unknown output_format: {asked.get('output_format')}"}
        return
    if asked["text"] == "break":
        yield {"status": "error", "error": "CUDA error in /workspace/vibevoice/inference.py"}
        return
    if asked["text"] == "nothing":
        yield None
        return
    if asked.get("stream"):
        for number in range(3):
            yield {
                "status": "streaming",
                "chunk": number + 1,
                "format": asked["output_format"],
                "audio_chunk": encoded(SAMPLES[number * 5120 : (number + 1) * 5120]),
                "sample_rate": 48_000,
            }
        yield {"status": "complete", "format": asked["output_format"], "total_chunks": 3}
        return
    found: dict[str, Any] = {"status": "success", "sample_rate": 48_000, "duration_sec": 0.2}
    if asked["output_format"] == "pcm_16":
        found["format"] = "pcm_16"
    link = sys.argv[2]
    yield found | ({"audio_url": link} if link else {"audio_base64": encoded(SAMPLES)})


def indextts(asked: dict[str, Any]) -> Iterator[Any]:
    """Pieces are samples; files are Opus behind a link."""
    if asked.get("output_format") != "pcm_16":
        yield {"error": "Invalid output_format. Only 'pcm_16' is currently supported"}
        return
    if asked.get("stream"):
        for number in range(3):
            piece = {"status": "streaming", "chunk": number + 1, "format": "pcm_16", "sample_rate": 22_050}
            yield piece | {"audio_chunk": encoded(SAMPLES[number * 5120 : (number + 1) * 5120])}
        yield {"status": "complete", "format": "pcm_16", "total_chunks": 3}
        return
    yield {
        "status": "completed",
        "url": sys.argv[2],
        "filename": "x.ogg",
        "s3_key": "x.ogg",
        "metadata": {"sample_rate": 24_000, "duration": 0.2},
    }


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def handler(job: dict[str, Any]) -> Iterator[Any]:
    yield from (vibevoice if sys.argv[1] == "vibevoice" else indextts)(job["input"])


if __name__ == "__main__":
    runpod.serverless.start({"handler": handler, "return_aggregate_stream": True})
