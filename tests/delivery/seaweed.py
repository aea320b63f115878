"""A real S3 server for tests: SeaweedFS, which checks signatures and the times of links."""

from __future__ import annotations

import http.client
import json
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

BUCKET = "speech"
OWNER = ("OWNERKEY", "owner-secret")
"""May make buckets."""
WRITER = ("WRITERKEY", "writer-secret")
"""May read and write in any bucket that is there."""
READER = ("READERKEY", "reader-secret")
"""May only read."""
NOBODY = "http://127.0.0.1:1"
"""Where nobody listens: a port that is given to nobody who asks for a free one."""
_START_SECONDS = 120
_PATIENCE_S = 60
_ATTEMPTS = 5
_PORTS = range(10_000, 32_768)
"""Below those that systems hand out by themselves (Linux from 32768, others from 49152)."""


class Seaweed:
    """A server with a bucket; its ports stay the same when it is started again."""

    def __init__(self, folder: Path, *, options: tuple[str, ...] = ()) -> None:
        self.folder = folder
        self.bucket = BUCKET
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self._names = ("master", "master.grpc", "volume", "volume.grpc", "filer", "filer.grpc", "s3", "s3.grpc")
        self._ports: dict[str, int] = {}
        (folder / "data").mkdir()
        identities = [
            {"name": name, "credentials": [{"accessKey": key, "secretKey": secret}], "actions": actions}
            for name, (key, secret), actions in (
                ("owner", OWNER, ["Admin"]),
                ("writer", WRITER, ["Read", "Write", "List"]),
                ("reader", READER, ["Read", "List"]),
            )
        ]
        (folder / "s3.json").write_text(json.dumps({"identities": identities}))

    @property
    def url(self) -> str:
        """Its address for S3."""
        return f"http://127.0.0.1:{self._ports['s3']}"

    @property
    def port(self) -> int:
        return self._ports["s3"]

    def start(self) -> None:
        """Start it, and wait until it answers; where somebody took one of its ports meanwhile, on others."""
        for attempt in range(1, _ATTEMPTS + 1):
            stays = bool(self._ports)
            if not stays:
                self._ports = dict(zip(self._names, _free_ports(len(self._names)), strict=True))
            self._launch()
            if self._answers():
                return
            self.kill()
            told = (self.folder / "weed.log").read_text()
            if stays or attempt == _ATTEMPTS or "address already in use" not in told:
                raise RuntimeError(f"SeaweedFS does not start:\n{told[-2000:]}")
            self._ports.clear()

    def _launch(self) -> None:
        log = (self.folder / "weed.log").open("ab")
        ports = [
            f"-{name.removesuffix('.grpc')}.port{'.grpc' if name.endswith('.grpc') else ''}={port}"
            for name, port in self._ports.items()
        ]
        with log:
            self._process = subprocess.Popen(
                [
                    str(Path(sys.executable).with_name("weed")),
                    "server",
                    f"-dir={self.folder / 'data'}",
                    "-ip=127.0.0.1",
                    "-ip.bind=127.0.0.1",
                    "-s3",
                    f"-s3.config={self.folder / 's3.json'}",
                    "-s3.port.iceberg=0",
                    "-s3.port.lance=0",
                    "-s3.iam=false",
                    "-master.telemetry=false",
                    "-master.electionTimeout=1s",
                    "-master.heartbeatInterval=100ms",
                    "-master.volumeSizeLimitMB=64",
                    "-volume.max=20",
                    *ports,
                    *self._options,
                ],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )

    def _answers(self) -> bool:
        """Wait until it does; False: it ended before, or takes too long."""
        assert self._process is not None
        end = time.monotonic() + _START_SECONDS
        while not self._serves():
            if time.monotonic() > end or self._process.poll() is not None:
                return False
            time.sleep(0.1)
        return True

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None
            # Killed, it leaves its sockets behind, which lie where every process of this machine has them.
            for port in self._ports.values():
                for path in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                    path.unlink(missing_ok=True)

    def files(self, folder: str = "") -> list[str]:
        """What the bucket holds, as its own file system lists it."""
        found = self._filer(f"/buckets/{self.bucket}/{folder}?limit=1000", accept="application/json")
        return [Path(entry["FullPath"]).name for entry in (found or {}).get("Entries") or ()]

    def unfinished(self) -> list[str]:
        """Uploads in parts that nobody has completed or aborted."""
        return self.files(".uploads/")

    def left(self) -> list[str]:
        """Those that stay so: whoever aborts one may be gone before the server has heard of it."""
        end = time.monotonic() + _PATIENCE_S
        while (found := self.unfinished()) and time.monotonic() < end:
            time.sleep(0.02)
        return found

    def settings(self, **others: Any) -> dict[str, Any]:
        """What `Settings` takes to use it."""
        return {
            "s3_endpoint_url": self.url,
            "s3_access_key_id": WRITER[0],
            "s3_secret_access_key": WRITER[1],
            "s3_bucket_name": self.bucket,
            **others,
        }

    def _serves(self) -> bool:
        """Whether a file can be written: all of its parts have found each other."""
        from datetime import timedelta

        from obstore import put, sign
        from obstore.exceptions import BaseError
        from obstore.store import S3Store

        store = S3Store(
            self.bucket,
            endpoint=self.url,
            region="us-east-1",
            access_key_id=OWNER[0],
            secret_access_key=OWNER[1],
            client_options={"allow_http": True, "timeout": timedelta(seconds=5)},
            retry_config={"max_retries": 0},
        )
        try:
            with urllib.request.urlopen(f"{self.url}/healthz", timeout=2):
                pass
            link = sign(store, "PUT", "", timedelta(seconds=60))
            with urllib.request.urlopen(urllib.request.Request(link, method="PUT"), timeout=5):
                pass
        except urllib.error.HTTPError as error:
            error.close()
            if error.code != 409:  # the bucket is there
                return False
        except (OSError, http.client.HTTPException):
            return False
        try:
            put(store, "ready", b"yes")
            store.delete("ready")
        except BaseError:
            return False
        return True

    def _filer(self, path: str, *, accept: str) -> dict[str, Any] | None:
        request = urllib.request.Request(f"http://127.0.0.1:{self._ports['filer']}{path}", headers={"Accept": accept})
        try:
            with urllib.request.urlopen(request, timeout=_PATIENCE_S) as answer:
                found: dict[str, Any] = json.load(answer)
                return found
        except urllib.error.HTTPError as error:
            error.close()
            return None


@contextmanager
def seaweed(folder: Path, *, options: tuple[str, ...] = ()) -> Iterator[Seaweed]:
    """A server that runs meanwhile."""
    server = Seaweed(folder, options=options)
    try:
        server.start()
        yield server
    finally:
        server.kill()


def _free_ports(count: int) -> list[int]:
    """Ports that nobody uses at this moment, and that nobody is given who asks for any."""
    held: list[socket.socket] = []
    try:
        while len(held) < count:
            one = socket.socket()
            try:
                one.bind(("127.0.0.1", random.SystemRandom().choice(_PORTS)))
            except OSError:
                one.close()
            else:
                held.append(one)
        return [each.getsockname()[1] for each in held]
    finally:
        for each in held:
            each.close()
