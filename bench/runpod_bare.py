"""A worker that does nothing but answer: RunPod's own SDK, as small as it can be. `bench.runpod` starts it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import runpod


async def handle(_job: dict[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
    """One document, about as long as that of a short text."""
    yield {"status": "completed", "audio_base64": "A" * 50_000}


if __name__ == "__main__":
    runpod.serverless.start({"handler": handle, "return_aggregate_stream": True})
