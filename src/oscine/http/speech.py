"""`POST /v1/audio/speech`: sound while it is made, as audio or as server-sent events."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import ExitStack, aclosing
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from oscine.aio import AsyncStream
from oscine.audio.formats import Format
from oscine.delivery.stream import Opening
from oscine.errors import InvalidRequest, OscineError
from oscine.http import sse
from oscine.http.access import needs_key, rate_limited
from oscine.http.body import json_object
from oscine.http.errors import UNEXPECTED, Refused, error_object
from oscine.http.leaving import STOPPING, ClientLeft, ClientStalled, UntilLeft
from oscine.http.schema import ERRORS, SPEECH
from oscine.http.service import Service
from oscine.synthesis.result import Report

router = APIRouter(dependencies=[Depends(needs_key), Depends(rate_limited)], tags=["speech"])

CLIENT_LEFT: Final = 499
"""nginx's status for a request whose client closed the connection; nobody reads it."""


@router.post(
    "/v1/audio/speech", operation_id="createSpeech", summary="Speak a text", openapi_extra=SPEECH, responses=ERRORS
)
async def create_speech(request: Request) -> Response:
    """Streams the sound while it is made. An error that is found before the first sound keeps its status."""
    service: Service = request.app.state.service
    with ExitStack() as held:
        held.enter_context(service.places.taken())  # before the body is read: that bounds what bodies take
        fields = await json_object(request)
        as_events = _stream_format(fields.pop("stream_format", None)) == "sse"
        speaking = _Speaking(service, request, fields)
        held.callback(speaking.tell)
        try:
            async with UntilLeft(request.receive):
                first = await speaking.first()
        except ClientLeft:
            speaking.outcome = "left"
            return Response(status_code=CLIENT_LEFT)
        except OscineError as error:
            speaking.outcome = "failed"
            raise _as_sent(error, fields) from None
        except BaseException:
            speaking.outcome = "failed"
            raise
        return _Answer(speaking, first, as_events, held.pop_all())


def _as_sent(error: OscineError, fields: Mapping[str, Any]) -> OscineError:
    """The error by the name that OpenAI's clients know the text by, unless the client called it `text`."""
    if error.param == "text" and "text" not in fields:
        error.param = "input"
        if error.message.startswith("text "):
            error.message = f"input {error.message.removeprefix('text ')}".replace(" or --max-text", "")
    return error


def _stream_format(given: object) -> str:
    if given is None:
        return "audio"
    if given in ("audio", "sse"):
        return str(given)
    raise InvalidRequest("stream_format must be audio or sse.", param="stream_format")


class _Speaking:
    """One request's speech, and what the log and the figures say of it."""

    def __init__(self, service: Service, request: Request, fields: Mapping[str, Any]) -> None:
        self.service = service
        self.stream: AsyncStream[bytes] = service.oscine.stream_fields(fields)
        self.outcome = "done"
        self._state = request.state
        self._facts: dict[str, object] = request.state.facts
        self._started: float = request.state.started
        self._first_s: float | None = None
        self._planned_s = 0.0
        text = fields.get("input", fields.get("text"))
        if service.settings.log_text and isinstance(text, str):
            self._facts["text"] = text

    async def first(self) -> bytes:
        """The first bytes. Raises what is wrong with the request, Refused where it takes too long."""
        settings, metrics = self.service.settings, self.service.metrics
        begun = time.perf_counter()
        try:
            with self.service.places.waiting_for_sound():
                async with asyncio.timeout(settings.wait_seconds):
                    first = await anext(self.stream)
        except TimeoutError:
            raise Refused(
                HTTPStatus.SERVICE_UNAVAILABLE,
                f"There was no sound within {settings.wait_seconds:g} s; the server is busy or still loading.",
                code="timeout",
            ) from None
        except BaseException:
            await self.stream.aclose()
            raise
        self._first_s = time.perf_counter() - self._started
        self._planned_s = begun - self._started
        metrics.first_audio.labels(self.opening.engine).observe(self._first_s)
        return first

    @property
    def opening(self) -> Opening:
        assert self.stream.opening is not None, "before the first sound"
        return self.stream.opening

    @property
    def report(self) -> Report:
        assert self.stream.report is not None, "before the end"
        return self.stream.report

    def headers(self) -> dict[str, str]:
        """What is known before the first sound."""
        opening = self.opening
        total, waited = (self._first_s or 0.0) * 1000, self._planned_s * 1000
        timing = f"read;dur={waited:.1f}, speak;dur={total - waited:.1f}, first-audio;dur={total:.1f}"
        headers = {
            "server-timing": timing,
            "cache-control": "no-store",
            "x-accel-buffering": "no",
            "x-oscine-engine": opening.engine,
            "x-oscine-voice": _header(opening.voice),
            "x-oscine-seed": str(opening.seed),
        }
        if opening.warnings:
            headers["x-oscine-warnings"] = _short(opening.warnings)
        return headers

    def fail(self, error: OscineError) -> None:
        """Note what broke it after its first sound."""
        self.outcome = "failed"
        self._state.error = error

    def tell(self) -> None:
        """Note how it ended."""
        opening, report, metrics = self.stream.opening, self.stream.report, self.service.metrics
        if opening is None:
            return
        engine, format = opening.engine, opening.format.value if opening.format else "pcm"
        metrics.speech.labels(engine, format, self.outcome).inc()
        self._facts |= {"engine": engine, "voice": opening.voice, "format": format, "outcome": self.outcome}
        self._facts["first_audio_ms"] = None if self._first_s is None else round(self._first_s * 1000, 1)
        made = self.stream.progress
        metrics.audio_seconds.labels(engine).inc(made.audio_seconds)
        metrics.characters.labels(engine).inc(made.characters)
        self._facts |= {"characters": made.characters, "audio_seconds": round(made.audio_seconds, 3)}
        if report is not None:
            metrics.real_time_factor.labels(engine).observe(report.real_time_factor)
            self._facts["real_time_factor"] = round(report.real_time_factor, 4)


