"""`oscine voices`: list, add, remove and show voices."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from oscine.errors import InvalidRequest

app = typer.Typer(
    help="List, add, remove and show voices. A voice is a preset of an engine, or a recording.", no_args_is_help=True
)


@app.command("list")
def list_voices(
    engine: Annotated[str | None, typer.Option(help="Engine whose voices are listed; see: oscine engines")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON array, for programs.")] = False,
) -> None:
    """List the voices. Shows an engine's presets and the recordings in the library, and which of them it can use."""
    from oscine.synthesis.studio import Studio

    with Studio() as studio:
        info = studio.registry.get(studio.registry.select(engine, None)).info
        recordings = studio.library.list()
    if as_json:
        presets = [
            {
                "name": preset.name,
                "kind": "preset",
                "engine": info.name,
                "language": preset.language,
                "description": preset.description,
                "default": preset.name == info.default_preset,
                "usable": preset.installed,
            }
            for preset in info.presets
        ]
        kept = [
            {"name": voice.name, "kind": "recording", "bytes": voice.size, "usable": info.capabilities.cloning}
            for voice in recordings
        ]
        print(json.dumps([*presets, *kept], ensure_ascii=False, indent=2))
        return
    for preset in info.presets:
        mark = (
            "default"
            if preset.name == info.default_preset
            else ("" if preset.installed else f"oscine download {info.name}")
        )
        _row(preset.name, f"{info.name}, {preset.language}, {preset.description}", mark)
    for voice in recordings:
        usable = "" if info.capabilities.cloning else "for engines that clone"
        _row(voice.name, f"recording, {voice.size / 1000:.0f} kB", usable)


@app.command()
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the voice is called.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Recording of 3 to 120 seconds, one speaker, no music.")],
    replace: Annotated[bool, typer.Option(help="Replace a voice of that name.")] = False,
) -> None:
    """Add a reference recording to the library."""
    from oscine.synthesis.studio import Studio
    from oscine.voices.library import RECORDING
    from oscine.voices.names import exact

    most = RECORDING.max_bytes
    try:
        with file.open("rb") as opened:
            data = opened.read(most + 1)
    except FileNotFoundError:
        raise InvalidRequest(f"file: {file} does not exist; check the name.", param="file") from None
    except OSError as error:
        raise InvalidRequest(
            f"file: {file} cannot be read ({error.strerror}); name a recording that can.", param="file"
        ) from None
    if len(data) > most:
        raise InvalidRequest(
            f"file: the recording is larger than {most // 1024**2} MB; cut it to 120 seconds.", param="file"
        )
    with Studio() as studio:
        info = studio.registry.get(studio.registry.select(None, None)).info
        if exact(name.strip(), [preset.name for preset in info.presets]):
            raise InvalidRequest(
                f"name is that of a voice that comes with {info.name}, which would be heard instead; choose another.",
                param="name",
                code="voice_exists",
            )
        voice = studio.library.add(name, data, replace=replace, limits=RECORDING, field="file")
        print(f"added {voice.name}")


@app.command()
def remove(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The recording to remove, by its whole name.")],
) -> None:
    """Remove a recording from the library."""
    from oscine.synthesis.studio import Studio

    with Studio() as studio:
        print(f"removed {studio.library.remove(name).name}")


@app.command()
def show(name: Annotated[str, typer.Argument(metavar="NAME", help="The recording.")]) -> None:
    """Show what is known about a recording: format, duration, sample rate, channels, loudness."""
    from oscine.synthesis.studio import Studio

    with Studio() as studio:
        found = studio.library.show(name)
    loudness = "too short or too quiet to measure" if found.loudness is None else f"{found.loudness:.1f} LUFS"
    for fact, value in (
        ("name", found.voice.name),
        ("format", found.format if found.codec == found.format else f"{found.format} ({found.codec})"),
        ("duration", f"{found.duration:.2f} s"),
        ("sample rate", f"{found.sample_rate} Hz"),
        ("channels", found.channels),
        ("loudness", loudness),
    ):
        print(f"{fact:12} {value}")


def _row(name: str, what: str, mark: str) -> None:
    print(f"{name:24} {what}{f'  [{mark}]' if mark else ''}")
