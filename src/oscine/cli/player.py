"""Playing sound with a player that is installed."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Final

import numpy as np

from oscine.audio.waveform import Waveform
from oscine.errors import NotAvailable

_RAW: Final = {
    "paplay": ["--raw", "--format=s16le", "--channels=1", "--rate={rate}"],
    "aplay": ["-q", "-t", "raw", "-f", "S16_LE", "-c", "1", "-r", "{rate}"],
    "ffplay": ["-nodisp", "-autoexit", "-loglevel", "error", "-f", "s16le", "-ar", "{rate}", "-i", "-"],
    "mpv": [
        "--no-terminal",
        "--demuxer=rawaudio",
        "--demuxer-rawaudio-rate={rate}",
        "--demuxer-rawaudio-channels=1",
        "-",
    ],
    "play": ["-q", "-t", "raw", "-e", "signed", "-b", "16", "-c", "1", "-r", "{rate}", "-"],
    "pw-cat": ["--playback", "--raw", "--format=s16", "--channels=1", "--rate={rate}", "-"],
}
"""Players that take raw samples on standard input, the best first; pw-cat knows `--raw` only since PipeWire 1.0."""
_FILES: Final = ("afplay", "ffplay", "mpv", "play", "paplay", "aplay")
"""Players that take a file, the best first."""
_NO_DEVICE: Final = b"audio open failed"
"""What ffplay says without a sound device, before it ends as if all were well."""


class Player:
    """A running player that is fed samples. Use it with `with`: leaving it waits until all was played."""

    def __init__(self, command: str) -> None:
        self.name = command
        self._process: subprocess.Popen[bytes] | None = None
        self._said: IO[bytes] | None = None

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
            self._process = self._start(waveform.sample_rate)
        assert self._process.stdin is not None
        try:
            self._process.stdin.write((np.clip(waveform.samples, -1, 1) * 32767).round().astype("<i2").tobytes())
            self._process.stdin.flush()
        except BrokenPipeError:
            raise _failed(self.name) from None

    def __enter__(self) -> Player:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._process is None or self._said is None:
            return
        with self._said as said:
            assert self._process.stdin is not None
            if kind is not None:
                self._process.kill()
            with suppress(BrokenPipeError):
                self._process.stdin.close()
            failed = self._process.wait() != 0
            said.seek(0)
            if kind is None and (failed or _NO_DEVICE in said.read()):
                raise _failed(self.name)

    def _start(self, rate: int) -> subprocess.Popen[bytes]:
        arguments = [part.format(rate=rate) for part in _RAW[self.name]]
        self._said = TemporaryFile()  # noqa: SIM115  closed where the player ends
        return subprocess.Popen(
            [self.name, *arguments], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=self._said
        )


def player_of_files() -> str | None:
    """The player for finished files, where none is here that plays sound while it is made."""
    if any(shutil.which(name) for name in _RAW):
        return None
    return next((name for name in _FILES if shutil.which(name)), None)


def check_player() -> None:
    """Find out before anything is spoken whether a finished file can be played. Raises NotAvailable."""
    if not any(shutil.which(name) for name in _FILES):
        raise _no_player()


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
            command = [name, *options.get(name, []), str(path.absolute())]
            done = subprocess.run(command, check=False, stdin=subprocess.DEVNULL, capture_output=True)
            if done.returncode or _NO_DEVICE in done.stderr:
                raise _failed(name)
            return
    raise _no_player()


def _failed(name: str) -> NotAvailable:
    return NotAvailable(
        f"The player {name} could not play; is a sound device there? Use -o to write a file.", param="play"
    )


def _no_player() -> NotAvailable:
    names = ", ".join(_RAW)
    return NotAvailable(f"No player was found; install one of {names}, or use -o to write a file.", param="play")
