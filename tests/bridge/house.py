"""The bridge as it is deployed, in the runtime of Cloudflare, between a client and the platform."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx

from tests.bridge.gate import Gate
from tests.runpod.plane import ENDPOINT, KEY

ROOT: Final = Path(__file__).resolve().parents[2]
BRIDGE: Final = ROOT / "bridge"
MODULES: Final = BRIDGE / "node_modules"
CLIENT_KEY: Final = "sk-client"
OTHER_KEY: Final = "sk-other"
TEXT: Final = "Good morning to all of you. The train leaves at nine."
SEED: Final = 7
MEDIA_TYPES: Final = {
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm;rate=24000",
}


def node() -> str:
    """The Node that `make` found or brought."""
    told = MODULES / ".node"
    assert told.exists(), "the bridge's tools are not here: run `make bridge/node_modules/.node`"
    return told.read_text().strip()


@dataclass(frozen=True)
class Bundle:
    """What `wrangler deploy` would send."""

    script: Path
    date: str
    flags: tuple[str, ...]
    said: str


def bundled(folder: Path, voices: str | None = None) -> Bundle:
    """The bundle of the bridge as README.md deploys it, made by `wrangler deploy --dry-run`."""
    copy = folder / "bridge"
    shutil.copytree(BRIDGE, copy, ignore=shutil.ignore_patterns("node_modules", ".wrangler", "wrangler.toml"))
    example = copy / "wrangler.toml.example"
    shutil.copy(example, copy / "wrangler.toml")
    if voices is not None:
        (copy / "voices.json").write_text(voices)
    done = subprocess.run(
        [node(), MODULES / "wrangler" / "bin" / "wrangler.js", "deploy", "--dry-run", "--outdir", folder / "out"],
        cwd=copy,
        env={**os.environ, "CI": "1", "WRANGLER_SEND_METRICS": "false", "WRANGLER_LOG_PATH": str(folder / "logs")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told = tomllib.loads(example.read_text())
    flags = tuple(told["compatibility_flags"])
    return Bundle(folder / "out" / "worker.js", told["compatibility_date"], flags, done.stdout + done.stderr)


@dataclass
class Bridge:
    """A bridge that runs."""

    url: str
    pid: int = 0
    """Of the process that runs the runtime."""
    log: list[dict[str, Any]] = field(default_factory=list)
    """Its lines that are JSON."""
    said: list[str] = field(default_factory=list)
    """All its lines."""

    def client(self, key: str | None = CLIENT_KEY, **more: Any) -> httpx.Client:
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=120, verify=False, **more)

    def speech(self, key: str | None = CLIENT_KEY, **fields: Any) -> httpx.Response:
        """An answer as a whole."""
        with self.client(key) as http:
            return http.post("/v1/audio/speech", json=asked(**fields))


def asked(**fields: Any) -> dict[str, Any]:
    """A request as OpenAI's packages send it, with a seed."""
    body = {"model": "tts-1", "voice": "alloy", "input": TEXT, "seed": SEED, **fields}
    return {name: value for name, value in body.items() if value is not ...}


@contextmanager
def running(
    bundle: Bundle,
    upstream: str,
    *,
    kv: str | None = None,
    r2: Mapping[str, str | None] | None = None,
    **settings: str | None,
) -> Iterator[Bridge]:
    """The bridge in workerd, before the endpoint at `upstream`; a setting that is None is left out."""
    bindings = {
        "RUNPOD_URL": upstream,
        "RUNPOD_API_KEY": KEY,
        "OSCINE_API_KEYS": f"{OTHER_KEY},{CLIENT_KEY}",
        **settings,
    }
    told = {
        "script": bundle.script.name,
        "date": bundle.date,
        "flags": bundle.flags,
        "bindings": {name: value for name, value in bindings.items() if value is not None},
        "kv": kv,
        "r2": dict(r2 or {}),
    }
    process = subprocess.Popen(
        [node(), Path(__file__).with_name("serve.mjs"), BRIDGE],
        cwd=bundle.script.parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(json.dumps(told) + "\n")
        process.stdin.flush()
        url = process.stdout.readline().strip()
        assert url.startswith("http://"), url + process.stdout.read()
        found = Bridge(url, process.pid)
        reader = threading.Thread(target=_follow, args=(process.stdout, found), daemon=True)
        reader.start()
        yield found
    finally:
        process.stdin.close()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def _follow(lines: Any, found: Bridge) -> None:
    for line in lines:
        found.said.append(line)
        try:
            told = json.loads(line)
        except ValueError:
            continue
        if isinstance(told, dict):
            found.log.append(told)


def endpoint_of(gate: Gate) -> str:
    """What RUNPOD_URL says."""
    return f"{gate.url}/v2/{ENDPOINT}"
