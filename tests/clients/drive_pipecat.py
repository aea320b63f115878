"""Pipecat's speech service in a pipeline: `drive_pipecat.py ADDRESS KEY FOLDER`, a JSON line for each take."""

from __future__ import annotations

import asyncio
import json
import sys
import wave
from pathlib import Path

from pipecat.frames.frames import ErrorFrame, TTSAudioRawFrame, TTSSpeakFrame
from pipecat.services.openai.tts import OpenAITTSService
from pipecat.tests.utils import run_test

TEXT = "Hello there. This is what a voice agent says, in two sentences."


async def main(url: str, key: str, folder: Path) -> None:
    for voice in ("alloy", "cedar"):
        settings = OpenAITTSService.Settings(voice=voice)
        service = OpenAITTSService(api_key=key, base_url=f"{url}/v1", settings=settings, sample_rate=24_000)
        down, up = await run_test(service, frames_to_send=[TTSSpeakFrame(text=TEXT)], start_timeout=30)
        sound = b"".join(frame.audio for frame in down if isinstance(frame, TTSAudioRawFrame))
        problems = [frame.error for frame in (*down, *up) if isinstance(frame, ErrorFrame)]
        name = f"pipecat-{voice}.wav"
        with wave.open(str(folder / name), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(24_000)
            file.writeframes(sound)
        told = {"take": voice, "text": TEXT, "file": name}
        print(json.dumps(told | ({"problem": "; ".join(problems)} if problems else {})), flush=True)
    settings = OpenAITTSService.Settings(voice="alloy", instructions="Whisper.", speed=9.0)
    service = OpenAITTSService(api_key=key, base_url=f"{url}/v1", settings=settings, sample_rate=24_000)
    down, up = await run_test(service, frames_to_send=[TTSSpeakFrame(text=TEXT)], start_timeout=30)
    problems = [frame.error for frame in (*down, *up) if isinstance(frame, ErrorFrame)]
    print(json.dumps({"take": "refused", "message": "; ".join(problems)}))


asyncio.run(main(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
