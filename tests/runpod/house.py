"""A worker's process under the platform, and a client of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx

from tests.runpod.plane import ENDED, ENDPOINT, KEY, WORKER_KEY, Job, Plane
from tests.waiting import PATIENCE_S, until

ROOT: Final = Path(__file__).resolve().parents[2]
HELLO: Final = "Good morning to all of you. The train leaves at nine."


@dataclass
class Client:
    """Somebody who uses the endpoint."""

    plane: Plane
    http: httpx.Client

    def call(self, method: str, path: str, **more: Any) -> httpx.Response:
        return self.http.request(method, f"{self.plane.url}/v2/{ENDPOINT}/{path}", **more)

    def run(self, asked: Mapping[str, Any] | None = None, /, **top: Any) -> Job:
        """A job in the queue; `top` stands beside `input`."""
        answer = self.call("POST", "run", json={"input": dict(asked or {}), **top})
        assert answer.status_code == 200, answer.text
        return self.plane.jobs[answer.json()["id"]]

    def ended(self, job: Job) -> Job:
        """The job when it has ended."""
        until(lambda: job.status in ENDED)
        return job

    def done(self, asked: Mapping[str, Any] | None = None, /, **top: Any) -> dict[str, Any]:
        """The last document of a job that succeeded."""
        job = self.ended(self.run(asked, **top))
        assert job.status == "COMPLETED", job.error
        document: dict[str, Any] = job.output[-1]
        return document

    def failed(self, asked: Mapping[str, Any] | None = None, /, **top: Any) -> str:
        """The sentence of a job that did not."""
        job = self.ended(self.run(asked, **top))
        assert job.status == "FAILED", job.output
        assert job.error is not None
        return job.error

    def stream(self, job: Job) -> Iterator[dict[str, Any]]:
        """The job's items as `/stream` gives them out, until it has ended."""
        while True:
            told = self.call("GET", f"stream/{job.id}").json()
            for item in told["stream"]:
                yield item["output"]
            if told["status"] in ENDED and not told["stream"]:
                return


@dataclass
class Process:
    """A running `python handler.py`."""

    plane: Plane
    pod: str
    popen: subprocess.Popen[bytes]
    written: Path
    volume: Path
    over: bool = field(default=False)

    def log(self) -> str:
        """All that it has written."""
        return self.written.read_text("utf-8", "replace")

    def running(self) -> bool:
        return self.popen.poll() is None

    def is_taking(self) -> bool:
        """Whether it has asked for jobs; its pings begin earlier, before it hears what asks it to stop."""
        return self.pod in self.plane.takers

    def polls(self) -> int:
        """Its questions for jobs that the platform holds open."""
        return self.plane.polls.count(self.pod)

    def begun(self) -> list[str]:
        """The pieces that the engine `tones` ever began to speak on this volume."""
        file = self.volume / "opened"
        return file.read_text().splitlines() if file.exists() else []

    def lanes(self) -> int:
        """Lanes of the engine `tones` that are open."""
        return int((self.volume / "lanes").read_text() or 1)

    def go(self) -> None:
        """Let the pieces be spoken that are held."""
        (self.volume / "go").touch()

    def ended(self) -> int:
        """Its exit status, once it has one."""
        return self.popen.wait(PATIENCE_S)

    def kill(self) -> None:
        """As a host that fails: the whole container is gone, and the platform notices."""
        os.killpg(self.popen.pid, signal.SIGKILL)
        self.popen.wait(PATIENCE_S)
        self.plane.lost(self.pod)

    def stop(self) -> None:
        """As the platform asks it to end."""
        self.popen.send_signal(signal.SIGTERM)

    def children(self) -> list[int]:
        """The processes that it has started."""
        return [int(pid) for pid in Path(f"/proc/{self.popen.pid}/task/{self.popen.pid}/children").read_text().split()]

    def resident(self) -> int:
        """Bytes of memory that it holds."""
        return _memory(self.popen.pid, "VmRSS")

    def most_resident(self) -> int:
        """Bytes of memory that it held at most."""
        return _memory(self.popen.pid, "VmHWM")

    def forget_most_resident(self) -> None:
        """Count from here (proc(5), "clear_refs")."""
        Path(f"/proc/{self.popen.pid}/clear_refs").write_text("5")


def environment(plane: Plane, pod: str) -> dict[str, str]:
    """What the platform sets for a worker."""
    return {
        "RUNPOD_WEBHOOK_GET_JOB": f"{plane.url}/w/job-take/{pod}?gpu=x",
        "RUNPOD_WEBHOOK_POST_OUTPUT": f"{plane.url}/w/job-done/$RUNPOD_POD_ID/$ID?gpu=x",
        "RUNPOD_WEBHOOK_POST_STREAM": f"{plane.url}/w/job-stream/$RUNPOD_POD_ID/$ID?gpu=x",
        "RUNPOD_WEBHOOK_PING": f"{plane.url}/w/ping/$RUNPOD_POD_ID",
        "RUNPOD_PING_INTERVAL": "1000",
        "RUNPOD_POD_ID": pod,
        "RUNPOD_POD_HOSTNAME": f"{pod}-host",
        "RUNPOD_ENDPOINT_ID": ENDPOINT,
        "RUNPOD_AI_API_KEY": WORKER_KEY,
        # They want an outside address, and 4 GB of memory free.
        "RUNPOD_SKIP_AUTO_SYSTEM_CHECKS": "true",
        "RUNPOD_SKIP_GPU_CHECK": "true",
    }


@contextmanager
def worker(plane: Plane, folder: Path, *arguments: str, taking: bool = True, **settings: Any) -> Iterator[Process]:
    """A worker with nothing of the tests' own environment, from when it takes jobs; killed in the end."""
    kept = {name: os.environ[name] for name in ("HOME", "LANG", "LC_ALL", "PATH", "TMPDIR") if name in os.environ}
    pod = f"pod{uuid.uuid4().hex[:10]}"
    written = folder / f"{pod}.log"
    volume = folder / "volume"
    volume.mkdir(exist_ok=True)
    engines = settings.pop("engines", "")
    program = settings.pop("program", "handler.py")
    path = {"PYTHONPATH": os.pathsep.join([engines, str(ROOT)])} if engines else {}
    with written.open("wb") as out:
        popen = subprocess.Popen(
            [sys.executable, "-u", *(["-P"] if program != "handler.py" else []), str(ROOT / program), *arguments],
            env={**kept, **environment(plane, pod), "OSCINE_VOLUME": str(volume), **path, **settings},
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    found = Process(plane, pod, popen, written, volume)
    try:
        if taking:
            until(lambda: found.is_taking() or not found.running())
            assert found.running(), found.log()
        yield found
    finally:
        if found.running():
            os.killpg(popen.pid, signal.SIGKILL)
            popen.wait()
        plane.workers.pop(pod, None)


@contextmanager
def client(plane: Plane) -> Iterator[Client]:
    """A client with the right key; without certificates, whose loading takes longer than most answers."""
    headers = {"Authorization": f"Bearer {KEY}"}
    with httpx.Client(headers=headers, timeout=PATIENCE_S, verify=False) as http:
        yield Client(plane, http)


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended may still be in the table, where nobody asks for its status."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _memory(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith(f"{name}:")))