@dataclass
class _Answer(Response):
    """Streams what is being spoken; frees its place at the end, however it ends."""

    speaking: _Speaking
    first: bytes
    as_events: bool
    held: ExitStack
    background = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        stall_s = self.speaking.service.settings.stall_seconds

        with self.held:
            try:
                async with aclosing(self.speaking.stream), UntilLeft(receive, stall_s) as client:
                    await send({"type": "http.response.start", "status": 200, "headers": self._raw_headers()})
                    async for data in self._events() if self.as_events else self._audio():
                        await client.sending(send, {"type": "http.response.body", "body": data, "more_body": True})
                    await client.last(send, {"type": "http.response.body", "body": b"", "more_body": False})
            except ClientLeft:
                self.speaking.outcome = "left"
            except ClientStalled:
                self.speaking.outcome = "stalled"
            except OscineError as error:  # the connection is closed without an end, so that the client knows
                self.speaking.fail(error)
            except asyncio.CancelledError:
                self.speaking.fail(STOPPING)
                if self.as_events:
                    event = sse.error(error_object(STOPPING))
                    await send({"type": "http.response.body", "body": event, "more_body": False})
                raise
            except BaseException:
                self.speaking.outcome = "failed"
                raise

    def _raw_headers(self) -> list[tuple[bytes, bytes]]:
        opening = self.speaking.opening
        format = opening.format or Format.PCM
        kind = sse.MEDIA_TYPE if self.as_events else media_type(format, opening.sample_rate)
        headers = {"content-type": kind, **self.speaking.headers()}
        return [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]

    async def _audio(self) -> AsyncIterator[bytes]:
        yield self.first
        async for data in self.speaking.stream:
            if data:
                yield data

    async def _events(self) -> AsyncIterator[bytes]:
        """The sound as events; what breaks it midway is the last of them."""
        try:
            async for data in self._audio():
                yield sse.delta(data)
        except OscineError as error:
            yield self._broken(error)
            return
        except Exception:
            yield self._broken(UNEXPECTED)
            raise
        yield sse.done(self.speaking.report)

    def _broken(self, error: OscineError) -> bytes:
        self.speaking.fail(error)
        return sse.error(error_object(error))


def media_type(format: Format, sample_rate: int) -> str:
    """`Content-Type` of a stream; raw samples say their rate in Hz (RFC 2586 has it for audio/L16)."""
    return f"{format.media_type};rate={sample_rate}" if format is Format.PCM else format.media_type


def _header(value: str) -> str:
    """Percent-encoded where HTTP takes no such character."""
    return quote(value.strip(), safe=" !#$&'()*+,-./:;<=>?@[]^_`{|}~")


def _short(warnings: Sequence[str]) -> str:
    """As many of the warnings as others' limits for headers have room for."""
    kept = ""
    for told, warning in enumerate(warnings):
        longer = f"{kept} {_header(warning)}".strip()
        if len(longer) > _WARNINGS_BYTES:
            return f"{kept} And {len(warnings) - told} more.".strip()
        kept = longer
    return kept


_WARNINGS_BYTES: Final = 1500
"""Many clients and proxies take headers of 4 to 8 kB in all."""
