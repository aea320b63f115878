"""LiveKit's speech plugin in a voice agent: `drive_livekit.py ADDRESS KEY FOLDER`, a JSON line for each take."""

from __future__ import annotations

import asyncio
import json
import sys
import wave
from pathlib import Path
from typing import Any

from livekit.agents import APIError
from livekit.agents.types import APIConnectOptions
from livekit.plugins import openai

TEXT = "Hello there. This is what a voice agent says, in two sentences."
# tts-1 is asked for sound, every other model for events.
TAKES = [("tts-1", "mp3"), ("gpt-4o-mini-tts", "mp3"), ("gpt-4o-mini-tts", "pcm"), ("tts-1", "pcm")]
TAKES += [(model, format) for model in ("tts-1", "gpt-4o-mini-tts") for format in ("opus", "aac", "flac", "wav")]


async def main(url: str, key: str, folder: Path) -> None:
    for model, format in TAKES:
        told: dict[str, object] = {"take": f"{model}-{format}", "text": TEXT}
        try:
            told |= await take(url, key, model, format, folder)
        except APIError as error:
            told["problem"] = str(error)
        print(json.dumps(told), flush=True)
    speaker = openai.TTS(model="tts-1", voice="nobody-of-this-name", base_url=f"{url}/v1", api_key=key)
    try:
        await speaker.synthesize(TEXT, conn_options=APIConnectOptions(max_retry=0)).collect()
        print(json.dumps({"take": "refused", "problem": "nothing was refused"}))
    except APIError as error:
        print(json.dumps({"take": "refused", "message": str(error)}))
    finally:
        await speaker.aclose()


async def take(url: str, key: str, model: str, format: str, folder: Path) -> dict[str, object]:
    speaker = openai.TTS(model=model, voice="ash", base_url=f"{url}/v1", api_key=key, response_format=format)
    measured: list[Any] = []
    speaker.on("metrics_collected", measured.append)
    try:
        # A second try would hide a first one that failed.
        frame = await speaker.synthesize(TEXT, conn_options=APIConnectOptions(max_retry=0)).collect()
        await asyncio.sleep(0)
    finally:
        await speaker.aclose()
    name = f"livekit-{model}-{format}.wav"
    with wave.open(str(folder / name), "wb") as file:
        file.setnchannels(frame.num_channels)
        file.setsampwidth(2)
        file.setframerate(frame.sample_rate)
        file.writeframes(bytes(frame.data))
    return {"file": name, "tokens": measured[0].output_tokens if measured else None}


asyncio.run(main(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
