#!/usr/bin/env python3
"""Try a RunPod endpoint: does it keep what docs/deploy-runpod.md promises? One verdict for each item, then a table.

    RUNPOD_API_KEY=... python scripts/try_endpoint.py ENDPOINT_ID

Needs Python 3.11 or newer and nothing else. The key is read from RUNPOD_API_KEY alone and never printed, nor are links,
which are keys to a file. It speaks about a dozen short texts, one of a few minutes and the start of a long one; with
--voices it also adds a recording of its own speech to the volume and deletes it again.

Exit code: 0 all items passed or were skipped; 1 one failed; 2 the endpoint could not be tried at all; 130 Ctrl-C.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import contextlib
import http.client
import json
import math
import os
import re
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

RUNPOD: Final = "https://api.runpod.ai/v2"
ENDED: Final = ("COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT")
TELL_S: Final = 30.0
"""How often whoever waits is told so: a worker's first start takes many minutes."""
ITEM_BYTES: Final = 700_000
"""What an item of a stream has at most: the platform takes 1 MB."""
RESULT: Final = frozenset(
    {"status", "filename", "format", "sample_rate", "duration_sec", "warnings", "segments", "metadata"}
)
METADATA: Final = frozenset(
    {
        *("sample_rate", "codec", "bitrate", "duration", "device", "engine", "model", "voice", "seed", "chunks"),
        *("characters", "loudness_lufs", "true_peak_dbtp", "synthesis_seconds", "real_time_factor", "queue_seconds"),
    }
)
CHECKS: Final = frozenset({"configuration", "hardware", "s3", "checkpoints"})
SHORT: Final = "Good morning. This is a short text, spoken to see whether everything works."
SENTENCE: Final = "The rainbow is a division of white light into many beautiful colours, said the book. "
CANCELLED_CHARACTERS: Final = 60_000
"""Of the text that is cancelled: an hour of speech, so that no engine is done before the request to cancel is there."""
LEAKS: Final = {
    "a traceback": re.compile(r'Traceback \(most recent|File \\?"[^"]+\\?", line \d+'),
    "a path": re.compile(r"(?<![\w:/])/(?:runpod-volume|workspace|home|root|usr|opt|tmp|app|var|mnt)/"),
    "an address": re.compile(r"https?://|\b\d{1,3}(?:\.\d{1,3}){3}\b"),
}
MAGIC: Final = {
    "mp3": (b"ID3", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2"),
    "opus": (b"OggS",),
    "aac": (b"\xff\xf1", b"\xff\xf9"),
    "flac": (b"fLaC",),
    "wav": (b"RIFF",),
    "pcm": (b"",),
}


class Failed(Exception):
    """The endpoint does not do what is promised; the message says what it does."""


class Skipped(Exception):
    """It cannot be told here; the message says why."""


class Stopped(Exception):
    """Nothing can be tried: no key, no endpoint, no worker."""


def expect(holds: object, what: str) -> None:
    """Raises Failed that says `what` is wrong where something does not hold."""
    if not holds:
        raise Failed(what)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """urllib would send the key on to wherever it is told to go."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


class Endpoint:
    """The platform's routes of one endpoint. Threads may share it."""

    def __init__(self, base: str, name: str, key: str | None, patience: float) -> None:
        self.base, self.name, self.patience = base.rstrip("/"), urllib.parse.quote(name, safe=""), patience
        self._key = key
        self.seen: list[str] = []
        """Every answer without its sound and its links, for what must never be in one."""
        self._open: set[str] = set()

    def run(self, fields: Mapping[str, Any], **more: Any) -> str:
        """Send a job; its id."""
        answer = self._call("run", {"input": fields, **more})
        expect(isinstance(answer.get("id"), str), f"/run gives no id but {_shown(answer)}")
        self._open.add(str(answer["id"]))
        return str(answer["id"])

    def wait(self, job: str, until: Sequence[str] = ENDED) -> dict[str, Any]:
        """The status of a job when it has ended, or has one of the states `until`."""
        pause, began, told = 0.1, time.monotonic(), TELL_S
        while True:
            answer = self._call(f"status/{job}")
            if answer.get("status") in (*until, *ENDED):
                if answer["status"] in ENDED:
                    self._open.discard(job)
                return answer
            waited = time.monotonic() - began
            if waited > self.patience:
                self._gave_up(job, answer.get("status"))
            if waited > told:
                print(f"a job is {answer.get('status')} for {waited:.0f} s", file=sys.stderr, flush=True)
                told += TELL_S
            time.sleep(pause)
            pause = min(2.0, pause * 1.3)

    def done(self, fields: Mapping[str, Any], **more: Any) -> dict[str, Any]:
        """Send a job and wait for its end."""
        return self.wait(self.run(fields, **more))

    def runsync(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Send a job and wait for its end in one request, as far as the platform waits."""
        answer = self._call("runsync", {"input": fields})
        if answer.get("status") in ENDED:
            return answer
        expect(isinstance(answer.get("id"), str), f"/runsync gives neither a result nor an id but {_shown(answer)}")
        return self.wait(str(answer["id"]))

    def stream(self, job: str) -> Iterator[Any]:
        """What a job yields, as it comes. Each answer holds only what is new."""
        pause, stop = 0.05, time.monotonic() + self.patience
        while True:
            answer = self._call(f"stream/{job}")
            items = answer.get("stream") or []
            yield from (item.get("output") if isinstance(item, dict) else item for item in items)
            if answer.get("status") in ENDED and not items:
                self._open.discard(job)
                return
            if time.monotonic() > stop:
                self._gave_up(job, answer.get("status"))
            pause = 0.05 if items else min(1.0, pause * 1.5)
            time.sleep(pause)

    def cancel(self, job: str) -> dict[str, Any]:
        """Ask for a job's end."""
        return self._call(f"cancel/{job}", {})

    def health(self) -> dict[str, Any]:
        """The platform's own figures."""
        return self._call("health")

    def leave(self) -> None:
        """Cancel what is not done: a job that nobody wants any more is not left to cost something."""
        while self._open:
            with contextlib.suppress(Failed, Stopped):
                self.cancel(self._open.pop())

    def _gave_up(self, job: str, state: object) -> NoReturn:
        self.leave()
        told = f"a job is {state} after {self.patience:.0f} s"
        if state == "IN_QUEUE":
            raise Stopped(f"{told}: no worker takes jobs; look at the workers' logs, or wait longer with --patience")
        raise Failed(told)

    def _call(self, operation: str, body: object = None) -> dict[str, Any]:
        headers = {"Accept": "application/json", "User-Agent": "oscine-try-endpoint/1"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        data = None
        if body is not None:
            data, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
        url = f"{self.base}/{self.name}/{operation}"
        attempts = 5
        for attempt in range(1, attempts + 1):
            request = urllib.request.Request(url, data=data, headers=headers)
            try:
                with _opener(url).open(request, timeout=330) as found:
                    return self._read(found.read(), operation)
            except urllib.error.HTTPError as error:
                told = error.read(2_000).decode("utf-8", "replace")
                if error.code in (401, 403):
                    raise Stopped(f"the key was refused ({error.code}); look at RUNPOD_API_KEY") from None
                if error.code == 404 and "/" not in operation:
                    raise Stopped("there is no such endpoint (404); look at ENDPOINT_ID and --url") from None
                # A job that arrived in spite of the error and is sent again would be spoken twice.
                passing = (429,) if data is not None else (429, 500, 502, 503, 504)
                if error.code not in passing or attempt == attempts:
                    raise Failed(f"/{operation.split('/')[0]} answers {error.code}: {told[:200]}") from None
            except (OSError, http.client.HTTPException) as error:
                if data is not None or attempt == attempts:
                    raise Stopped(f"the endpoint cannot be reached ({type(error).__name__}); look at --url") from None
            time.sleep(attempt)
        raise AssertionError

    def _read(self, data: bytes, operation: str) -> dict[str, Any]:
        try:
            answer = json.loads(data)
        except ValueError:
            raise Failed(f"/{operation.split('/')[0]} answers with no JSON") from None
        expect(isinstance(answer, dict), f"/{operation.split('/')[0]} answers with no object")
        self.seen.append(json.dumps(_bare(answer)))
        return dict(answer)


def fetch(url: str, part: str | None = None) -> tuple[int, Mapping[str, str], bytes]:
    """Status, headers by their names in lower case, and body of a link, as a player asks for it: without the key."""
    expect(url.startswith(("https://", "http://")), "the link is no address")
    headers = {"User-Agent": "oscine-try-endpoint/1", **({"Range": part} if part else {})}
    try:
        with _opener(url).open(urllib.request.Request(url, headers=headers), timeout=120) as found:
            return found.status, _lower(found.headers), found.read()
    except urllib.error.HTTPError as error:
        return error.code, _lower(error.headers), b""
    except (OSError, http.client.HTTPException) as error:
        raise Failed(f"the link cannot be fetched ({type(error).__name__})") from None


def _lower(headers: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _opener(url: str) -> urllib.request.OpenerDirector:
    local = [urllib.request.ProxyHandler({})] if _is_here(url) else []
    return urllib.request.build_opener(_NoRedirect, *local)


def _is_here(url: str) -> bool:
    return urllib.parse.urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")


def _bare(value: Any) -> Any:
    """An answer without what is long or secret in it: sound and links."""
    if isinstance(value, dict):
        hidden = ("audio_chunk", "audio_base64", "url", "audio_url")
        return {name: "…" if name in hidden else _bare(inner) for name, inner in value.items()}
    return [_bare(inner) for inner in value] if isinstance(value, list) else value


def _shown(value: Any) -> str:
    """An answer in a verdict."""
    return json.dumps(_bare(value), ensure_ascii=False)[:200]


@dataclass
class Trial:
    """What the items share."""

    endpoint: Endpoint
    common: Mapping[str, Any]
    """Fields that every request has: the voice and the engine that were asked for."""
    long_characters: int = 3_000
    jobs: int = 4
    voices: bool = False
    mark: str = field(default_factory=lambda: f"try-{uuid.uuid4().hex[:12]}")
    """What the sessions of this run begin with."""
    bare: bool = False
    """Whether the worker answers with one document instead of a list: OSCINE_SINGLE_RESULT."""
    _short: tuple[dict[str, Any], float] | None = None
    _streamed: tuple[str, list[dict[str, Any]], float] | None = None

    def asked(self, **fields: Any) -> dict[str, Any]:
        """The fields of a request."""
        return {**self.common, **fields}

    def document(self, answer: Mapping[str, Any]) -> dict[str, Any]:
        """The one document of a job that ended well."""
        expect(answer.get("status") == "COMPLETED", f"the job is {answer.get('status')}: {_shown(answer.get('error'))}")
        output = answer.get("output")
        if isinstance(output, dict):
            self.bare = True
            return output
        if not isinstance(output, list) or len(output) != 1 or not isinstance(output[0], dict):
            raise Failed(f"the output is not one document but {_shown(output)}")
        return output[0]

    def refused(self, fields: Mapping[str, Any]) -> str:
        """The sentence with which a job is refused."""
        answer = self.endpoint.done(fields)
        expect(answer.get("status") == "FAILED", f"{_shown(fields)} is {answer.get('status')} and not FAILED")
        error = answer.get("error")
        expect(isinstance(error, str) and error, f"the error is no sentence but {_shown(error)}")
        text = str(error)
        expect("\n" not in text and len(text) < 600 and text.endswith("."), f"the error is no sentence: {text[:200]}")
        for what, pattern in LEAKS.items():
            expect(not pattern.search(text), f"an error holds {what}")
        return text

    def short(self) -> tuple[dict[str, Any], float]:
        """The document of a short job, spoken once for all items, and how long it took in seconds."""
        if self._short is None:
            began = time.monotonic()
            answer = self.endpoint.done(self.asked(text=SHORT, session_id=f"{self.mark}-short"))
            self._short = self.document(answer), time.monotonic() - began
        return self._short

    def streamed(self) -> tuple[str, list[dict[str, Any]], float]:
        """Id and items of a streamed job, and the seconds from sending it to its first piece."""
        if self._streamed is None:
            self.short()
            if self.bare:
                raise Skipped("OSCINE_SINGLE_RESULT is set: the worker does not stream")
            began = time.monotonic()
            job = self.endpoint.run(self.asked(text=SHORT + " " + SENTENCE * 6, stream=True))
            items: list[dict[str, Any]] = []
            first = math.nan
            for item in self.endpoint.stream(job):
                first = time.monotonic() - began if not items else first
                expect(isinstance(item, dict), f"an item of the stream is no document but {_shown(item)}")
                items.append(item)
            self._streamed = job, items, first
        return self._streamed


def platform(trial: Trial) -> str:
    health = trial.endpoint.health()
    expect(isinstance(health.get("jobs"), dict) and isinstance(health.get("workers"), dict), _shown(health))
    return ", ".join(f"{count} {state}" for state, count in health["workers"].items() if count) or "no worker is up yet"


def health_check(trial: Trial) -> str:
    document = trial.document(trial.endpoint.done({"action": "health_check"}))
    checks = document.get("checks")
    expect({"status", "timestamp", "checks"} <= set(document), f"the document has {sorted(document)}")
    expect(isinstance(checks, dict) and set(checks) >= CHECKS, f"the checks are {_shown(checks)}")
    assert isinstance(checks, dict)
    for name, check in checks.items():
        status = check.get("status") if isinstance(check, dict) else None
        expect(status in ("pass", "warn", "fail") and isinstance(check.get("details"), str), f"{name}: {_shown(check)}")
    told = "; ".join(f"{name} {check['status']}: {check['details']}" for name, check in checks.items())
    expect(document["status"] == "healthy", f"{document['status']}: {told}")
    return "; ".join(f"{name} {check['status']}" for name, check in checks.items())


def list_voices(trial: Trial) -> str:
    document = trial.document(trial.endpoint.done({"action": "list_voices"}))
    voices, names = document.get("voices"), document.get("names")
    expect(isinstance(voices, list) and isinstance(names, list), _shown(document))
    assert isinstance(voices, list)
    assert isinstance(names, list)
    expect(document.get("count") == len(voices), f"count is {document.get('count')} for {len(voices)} voices")
    expect(set(names) <= {voice.get("name") for voice in voices}, "names has more than voices")
    return f"{document.get('engine')} has {', '.join(names[:6]) or 'none'}{' …' if len(names) > 6 else ''}"


def short_job(trial: Trial) -> str:
    document, seconds = trial.short()
    expect(set(document) >= RESULT, f"the result lacks {', '.join(sorted(RESULT - set(document)))}")
    expect(
        set(document["metadata"]) >= METADATA,
        f"metadata lacks {', '.join(sorted(METADATA - set(document['metadata'])))}",
    )
    expect(document["duration_sec"] > 1, f"the speech lasts {document['duration_sec']} s")
    engine = document["metadata"]["engine"]
    expected = "success" if engine == "vibevoice" else "completed"
    expect(document["status"] == expected, f"status is {document['status']} and not {expected}")
    name = f"{trial.mark}-short.{document['format']}"
    expect(document["filename"] == name, "filename is not session_id with the format's ending")
    factor = document["metadata"]["real_time_factor"]
    return f"{engine}, {document['duration_sec']:.1f} s of speech in {seconds:.1f} s, real-time factor {factor}"


def audio(trial: Trial) -> str:
    return _heard(trial.short()[0])


def _heard(document: Mapping[str, Any]) -> str:
    """How the sound of a result came; its beginning is that of its format."""
    link, given = document.get("audio_url"), document.get("audio_base64")
    if given is not None:
        data = _decoded(given)
        told = f"base64, {len(data) / 1e3:.0f} kB"
        expect(document["warnings"] or "url" not in document, "there is a link as well")
    else:
        expect(
            isinstance(link, str) and document.get("url") == link, "there is neither audio_base64 nor url = audio_url"
        )
        expect(document.get("s3_key"), "there is a link and no s3_key")
        status, headers, data = fetch(str(link))
        expect(status == 200, f"the link answers {status}")
        kind = headers.get("content-type", "")
        expect(kind.startswith("audio/"), f"the link's Content-Type is {kind[:60]!r}")
        part, told_part, begin = fetch(str(link), "bytes=0-99")
        expect(part == 206 and begin == data[:100], f"the link answers {part} to a request with Range")
        total = told_part.get("content-range", "").rpartition("/")[2]
        expect(total == str(len(data)), f"Content-Range tells of {total} of {len(data)} bytes")
        told = f"link, {kind}, {len(data) / 1e3:.0f} kB, with Range too"
    expect(data.startswith(MAGIC.get(document["format"], (b"",))), f"the sound is no {document['format']}")
    return told


def _decoded(given: object) -> bytes:
    try:
        data = base64.b64decode(str(given), validate=True)
    except binascii.Error:
        raise Failed("the sound is no base64") from None
    expect(data, "the sound is empty")
    return data


def runsync(trial: Trial) -> str:
    began = time.monotonic()
    document = trial.document(trial.endpoint.runsync(trial.asked(text="Good morning.")))
    return f"{document['duration_sec']:.1f} s of speech in {time.monotonic() - began:.1f} s"


def older_clients(trial: Trial) -> str:
    fields = {name: value for name, value in trial.common.items() if name != "voice"}
    if trial.common.get("voice"):
        fields["speaker_voice"] = trial.common["voice"]
    fields |= {"input": "Good morning.", "output_format": "pcm_16", "stream": "false", "no_such_field": 1}
    document = trial.document(trial.endpoint.done(fields))
    expect(document["format"] == "wav", f"pcm_16 is {document['format']} and not wav")
    expect(any("no_such_field" in warning for warning in document["warnings"]), "an unknown field is not in warnings")
    return "input, speaker_voice, output_format, stream as a string; an unknown field is a warning"


def stream(trial: Trial) -> str:
    _, items, first = trial.streamed()
    expect(items, "nothing came")
    pieces, last = items[:-1], items[-1]
    expect(last.get("status") == "complete", f"the last item is {_shown(last)}")
    expect(pieces, "there is no piece before the last item")
    sound = b""
    for index, piece in enumerate(pieces):
        place = (piece.get("status"), piece.get("chunk"), piece.get("index"))
        expect(place == ("streaming", index + 1, index), f"piece {index + 1} is {_shown(piece)}")
        expect(piece.get("format") == "pcm_16", f"the stream's format is {piece.get('format')} and not pcm_16")
        expect(len(json.dumps(piece)) < ITEM_BYTES, f"piece {index + 1} has {len(json.dumps(piece))} bytes")
        sound += _decoded(piece.get("audio_chunk"))
    expect(last.get("total_chunks") == len(pieces), f"total_chunks is {last.get('total_chunks')} of {len(pieces)}")
    expect(set(last) >= RESULT, f"the last item lacks {', '.join(sorted(RESULT - set(last)))}")
    heard = len(sound) / 2 / pieces[0]["sample_rate"]
    expect(abs(heard - last["duration_sec"]) < 0.1, f"{heard:.2f} s were sent of {last['duration_sec']:.2f} s")
    return f"first piece after {first:.2f} s, {len(pieces)} pieces, {heard:.1f} s of speech"


def aggregate(trial: Trial) -> str:
    job, items, _ = trial.streamed()
    answer = trial.endpoint.wait(job)
    output = answer.get("output")
    expect(answer.get("status") == "COMPLETED", f"the job is {answer.get('status')}")
    expect(isinstance(output, list) and len(output) == len(items), f"the output is {_shown(output)}")
    assert isinstance(output, list)
    expect(output[-1].get("status") == "complete", "the output does not end with the result")
    return f"/status has the same {len(output)} items"


def cancel(trial: Trial) -> str:
    text = SENTENCE * (CANCELLED_CHARACTERS // len(SENTENCE))
    job = trial.endpoint.run(trial.asked(text=text))
    answer = trial.endpoint.wait(job, ("IN_PROGRESS",))
    if answer["status"] == "IN_PROGRESS":
        trial.endpoint.cancel(job)
        answer = trial.endpoint.wait(job)
    if answer["status"] == "COMPLETED":
        raise Skipped("the job was done before it could be cancelled")
    if answer["status"] == "FAILED":
        raise Skipped(f"the text was refused: {str(answer.get('error'))[:120]}")
    expect(answer["status"] == "CANCELLED", f"the job is {answer['status']}")
    began = time.monotonic()
    trial.document(trial.endpoint.done(trial.asked(text="And now something else.")))
    return f"CANCELLED; the next job was done after {time.monotonic() - began:.1f} s"


def invalid(trial: Trial) -> str:
    wrong: dict[str, dict[str, Any]] = {
        "text": trial.asked(),
        "speed": trial.asked(text="Hello.", speed=9),
        "session_id": trial.asked(text="Hello.", session_id="../../etc/passwd"),
        "voice": {**trial.asked(text="Hello."), "voice": "nobody-is-called-so"},
        "action": {"action": "dance"},
    }
    for name, fields in wrong.items():
        told = trial.refused(fields)
        expect(name in told, f"the error does not name {name}: {told[:200]}")
    return f"{', '.join(wrong)}: one sentence each"


def same_session(trial: Trial) -> str:
    first, _ = trial.short()
    again = trial.document(trial.endpoint.done(trial.asked(text=SHORT, session_id=f"{trial.mark}-short")))
    for name in ("filename", "duration_sec"):
        expect(again[name] == first[name], f"{name} was {first[name]} and is {again[name]}")
    for name in ("seed", "synthesis_seconds"):
        expect(again["metadata"][name] == first["metadata"][name], f"the text was spoken again: {name} differs")
    _heard(again)
    other = trial.document(trial.endpoint.done(trial.asked(text="Another text.", session_id=f"{trial.mark}-short")))
    expect(other["metadata"]["characters"] != first["metadata"]["characters"], "another text gave the old result")
    return "the finished result was found; another text was spoken anew"


def long_text(trial: Trial) -> str:
    text = SENTENCE * max(1, trial.long_characters // len(SENTENCE))
    session = f"{trial.mark}-long"
    began = time.monotonic()
    answer = trial.endpoint.done(trial.asked(text=text, session_id=session))
    if answer.get("status") == "FAILED" and session in str(answer.get("error")):
        return "too large for base64 and no object store: the file is kept, the error names its session_id"
    document = trial.document(answer)
    factor = document["metadata"]["real_time_factor"]
    spoken = (
        f"{document['duration_sec']:.0f} s of speech in {time.monotonic() - began:.0f} s, real-time factor {factor}"
    )
    expect(document["duration_sec"] > trial.long_characters / 60, f"too little was said: {spoken}")
    return f"{spoken}; {_heard(document)}"


def at_once(trial: Trial) -> str:
    _, alone = trial.short()
    answers: list[dict[str, Any] | None] = [None] * trial.jobs
    errors: list[Exception] = []

    def speak(at: int) -> None:
        try:
            fields = trial.asked(text=f"This is number {at + 1}. {SHORT}", session_id=f"{trial.mark}-{at}")
            answers[at] = trial.document(trial.endpoint.done(fields))
        except (Failed, Stopped) as error:
            errors.append(error)

    began = time.monotonic()
    threads = [threading.Thread(target=speak, args=(at,), daemon=True) for at in range(trial.jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    names = {document["filename"] for document in answers if document}
    expect(len(names) == trial.jobs, f"{len(names)} different files for {trial.jobs} jobs")
    return f"{trial.jobs} jobs in {time.monotonic() - began:.1f} s, the first one alone in {alone:.1f} s"


def voice_actions(trial: Trial) -> str:
    if not trial.voices:
        raise Skipped("it writes to the volume; --voices tries it")
    spoken = trial.document(trial.endpoint.done(trial.asked(text=SENTENCE * 2, format="flac")))
    given = spoken.get("audio_base64") or base64.b64encode(fetch(spoken["audio_url"])[2]).decode()
    name = trial.mark
    try:
        added = trial.document(trial.endpoint.done({"action": "add_voice", "name": name, "voice_audio": given}))
        expect(added.get("voice") == name, _shown(added))
        again = trial.refused({"action": "add_voice", "name": name, "voice_audio": given})
        expect("name" in again, f"a name that is taken is refused with: {again[:200]}")
        listed = trial.document(trial.endpoint.done({"action": "list_voices"}))
        expect(name in {voice["name"] for voice in listed["voices"]}, "a voice that was added is not in the list")
    finally:
        deleted = trial.endpoint.done({"action": "delete_voice", "name": name})
    expect(trial.document(deleted).get("deleted") == name, _shown(deleted))
    return "added, not added twice, listed, deleted"


def nothing_leaks(trial: Trial) -> str:
    for told in trial.endpoint.seen:
        for what, pattern in LEAKS.items():
            found = pattern.search(told)
            expect(not found, f"an answer holds {what}")
    return f"no traceback, path or address in {len(trial.endpoint.seen)} answers"


ITEMS: Final[Mapping[str, Callable[[Trial], str]]] = {
    "platform": platform,
    "health_check": health_check,
    "list_voices": list_voices,
    "short_job": short_job,
    "audio": audio,
    "runsync": runsync,
    "older_clients": older_clients,
    "stream": stream,
    "aggregate": aggregate,
    "cancel": cancel,
    "invalid": invalid,
    "same_session": same_session,
    "long_text": long_text,
    "at_once": at_once,
    "voice_actions": voice_actions,
    "nothing_leaks": nothing_leaks,
}
"""In the order in which they are tried; docs/deploy-runpod.md says what each is about."""


def main(arguments: Sequence[str], environ: Mapping[str, str] = os.environ) -> int:
    """Try what is asked for; exit code."""
    asked = _parser().parse_args(arguments)
    key = environ.get("RUNPOD_API_KEY", "").strip() or None

    def say(text: str) -> None:
        print(text.replace(key, "…") if key else text, flush=True)

    if key is None and asked.url == RUNPOD:
        return _stop(say, "set RUNPOD_API_KEY to a key of your account (RunPod console, Settings, API keys)")
    if not asked.url.startswith("https://") and not (asked.url.startswith("http://") and _is_here(asked.url)):
        return _stop(say, "--url must begin with https://, or be on this machine: the key would be sent in the clear")
    common = {"voice": asked.voice, "engine": asked.engine}
    trial = Trial(
        Endpoint(asked.url, asked.endpoint, key, asked.patience),
        {name: value for name, value in common.items() if value},
        long_characters=asked.long,
        jobs=asked.jobs,
        voices=asked.voices,
    )
    rows: list[tuple[str, str, float, str]] = []
    gone: str | None = None
    for name, item in ITEMS.items():
        if asked.only and name not in asked.only:
            continue
        began = time.monotonic()
        try:
            if gone is not None:
                raise Skipped(gone)
            verdict, told = "pass", item(trial)
        except Skipped as error:
            verdict, told = "skipped", str(error)
        except Failed as error:
            verdict, told = "fail", str(error)
        except Stopped as error:
            if not trial.endpoint.seen:
                return _stop(say, str(error))
            verdict, told, gone = "fail", str(error), "an item before it could not be finished"
        except KeyboardInterrupt:
            trial.endpoint.leave()
            return 130
        except (KeyError, TypeError, AttributeError, IndexError) as error:  # a document of another shape
            verdict, told = "fail", f"an answer has another shape than is promised ({type(error).__name__}: {error})"
        rows.append((name, verdict, time.monotonic() - began, " ".join(told.split())))
        say(f"{name}: {verdict}: {rows[-1][3]}")
    _table(say, rows)
    return 1 if any(verdict == "fail" for _, verdict, *_ in rows) else 0


def _stop(say: Callable[[str], None], why: str) -> int:
    say(f"try_endpoint: {why}.")
    return 2


def _table(say: Callable[[str], None], rows: Sequence[tuple[str, str, float, str]]) -> None:
    say("")
    say(f"{'item':15}{'verdict':9}{'seconds':>8}")
    for name, verdict, seconds, _ in rows:
        say(f"{name:15}{verdict:9}{seconds:8.1f}")
    counts = {verdict: sum(row[1] == verdict for row in rows) for verdict in ("pass", "fail", "skipped")}
    say(", ".join(f"{count} {verdict}" for verdict, count in counts.items()))


def _parser() -> argparse.ArgumentParser:
    about, _, more = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="try_endpoint.py",
        description=about,
        epilog=more.partition("\n\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("endpoint", metavar="ENDPOINT_ID", help="the endpoint's id, from the RunPod console")
    parser.add_argument("--url", default=RUNPOD, help="what stands before /ENDPOINT_ID, for a plane of your own")
    parser.add_argument("--voice", help="the voice that speaks; without it the endpoint's own choice")
    parser.add_argument("--engine", help="the engine that speaks; without it the endpoint's own choice")
    parser.add_argument("--long", type=_above_0, default=3_000, metavar="N", help="characters of the long text (3000)")
    parser.add_argument("--jobs", type=_above_0, default=4, metavar="N", help="jobs at once (4)")
    parser.add_argument("--patience", type=_above_0, default=900, metavar="S", help="seconds to wait for a job (900)")
    parser.add_argument("--voices", action="store_true", help="also add and delete a recording")
    parser.add_argument("--only", nargs="+", choices=list(ITEMS), metavar="ITEM", help=f"try these: {', '.join(ITEMS)}")
    return parser


def _above_0(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


if __name__ == "__main__":
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]
    sys.exit(main(sys.argv[1:]))
