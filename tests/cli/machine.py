"""A user's machine: a home, a folder for speech, a folder to work in, and the real command."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from tests.waiting import PATIENCE_S

OSCINE = str(Path(sys.executable).with_name("oscine"))
REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: bytes
    err: str

    @property
    def lines(self) -> list[str]:
        """What it said on standard error."""
        return self.err.splitlines()

    @property
    def said(self) -> str:
        """What it said on standard output."""
        return self.out.decode()


@dataclass
class Machine:
    """Where the command runs; nothing of the real user's is seen or touched."""

    folder: Path
    variables: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for place in (self.work, self.home):
            place.mkdir(parents=True, exist_ok=True)

    @property
    def work(self) -> Path:
        return self.folder / "work"

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def volume(self) -> Path:
        return self.folder / "volume"

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name in ("LANG", "LC_ALL", "PATH", "TMPDIR")}
        return {
            **kept,
            "HOME": str(self.home),
            "XDG_CACHE_HOME": str(self.home / "cache"),
            "OSCINE_VOLUME": str(self.volume),
            **self.variables,
        }

    def start(
        self,
        *arguments: str | bytes | Path,
        before: Callable[[], object] | None = None,
        variables: Mapping[str, str] | None = None,
        stdin: int | None = subprocess.PIPE,
        stdout: int | None = subprocess.PIPE,
        stderr: int | None = subprocess.PIPE,
        through: Sequence[str] = (),
    ) -> subprocess.Popen[bytes]:
        """Start `oscine ARGUMENTS`; `before` runs in the child, `through` is a command that runs it."""

        def prepare() -> None:
            signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where tests run in the background
            if before is not None:
                before()

        return subprocess.Popen(
            [*through, OSCINE, *arguments],
            cwd=self.work,
            env={**self.environment, **(variables or {})},
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            preexec_fn=prepare,
        )

    def oscine(
        self,
        *arguments: str | bytes | Path,
        typed: bytes = b"",
        before: Callable[[], object] | None = None,
        variables: Mapping[str, str] | None = None,
        through: Sequence[str] = (),
    ) -> Ended:
        """Run `oscine ARGUMENTS` to its end."""
        with self.start(*arguments, before=before, variables=variables, through=through) as process:
            try:
                out, err = process.communicate(typed, timeout=PATIENCE_S)
            except BaseException:
                process.kill()
                raise
        return Ended(process.returncode, out, err.decode("utf-8", "backslashreplace"))

    def oscine_many(self, cases: Mapping[str, Sequence[str | bytes]]) -> dict[str, tuple[Machine, Ended]]:
        """Run many command lines, each on a fresh machine inside this one, in less time; see `forks`."""
        machines = {name: Machine(self.folder / f"machine{number}") for number, name in enumerate(cases)}
        wanted = [
            (str(machines[name].folder), machines[name].environment, [os.fsdecode(each) for each in arguments])
            for name, arguments in cases.items()
        ]
        done = subprocess.run(
            [sys.executable, Path(__file__).with_name("forks.py")],
            input=json.dumps(wanted).encode(),
            capture_output=True,
            timeout=2 * PATIENCE_S,
            check=True,
        )
        ends = [Ended(code, out.encode(), err) for code, out, err in json.loads(done.stdout)]
        return {name: (machines[name], end) for name, end in zip(cases, ends, strict=True)}

    def pieces(self) -> list[Path]:
        """The finished pieces that are kept."""
        return sorted((self.volume / "spool" / "pieces").glob("*/*.osp"))

    def unfinished(self) -> list[str]:
        """Files that are still being written, or were left so."""
        return sorted(
            str(path.relative_to(self.folder))
            for path in self.folder.rglob("*")
            if path.is_file() and (path.name.startswith(".") or path.suffix in (".part", ".tmp"))
        )


@contextmanager
def terminal(*, columns: int = 100) -> Iterator[tuple[int, Callable[[], str]]]:
    """A pseudo-terminal: the end for the command, and what was shown on it so far."""
    import fcntl
    import pty
    import struct
    import termios

    mine, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    os.set_blocking(mine, False)
    shown: list[bytes] = []

    def read() -> str:
        while True:
            try:
                data = os.read(mine, 65536)
            except OSError:
                break
            if not data:
                break
            shown.append(data)
        return b"".join(shown).decode("utf-8", "replace")

    try:
        yield theirs, read
    finally:
        os.close(mine)
        os.close(theirs)


def powerless() -> None:
    """In a child: give up what lets root write everywhere, so that permissions bind as they do for users."""
    if os.geteuid() == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        for capability in range(64):
            libc.prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP: exec gives root back only what is in the set


def decoded(path: Path, *, raw_rate: int = 24_000) -> tuple[NDArray[np.float32], int]:
    """Samples and rate of an audio file, by FFmpeg's decoders."""
    if path.suffix == ".pcm":
        return np.frombuffer(path.read_bytes(), "<i2").astype(np.float32) / np.float32(32768), raw_rate
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        parts = [frame.to_ndarray() for frame in container.decode(stream)]
        rate = stream.rate
    sound = np.concatenate(parts, axis=1)[0]
    return sound.astype(np.float32) / np.float32(32768 if sound.dtype == np.int16 else 1), rate


def tags_of(path: Path) -> dict[str, str]:
    """The tags of a file, wherever the container keeps them, by lower-case name."""
    with av.open(str(path)) as container:
        found = {**container.metadata, **container.streams.audio[0].metadata}
    return {name.lower(): value for name, value in found.items()}
