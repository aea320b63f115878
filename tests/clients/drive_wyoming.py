"""Home Assistant's side of wyoming-openai: `drive_wyoming.py ADDRESS FOLDER`, a JSON line for each take."""

from __future__ import annotations

import asyncio
import json
import sys
import wave
from pathlib import Path
from typing import Any

from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncClient
from wyoming.error import Error
from wyoming.info import Describe, Info
from wyoming.tts import (
    Synthesize,
    SynthesizeChunk,
    SynthesizeStart,
    SynthesizeStop,
    SynthesizeStopped,
    SynthesizeVoice,
)

TEXT = "The light in the kitchen is on. It is nineteen degrees outside. Good night."


async def main(url: str, folder: Path) -> None:
    info = await describe(url)
    voices = [voice.name for program in info.tts for voice in program.voices]
    print(json.dumps({"take": "describe", "voices": voices}), flush=True)
    chunks = [TEXT[start : start + 7] for start in range(0, len(TEXT), 7)]
    for voice in (None, "heart"):
        spoken = SynthesizeVoice(name=voice) if voice else None
        for way, events, end in (
            ("whole", [Synthesize(text=TEXT, voice=spoken).event()], AudioStop),
            (
                "chunks",
                [
                    SynthesizeStart(voice=spoken).event(),
                    *(SynthesizeChunk(text=chunk).event() for chunk in chunks),
                    SynthesizeStop().event(),
                ],
                SynthesizeStopped,
            ),
        ):
            name = f"wyoming-{way}-{voice}.wav"
            problem = await hear(url, events, end, folder / name)
            told = {"take": f"{way}-{voice}", "text": TEXT, "file": name}
            print(json.dumps(told | ({"problem": problem} if problem else {})), flush=True)


async def describe(url: str) -> Info:
    async with AsyncClient.from_uri(url) as client:
        await client.write_event(Describe().event())
        event = await client.read_event()
        assert event is not None
        return Info.from_event(event)


async def hear(url: str, events: list[Any], end: Any, path: Path) -> str | None:
    async with AsyncClient.from_uri(url) as client:
        for event in events:
            await client.write_event(event)
        sound, rate = b"", 0
        while event := await asyncio.wait_for(client.read_event(), 30):
            if AudioStart.is_type(event.type):
                rate = AudioStart.from_event(event).rate
            elif AudioChunk.is_type(event.type):
                sound += AudioChunk.from_event(event).audio
            elif Error.is_type(event.type):
                return str(Error.from_event(event).text)
            if end.is_type(event.type):
                break
        else:
            return "the connection ended early"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(sound)
    return None


asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
