"""Recordings from outside, decoded in a process of their own.

FFmpeg can make gigabytes of index of the few hundred bytes of an MP4 file, and be busy for an hour with the tags of a
FLAC; nothing in its own process can call it back. Here memory and processor time end it, and a file that it crashes on
is refused like any other.
"""

from __future__ import annotations

import atexit
import json
import math
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any, Final

import numpy as np

from oscine.audio.decode import Limits, decode
from oscine.audio.waveform import Waveform
from oscine.errors import Busy, InvalidRequest

_MEMORY: Final = 1_000_000_000
"""Bytes that a recording may take; two minutes at 96 kHz take 0.3 GB. Only Linux knows such a limit."""
_CPU_S: Final = 5
"""Seconds of processor time; two minutes of Opus take 0.5."""
_PATIENCE_S: Final = 120.0
"""After which a process is ended that takes no processor time either, or runs where that has no limit."""
_AT_ONCE: Final = max(2, min(4, os.cpu_count() or 1))
_LENGTH: Final = 4
"""Bytes of a number that says how long the JSON behind it is."""


class Decoders:
    """Processes that decode; each is kept for the next recording. For any number of threads."""

    def __init__(
        self,
        *,
        at_once: int = _AT_ONCE,
        memory: int = _MEMORY,
        cpu_s: int = _CPU_S,
        patience_s: float = _PATIENCE_S,
    ) -> None:
        self._most = {"memory": memory, "cpu_s": cpu_s}
        self._patience_s = patience_s
        self._room = threading.BoundedSemaphore(at_once)
        self._lock = threading.Lock()
        self._idle: list[_Process] = []

    def decode(self, data: bytes, limits: Limits, *, field: str = "audio") -> Waveform:
        """As `decode.decode`; also raises InvalidRequest for what takes too much to read, or crashes FFmpeg.

        Raises Busy where the machine has no room for a process.
        """
        if len(data) > limits.max_bytes:
            return decode(data, limits, field=field)  # which refuses it unread
        with self._room:
            try:
                process = self._taken()
            except (FileNotFoundError, PermissionError):  # within an application that is one file there is no Python
                return decode(data, limits, field=field)
            except OSError:  # no more files or memory: whoever has used them up must not be decoded here
                raise Busy(f"{field} cannot be decoded at the moment; try again later.", retry_after=5.0) from None
            try:
                waveform = process.decoded(data, limits, field, self._most, self._patience_s)
            except (EOFError, OSError):
                process.end()
                raise _too_much(field) from None
            except InvalidRequest:
                self._kept(process)
                raise
            except BaseException:
                process.end()
                raise
            self._kept(process)
            return waveform

    def close(self) -> None:
        """End the processes that do nothing; a later call starts others."""
        with self._lock:
            idle, self._idle = self._idle, []
        for process in idle:
            process.end()

    def _taken(self) -> _Process:
        with self._lock:
            while self._idle:
                process = self._idle.pop()
                if process.lives:
                    return process
                process.end()
        return _Process()

    def _kept(self, process: _Process) -> None:
        with self._lock:
            self._idle.append(process)


_decoders: Final = Decoders()
atexit.register(_decoders.close)


def decode_apart(data: bytes, limits: Limits, *, field: str = "audio") -> Waveform:
    """See `Decoders.decode`."""
    return _decoders.decode(data, limits, field=field)


class _Process:
    """A process that runs `main`. Raises OSError where it cannot be started."""

    def __init__(self) -> None:
        # With the paths of this process, however it came to them.
        code = f"import sys; sys.path[:] = {sys.path!r}; from oscine.audio.apart import main; main()"
        self._process = subprocess.Popen(
            [sys.executable or "", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._asked, self._told = self._process.stdin, self._process.stdout

    @property
    def lives(self) -> bool:
        """Whether it can be asked."""
        return self._process.poll() is None

    def decoded(self, data: bytes, limits: Limits, field: str, most: dict[str, int], patience_s: float) -> Waveform:
        """The recording. Raises InvalidRequest, and EOFError or OSError where the process has ended."""
        late = threading.Timer(patience_s, self._process.kill)
        late.start()
        try:
            _put(self._asked, {"size": len(data), "limits": asdict(limits), "field": field, **most}, data)
            told = _head(self._told)
            if "refused" in told:
                raise InvalidRequest(told["refused"], param=field)
            if "failed" in told:
                raise RuntimeError(f"a recording could not be decoded ({told['failed']})")
            return Waveform(np.frombuffer(_exactly(self._told, told["size"]), np.float32), told["sample_rate"])
        finally:
            late.cancel()

    def end(self) -> None:
        """Leave nothing of it."""
        self._process.kill()
        for pipe in (self._asked, self._told):
            with suppress(OSError):
                pipe.close()
        self._process.wait()


def main() -> None:
    """Decode what comes on standard input until that ends."""
    for number in (signal.SIGINT, signal.SIGTERM):  # the one that asks is told too, and may have to finish
        signal.signal(number, signal.SIG_IGN)
    asked, told = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what others print is no answer
    with suppress(EOFError, BrokenPipeError):
        while True:
            wish = _head(asked)
            data = _exactly(asked, wish["size"])
            _bound(wish["memory"], wish["cpu_s"])
            try:
                waveform = decode(data, Limits(**wish["limits"]), field=wish["field"])
            except InvalidRequest as error:
                _put(told, {"refused": error.message})
            except MemoryError:
                _put(told, {"refused": _too_much(wish["field"]).message})
            except Exception as error:
                _put(told, {"failed": type(error).__name__})
            else:
                sound = waveform.samples.tobytes()
                _put(told, {"size": len(sound), "sample_rate": waveform.sample_rate}, sound)
                del waveform, sound
            del data


def _bound(memory: int, cpu_s: int) -> None:
    """Take at most so much more, where the system has such limits."""
    try:
        import resource
    except ImportError:  # Windows
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    wanted = [(resource.RLIMIT_CORE, 0), (resource.RLIMIT_CPU, math.ceil(used.ru_utime + used.ru_stime) + cpu_s)]
    with suppress(OSError):
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
        wanted.append((resource.RLIMIT_AS, pages * resource.getpagesize() + memory))
    for limit, most in wanted:
        _, hard = resource.getrlimit(limit)
        with suppress(OSError, ValueError):
            resource.setrlimit(limit, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def _put(pipe: IO[bytes], head: dict[str, Any], body: bytes = b"") -> None:
    text = json.dumps(head).encode()
    pipe.write(len(text).to_bytes(_LENGTH, "big") + text)
    pipe.write(body)
    pipe.flush()


def _head(pipe: IO[bytes]) -> dict[str, Any]:
    length = int.from_bytes(_exactly(pipe, _LENGTH), "big")
    head: dict[str, Any] = json.loads(_exactly(pipe, length))
    return head


def _exactly(pipe: IO[bytes], size: int) -> bytes:
    """So many bytes. Raises EOFError where the other side ends before."""
    data = pipe.read(size)
    if len(data) < size:
        raise EOFError
    return data


def _too_much(field: str) -> InvalidRequest:
    return InvalidRequest(
        f"{field} takes more time or memory to read than a recording does; export it again, without pictures and tags.",
        param=field,
    )
