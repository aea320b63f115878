"""Playing sound with a player that is installed."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Final

import numpy as np

from oscine.audio.waveform import Waveform
from oscine.errors import NotAvailable

_RAW: Final = {
    "pw-cat": ["--playback", "--raw", "--format=s16", "--channels=1", "--rate={rate}", "-"],
    "paplay": ["--raw", "--format=s16le", "--channels=1", "--rate={rate}"],
    "aplay": ["-q", "-t", "raw", "-f", "S16_LE", "-c", "1", "-r", "{rate}"],
    "ffplay": [
        "-nodisp",
        "-autoexit",
        "-loglevel",
        "error",
        "-f",
        "s16le",
        "-ar",
        "{rate}",
        "-ch_layout",
        "mono",
        "-i",
        "-",
    ],
    "mpv": [
        "--no-terminal",
        "--demuxer=rawaudio",
        "--demuxer-rawaudio-rate={rate}",
        "--demuxer-rawaudio-channels=1",
        "-",
    ],
    "play": ["-q", "-t", "raw", "-e", "signed", "-b", "16", "-c", "1", "-r", "{rate}", "-"],
}
"""Players that take raw samples on standard input, the best first."""
_FILES: Final = ("afplay", "ffplay", "mpv", "play", "paplay", "aplay")


class Player:
    """A running player that is fed samples. Use it with `with`: leaving it waits until all was played."""

    def __init__(self, command: str) -> None:
        self.name = command
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def find(cls) -> Player:
        """The best player there is. Raises NotAvailable."""
        for name in _RAW:
            if shutil.which(name):
                return cls(name)
        raise _no_player()

    def push(self, waveform: Waveform) -> None:
        """Play the next samples; waits while the player has enough."""
        if self._process is None:
            arguments = [part.format(rate=waveform.sample_rate) for part in _RAW[self.name]]
            self._process = subprocess.Popen([self.name, *arguments], stdin=subprocess.PIPE)
        assert self._process.stdin is not None
        try:
            self._process.stdin.write((np.clip(waveform.samples, -1, 1) * 32767).round().astype("<i2").tobytes())
            self._process.stdin.flush()
        except BrokenPipeError:
            raise NotAvailable(
                f"The player {self.name} stopped; is a sound device there? Use -o to write a file."
            ) from None

    def __enter__(self) -> Player:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._process is None:
            return
        assert self._process.stdin is not None
        if kind is not None:
            self._process.kill()
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        if self._process.wait() != 0 and kind is None:
            raise NotAvailable(f"The player {self.name} failed; is a sound device there? Use -o to write a file.")


def play_file(path: Path) -> None:
    """Play a finished file. Raises NotAvailable."""
    options = {
        "ffplay": ["-nodisp", "-autoexit", "-loglevel", "error"],
        "mpv": ["--no-terminal"],
        "play": ["-q"],
        "aplay": ["-q"],
    }
    for name in _FILES:
        if shutil.which(name):
            if subprocess.run([name, *options.get(name, []), str(path)], check=False).returncode:
                raise NotAvailable(f"The player {name} failed; is a sound device there?")
            return
    raise _no_player()


def _no_player() -> NotAvailable:
    names = ", ".join(_RAW)
    return NotAvailable(f"No player was found; install one of {names}, or use -o to write a file.", param="play")
